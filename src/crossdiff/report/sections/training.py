"""How the dictionaries were trained."""

from crossdiff.report.figures import training
from crossdiff.report.section import Context, Section
from crossdiff.report.trained import words


def section(context: Context) -> Section:
    """What the curves say of the end, the curves, and the final fit."""
    figures = training.training(context.study)
    return Section(
        id="training",
        title="Training",
        question="Were the dictionaries trained to the end?",
        html=context.render("training.html.j2", figures=figures, words=list(words(context.study, context.numbers))),
        figures=tuple(figures),
    )
