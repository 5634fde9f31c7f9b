"""How the dictionaries were trained."""

from crossdiff.report.figures import training
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """Curves and final fit."""
    figures = training.training(context.study)
    return Section(
        id="training",
        title="Training",
        question="Were the dictionaries trained to the end?",
        html=context.render("training.html.j2", figures=figures),
        figures=tuple(figures),
    )
