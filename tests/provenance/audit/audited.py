"""What the audit tells of a study, in the shapes that the tests ask for."""

from pathlib import Path

from crossdiff.provenance.audit.hashes import Hashes
from crossdiff.provenance.audit.run import Told, audit
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import leaves

from .finished import PAIR


def told(base: Path, fast: bool = False, everything: bool = False) -> list[Told]:
    """Outcomes of the checks that ran."""
    return list(audit(Study(base / PAIR, Hashes(), fast), everything))


def broken(base: Path) -> tuple[str, str, set[str]]:
    """(kind, sentences, tainted numbers) of the break that ends the audit."""
    last = told(base)[-1]
    assert last.finding.breaks, "the audit found nothing"
    return last.name, "\n".join(item.what for item in last.finding.breaks), set(last.numbers)


def all_numbers(base: Path) -> set[str]:
    """Pointers of all numbers."""
    return {key for key, _ in leaves(Study(base / PAIR, Hashes()).metrics or {})}
