"""What a section of the page is: one question, the text that answers it, and its figures.

A section is made by a function `section(context) -> Section | None` (None: the study has nothing to say to the
question). `crossdiff.report.sections.SECTIONS` lists these functions in the page's order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crossdiff.attribution.specific import NU_ERROR, NU_RECONSTRUCTION
from crossdiff.report import names
from crossdiff.report.collect import Study
from crossdiff.report.figures import files, theme
from crossdiff.report.latents import CLASSES, NU_ACTIVATION
from crossdiff.report.numbers import Numbers, pointed, setting, written
from crossdiff.report.seeds import Tree
from crossdiff.report.words import commit, spelled, symbols


@dataclass(frozen=True)
class Section:
    """One section, ready to be put on the page."""

    id: str
    """Fragment of its address: report.html#id."""
    title: str
    """Two or three words, for the list of sections."""
    question: str
    """What it answers; its heading."""
    html: Markup
    """What stands under the heading."""
    figures: tuple[theme.Figure, ...] = ()
    """Figures that the text shows; their files are written beside the page."""


@dataclass(frozen=True)
class Context:
    """What sections are made from."""

    study: Study
    metrics: Tree
    """The content of metrics.json."""

    @cached_property
    def numbers(self) -> Numbers:
        """Prints numbers of metrics.json."""
        return Numbers(self.metrics)

    @cached_property
    def environment(self) -> Environment:
        """Where templates are looked up, and what all of them may use."""
        found = Environment(
            loader=PackageLoader("crossdiff.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        found.filters |= {"written": written, "spelled": spelled, "symbols": symbols, "commit": commit}
        found.globals |= {
            "study": self.study,
            "metrics": self.metrics,
            "show": self.numbers.show,
            "words": self.numbers.words,
            "pointed": pointed,
            "setting": setting,
            "caption": files.caption,
            "under": lambda *path: partial(self.numbers.show, *path),
            "has": lambda *path: self.numbers.leaf(*path) is not None,
            "data_uri": files.data_uri,
            "drawn": lambda figure: Markup(theme.inline(figure)),
            "names": names,
            "undictionaried": names.undictionaried(self.study.components),
            "classes": CLASSES,
            "thresholds": {"r": NU_RECONSTRUCTION, "e": NU_ERROR, "a": NU_ACTIVATION[0]},
        }
        return found

    def render(self, template: str, **values: Any) -> Markup:
        """A template of `templates/` with its values."""
        return Markup(self.environment.get_template(template).render(**values))


Builder = Callable[[Context], Section | None]


def flat(figures: Iterable[Iterable[theme.Figure]]) -> tuple[theme.Figure, ...]:
    """Groups of figures as one tuple."""
    return tuple(chain.from_iterable(figures))
