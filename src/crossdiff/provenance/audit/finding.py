"""What a check tells."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Break:
    """Something that is not what another part of the study says it is."""

    what: str
    """One sentence that names the artefact."""
    files: frozenset[str] = frozenset()
    """Files under results/<pair> that cannot be trusted, and so whatever was made of them."""
    steps: frozenset[str] = frozenset()
    """Records (run.json, relative to results/<pair>) of steps of which no output can be trusted."""
    numbers: frozenset[str] = frozenset()
    """Pointers into metrics.json of numbers known to be wrong by themselves."""


@dataclass
class Finding:
    """What one check found."""

    breaks: list[Break] = field(default_factory=list)
    held: int = 0
    """How many comparisons came out equal."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be compared, and why."""

    def equal(self, same: bool, what: str, files: Iterable[str] = (), steps: Iterable[str] = ()) -> None:
        """Count a comparison; ``what`` and what it taints are told if it failed."""
        if same:
            self.held += 1
        else:
            self.breaks.append(Break(what, frozenset(files), frozenset(steps)))
