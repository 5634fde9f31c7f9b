"""Calls at a stated rate of false discoveries: how many, how often they are wrong, and whether seeds share them."""

from crossdiff.report.calls import beside_the_null, by_chance, copied, held, strangest
from crossdiff.report.limits import nulls, tune
from crossdiff.report.rates import grid, verdict
from crossdiff.report.section import Context, Section
from crossdiff.report.seeds import mean

SMALL = 0.01
"""Level at which the ranks are looked at by themselves."""


def section(context: Context) -> Section:
    """Counts beside fixed thresholds, observed beside stated rates."""
    records = {item.name: context.study.records[f"calls/{item.name}.run.json"] for item in context.study.dictionaries}
    agreed = {name: record["results"].get("consensus") for name, record in records.items()}
    trees = {item.name: context.metrics["dictionaries"][item.name]["calls"] for item in context.study.dictionaries}
    entries, q = context.metrics["calibration"], context.study.config.calibration.q
    html = context.render(
        "calls.html.j2",
        verdict=verdict(entries, q),
        grid=grid(entries, q),
        held=held,
        agreed=agreed,
        nulls=nulls(context.study),
        tune=tune(context.study),
        upheld=any("upheld" in tree["counts"] for tree in trees.values()),
        against={name: beside_the_null(tree) for name, tree in trees.items()},
        held_up={
            (name, call)
            for name, tree in trees.items()
            for call, count in tree["counts"].get("upheld", {}).items()
            if mean(count)
        },
        copied={name: copied(tree) for name, tree in trees.items()},
        no_more={name: by_chance(tree, "calibrated", "in_most") for name, tree in trees.items()},
        ranks={name: tree["ranks"] for name, tree in trees.items() if tree["ranks"]},
        strange={name: found for name, tree in trees.items() if (found := strangest(tree["ranks"], SMALL))},
        small=f"{SMALL:g}",
    )
    return Section(
        id="calls", title="Calls", question="Which latents can be called, and how often is that wrong?", html=html
    )
