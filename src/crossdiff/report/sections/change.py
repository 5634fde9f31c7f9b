"""What would change the conclusion: the study's limits, said as far as they can be computed."""

from crossdiff.report.limits import limits
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """A list of limits."""
    return Section(
        id="limits",
        title="Limits",
        question="What would change the conclusion?",
        html=context.render("change.html.j2", limits=list(limits(context.study, context.numbers))),
    )
