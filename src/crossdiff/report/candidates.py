"""What a rule without a rate names: how many latents, which of them every seed has, and what no test can see."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from crossdiff.report.calls import by_chance
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.latents import rule, specific
from crossdiff.report.numbers import Numbers
from crossdiff.report.steady import steady
from crossdiff.report.words import listed, name, sentence, spelled, symbols

SHOWN = 4
"""Latents that the text names, at most."""
ALL = "in_all"
"""What the calls' stability calls the groups that every seed names."""
LEAST = ("chat-specific", "least_calls")
"""Where the smallest number of calls that a test can make stands below it."""


def candidates(study: Study, numbers: Numbers, ranked: Sequence[Dictionary]) -> Markup:
    """What a rule without a rate names, and how few new latents the tests could not have seen."""
    norms = [("dictionaries", item.name, "classes", "chat-only") for item in ranked if item.two_sided]
    text = scaled(numbers, ranked)
    if norms:
        shown = [numbers.brief(*path, style="count") for path in norms]
        same = len({numbers.point(path) for path in norms}) == 1
        text += sentence("; decoder norms alone name {n}", n=shown[0] if same else listed(shown))
        text += " in any crosscoder" if same and len(norms) > 1 else ""
    return text + "." + in_every_seed(numbers, ranked) + unseen(numbers, ranked, study.config.synthetic_null)


def scaled(numbers: Numbers, ranked: Sequence[Dictionary]) -> Markup:
    """How many latents ν names."""
    counts = [
        sentence(
            "{n} in {name} (by {nu})",
            n=numbers.show(*specific(item), style="count"),
            name=name(item.name),
            nu=symbols("ν_r and ν_ε" if item.two_sided else "ν"),
        )
        for item in ranked
    ]
    return sentence(
        'Latent Scaling, which states no rate, names (<a href="#latents">which</a>) {counts}',
        counts=listed(counts),
    )


def in_every_seed(numbers: Numbers, ranked: Sequence[Dictionary]) -> Markup:
    """The latents that ν names in every seed as one, where these are more than chance would name; else empty."""
    found = [item for item in ranked if beyond_chance(numbers, item)]
    groups = [(item, group) for item in found for group in steady(item)]
    links = [
        sentence(
            "{name} {latents} (by chance {chance} such)",
            name=name(item.name),
            latents=Markup(", ").join(linked(item, group)),
            chance=numbers.brief(
                "dictionaries", item.name, "calls", "stability", rule(item), f"{ALL}_chance", style="change"
            ),
        )
        for item, group in groups[:SHOWN]
    ]
    if not links:
        return Markup()
    return sentence(
        " Every seed has {n} of these as one and the same latent: {links}{more}.",
        n=spelled(len(groups)),
        links=listed(links),
        more=" and others" if len(groups) > SHOWN else "",
    )


def beyond_chance(numbers: Numbers, item: Dictionary) -> bool:
    """Whether it was counted how many latents ν names in every seed, and these are more than chance would name."""
    calls = numbers.metrics["dictionaries"][item.name]["calls"]
    return ALL in calls["stability"].get(rule(item), {}) and not by_chance(calls, rule(item), ALL)


def linked(item: Dictionary, group: Mapping[int, int]) -> list[Markup]:
    """Links to the latents of a group {seed: latent}."""
    return [
        Markup('<a href="#latent={}/{}/{}">#{}</a> (seed {})').format(item.name, seed, latent, latent, seed)
        for seed, latent in group.items()
    ]


def unseen(numbers: Numbers, ranked: Sequence[Dictionary], both: bool) -> Markup:
    """How few new latents the tests could not have seen; empty where nothing is called."""
    tests = ("power", "power_upheld") if both else ("power",)
    paths = [("dictionaries", item.name, "calls", test, *LEAST) for item in ranked for test in tests]
    known = [path for path in paths if numbers.leaf(*path) is not None]
    if not known:
        return Markup()
    ends = [end(known, key=numbers.point) for end in (min, max)]
    least, most = (numbers.brief(*path, style="count") for path in ends)
    one = numbers.point(ends[0]) == numbers.point(ends[1])
    return sentence(
        " A small set cannot pass the tests: fewer than {number} latents, by dictionary and test, are not called,"
        " however clear they are.",
        number=least if one else sentence("{least} to {most}", least=least, most=most),
    )
