"""Numbers, figures and latents -> one self-contained HTML page: no network, one file."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from markupsafe import Markup

from crossdiff.provenance import record
from crossdiff.provenance.addresses import sources as behind
from crossdiff.provenance.origins import METRICS, Origins, record_of
from crossdiff.report.answer import Answer
from crossdiff.report.collect import Study
from crossdiff.report.explorer.data import embedded
from crossdiff.report.figures import kl, theme
from crossdiff.report.section import Context
from crossdiff.report.sections import SECTIONS
from crossdiff.report.seeds import Tree
from crossdiff.report.words import commit

SCRIPTS = (
    "where.js", "tables.js", "figures.js", "unpack.js", "search.js", "numbers.js", "texts.js", "latent.js",
    "explorer.js",
)  # fmt: skip
SHEETS = ("page.css", "where.css", "explorer.css")


@dataclass(frozen=True)
class Page:
    """The report's page and the figures on it."""

    html: str
    figures: tuple[theme.Figure, ...]
    """The main figure first."""


def page(study: Study, metrics: Tree, sources: Origins) -> Page:
    """The page of a study whose numbers are ``metrics``, made of ``sources``."""
    context = Context(study, metrics)
    main = tuple(kl.recovered(study, metrics, stacked) for stacked in (False, True))
    sections = [section for build in SECTIONS if (section := build(context)) is not None]
    figures = main + tuple(figure for section in sections for figure in section.figures)
    html = context.render(
        "page.html.j2",
        answer=Answer(study, context.numbers),
        main=main,
        sections=sections,
        css=css(),
        where=Markup(embedded(where(study, metrics, sources, figures))),
        script=Markup("\n".join(map(template, SCRIPTS))),
    )
    return Page(html, figures)


def where(study: Study, metrics: Tree, sources: Origins, figures: Iterable[theme.Figure]) -> dict[str, Any]:
    """What the page tells when asked: sources of numbers and figures, record of files, commit and run of records."""
    own = record_of(METRICS)
    files = [str(file.relative_to(study.root)) for file in study.files]
    drawn = {figure.name: behind(figure.files, metrics, sources) for figure in figures}
    return {
        "root": f"results/{study.config.pair.name}",
        "numbers": sources.document()["numbers"],
        "figures": {name: [[source.file, source.key] for source in found] for name, found in drawn.items()},
        "records": {file: record_of(file) for file in [*files, own]},
        "steps": {
            file: {"commit": commit(told["code"]), "run": told["mlflow"]["run_id"] if told["mlflow"] else None}
            for file, told in [*study.records.items(), (own, {"code": record.code(), "mlflow": None})]
        },
    }


def css() -> Markup:
    """The style sheet, with the figures' colours as variables and their partners on a dark page."""
    light = {
        "ink": theme.INK,
        "muted": theme.MUTED,
        "faint": theme.FAINT,
        "rule": theme.RULE,
        "paper": theme.PAPER,
        "chat": theme.CHAT,
        "base": theme.BASE,
    }

    def root(colours: dict[str, str], strength: float) -> str:
        variables = "".join(f"--{name}:{colour};" for name, colour in colours.items())
        red, green, blue = (int(colours["chat"][at : at + 2], 16) for at in (1, 3, 5))
        return f":root{{{variables}--chat-rgb:{red} {green} {blue};--strength:{strength}}}"

    swaps = "".join(
        f'svg [{part}="{light_colour}"]{{{part}:{dark_colour}}}'
        for light_colour, dark_colour in theme.DARK.items()
        for part in ("fill", "stroke")
    )
    dark = root({name: theme.DARK[colour] for name, colour in light.items()}, 0.4)
    sheets = "\n".join(map(template, SHEETS))
    return Markup(f"{root(light, 0.55)}@media(prefers-color-scheme:dark){{{dark}{swaps}}}\n{sheets}")


def template(name: str) -> str:
    """A file of `templates/` as text."""
    return (resources.files("crossdiff.report") / "templates" / name).read_text()
