"""Latents to look at first."""

from crossdiff.report.examples import cards
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """Cards of the most chat-specific latents of each dictionary."""
    study = context.study
    found = {item.name: cards(item, study.rows) for item in study.dictionaries}
    return Section(
        id="examples",
        title="Latents to look at",
        question="What do they look like?",
        html=context.render("examples.html.j2", cards=found),
    )
