"""The latents themselves, to search, sort and read."""

from markupsafe import Markup

from crossdiff.report.explorer.data import document, embedded
from crossdiff.report.section import Context, Section


def section(context: Context) -> Section:
    """Controls and data; the page's script fills them."""
    data = document(context.study)
    table = data["table"]
    return Section(
        id="explorer",
        title="Latent explorer",
        question="What are these latents?",
        html=context.render(
            "explorer.html.j2",
            data=Markup(embedded(data)),
            count=len(table["latent"]),
            called=table["call"].count("chat-specific"),
            kinds=sorted({kind for kind in table["kind"] if kind}),
            behaviours=sorted({name for use in data["behaviours"] for name in use}),
            columns=["frequency", "ν"] + (["q"] if "q" in table else []),
        ),
    )
