"""Whether explanations of latents tell on which texts they fire, where the study asked language models."""

from crossdiff.report.figures import explained
from crossdiff.report.figures import interpretation as figures
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section | None:
    """Accuracy by group of texts, by quarter of ν and Δ_norm, and of each latent by its place in either order."""
    if context.study.config.evidence.interpretation is None:
        return None
    drawn = [*figures.accuracy(context.metrics), *explained.latents(context.study, context.metrics)]
    return Section(
        id="interpretation",
        title="Explanations",
        question="Can these latents be explained, and do explanations predict?",
        html=context.render("interpretation.html.j2", figures=drawn),
        figures=tuple(drawn),
    )
