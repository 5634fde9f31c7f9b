"""What the synthetic benchmark says of the criteria, where the study ran it."""

from crossdiff.report.believed import verdict
from crossdiff.report.figures import synthetic as figures
from crossdiff.report.section import Context, Section
from crossdiff.report.synthetic import CRITERIA


def section(context: Context) -> Section | None:
    """Precision, recall and calls on the null of each criterion, and recovery by effect and frequency."""
    if context.study.synthetic is None:
        return None
    drawn = figures.synthetic(context.study.synthetic)
    return Section(
        id="synthetic",
        title="Criteria",
        question="Which criterion can be believed?",
        html=context.render(
            "synthetic.html.j2", figures=drawn, criteria_names=CRITERIA, verdict=verdict(context.numbers)
        ),
        figures=tuple(drawn),
    )
