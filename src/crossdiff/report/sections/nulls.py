"""What the nulls say: sets and edits that should find nothing, beside what was found."""

from crossdiff.report.figures import nulls
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """Margins over random sets and over the template, and the edits that need no dictionary."""
    figures = nulls.margins(context.study, context.metrics)
    return Section(
        id="nulls",
        title="Nulls",
        question="What would chance have found?",
        html=context.render("nulls.html.j2", figures=figures),
        figures=tuple(figures),
    )
