"""Which latents are chat-specific: by decoder norms, by Latent Scaling, and apart from the template."""

from collections.abc import Iterator

from crossdiff.report.collect import Run, Study
from crossdiff.report.figures import norms, scaling, scatter, template
from crossdiff.report.latents import rank, specific
from crossdiff.report.section import Context, Section, flat
from crossdiff.report.words import listed, name

LISTED = 12
"""Latents of one dictionary and seed that are named."""


def section(context: Context) -> Section:
    """One histogram or scatter a dictionary."""
    dictionaries = context.study.dictionaries
    two_sided = [item for item in dictionaries if item.two_sided]
    one_sided = [item for item in dictionaries if not item.two_sided]
    shares = {item.name: template.template_share(item) for item in dictionaries}
    figures = {
        "norms": [norms.delta_norm(item) for item in two_sided],
        "scatter": [scatter.nu_scatter(item) for item in two_sided],
        "base_scatter": [scatter.nu_scatter(item, "base") for item in two_sided],
        "nu": [scaling.nu_histogram(item) for item in one_sided],
        "template": [figure for figure in shares.values() if figure is not None],
    }
    return Section(
        id="latents",
        title="Chat-specific latents",
        question="Which latents are the chat model's own, and how sure is that?",
        html=context.render(
            "specific.html.j2",
            figures=figures,
            named=list(named(context.study)),
            without=listed([name(item) for item, figure in shares.items() if figure is None]),
        ),
        figures=flat(figures.values()),
    )


def named(study: Study) -> Iterator[tuple[Run, tuple[str, ...], list[int]]]:
    """(run, where their number stands in metrics.json, the first latents that are chat-specific by ν) of every seed."""
    for item in study.dictionaries:
        for run in item.runs:
            latents = rank(item, run.latents).filter("specific")["latent"]
            _, dictionary, *rest = specific(item)
            yield run, ("dictionaries", dictionary, "seeds", str(run.seed), *rest), latents.head(LISTED).to_list()
