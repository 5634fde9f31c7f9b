"""Figures of the report: data, Vega-Lite specification, source files; drawn without a browser."""

from crossdiff.report import names
from crossdiff.report.collect import Study
from crossdiff.report.figures import behaviours, kl, latents, training
from crossdiff.report.figures.theme import Figure
from crossdiff.report.seeds import Tree

MAIN = "kl-recovered"
"""File stem of the main figure."""


def draw(study: Study, metrics: Tree) -> dict[str, list[Figure]]:
    """All figures, by the section of the page that shows them; a section without any is left out."""
    two_sided = [item for item in study.dictionaries if item.two_sided]
    one_sided = [item for item in study.dictionaries if not item.two_sided]
    positions = list(metrics["pair"]["kl"]["kl"])
    edits = [edit for edit in names.EDITS if study.effects is not None and edit in study.effects["edit"]]
    sections = {
        "main": [kl.recovered(study, metrics, stacked) for stacked in (False, True)],
        "norms": [latents.delta_norm(item) for item in two_sided],
        "scatter": [latents.nu_scatter(item) for item in two_sided],
        "nu": [latents.nu_histogram(item) for item in one_sided],
        "kl": [kl.nats(metrics, place) for place in positions],
        "behaviours": [behaviours.effects(study, metrics, edit) for edit in edits],
        "template": [latents.template_share(item) for item in study.dictionaries],
        "training": training.training(study),
    }
    return {name: figures for name, figures in sections.items() if figures}
