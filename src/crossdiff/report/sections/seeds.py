"""Whether another seed would say the same."""

from crossdiff.report.agreement import agreement
from crossdiff.report.figures import seeds
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """A point a seed for the numbers that the conclusion rests on."""
    several = context.study.seeds > 1
    figures = seeds.spread(context.study, context.metrics) if several else []
    return Section(
        id="seeds",
        title="Seeds",
        question="Would another seed say the same?",
        html=context.render("seeds.html.j2", figures=figures, same=agreement(context.study.names, context.numbers)),
        figures=tuple(figures),
    )
