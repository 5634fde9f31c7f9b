"""What the published study drew of its dictionaries, drawn of this study's."""

from collections.abc import Sequence

from crossdiff.report import openings, overall
from crossdiff.report.collect import Study
from crossdiff.report.figures import cosines, frequency, places, ranks, scaling, theme, thresholds, twins
from crossdiff.report.section import Context, Section, flat

CORRELATED = {
    "delta_norm_nu_reconstruction": "Δ_norm and ν_r",
    "delta_norm_nu_error": "Δ_norm and ν_ε",
    "delta_norm_frequency": "Δ_norm and frequency",
    "nu_reconstruction_frequency": "ν_r and frequency",
    "nu_error_frequency": "ν_ε and frequency",
    "nu_activation_frequency": "ν and frequency",
}
OVERLAPPED = {"chat-only": "chat-only latents", "highest-delta": "latents of highest Δ_norm"}


def section(context: Context) -> Section:
    """Cosines, thresholds, ranks, twins, frequencies and the template's places, and the numbers beside them."""
    study = context.study
    figures = drawings(study)
    two_sided = [item for item in study.dictionaries if item.two_sided]
    html = context.render(
        "drawn.html.j2",
        figures=figures,
        two_sided=two_sided,
        rows_alike=openings.rows_alike(two_sided, context.numbers),
        norms_and_nu=openings.norms_and_nu(two_sided, context.numbers),
        on_template=openings.template(study.dictionaries, context.numbers),
        correlated=CORRELATED,
        overlapped=OVERLAPPED,
        levels=overall.LEVELS,
    )
    return Section(
        id="drawn",
        title="The study's figures",
        question="What did the study draw, and how does it look here?",
        html=html,
        figures=flat(figures.values()),
    )


def drawings(study: Study) -> dict[str, list[theme.Figure]]:
    """The section's figures by what they show; what this study has nothing of is left out."""
    every = study.dictionaries
    two_sided = [item for item in every if item.two_sided]
    found: dict[str, Sequence[theme.Figure | None]] = {
        "cosines": [cosines.cosines(item) for item in two_sided],
        "thresholds": thresholds.thresholds(study),
        "ranks": [ranks.ranks(two_sided, study.names)] if two_sided else [],
        "twins": [twins.twins(item) for item in two_sided],
        "template": [scaling.nu_and_template(item) for item in every],
        "places": [places.places(item) for item in every],
        "frequency": [*(frequency.by_class(item) for item in every), frequency.by_source(study)],
    }
    return {name: [figure for figure in figures if figure is not None] for name, figures in found.items()}
