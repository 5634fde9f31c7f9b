"""What would change the conclusion: the study's limits, said as far as they can be computed."""

from crossdiff.report import openings
from crossdiff.report.latents import NU_ACTIVATION
from crossdiff.report.limits import limits
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """Counts at other thresholds, and the limits."""
    return Section(
        id="change",
        title="What would change it",
        question="What would change the conclusion?",
        html=context.render(
            "change.html.j2",
            opening=openings.thresholds(context.study.dictionaries, context.numbers),
            limits=list(limits(context.study, context.numbers)),
            levels=NU_ACTIVATION,
        ),
    )
