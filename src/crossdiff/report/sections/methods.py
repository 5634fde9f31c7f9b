"""Whether the methods agree: every dictionary beside the others and beside what needs no dictionary."""

from crossdiff.report import openings
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """The table of all dictionaries."""
    return Section(
        id="dictionaries",
        title="Methods",
        question="Do the methods agree?",
        html=context.render("methods.html.j2", opening=openings.methods(context.study.dictionaries, context.numbers)),
    )
