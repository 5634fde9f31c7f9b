"""What the published study reports of this pair, beside what was obtained here."""

from itertools import groupby

from crossdiff.report.published import GRADES, beside, published
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section | None:
    """A table; None for a pair that the study does not report."""
    pair = context.study.config.pair
    numbers = published(pair.base.path, pair.chat.path)
    if not numbers:
        return None
    rows = sorted(beside(numbers, context.metrics), key=lambda row: row.published.dictionary or "")
    groups = {name: list(found) for name, found in groupby(rows, key=lambda row: row.published.dictionary)}
    return Section(
        id="published",
        title="Published numbers",
        question="How do the numbers compare with the published ones?",
        html=context.render("published.html.j2", groups=groups, grades=GRADES),
    )
