"""metrics.json = parquet = run.json: the numbers made again from the tables are the numbers that are kept."""

import math
from collections.abc import Mapping
from typing import Any

from crossdiff.errors import UserError
from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.files import AGAIN
from crossdiff.provenance.origins import METRICS, NAME, Origins, leaves, read

RELATIVE = 1e-9
"""Other versions of NumPy may sum in another order."""


def check(study: Study) -> Finding:
    """Compute metrics.json again by the report's own code, and compare every leaf; likewise report/origins.json."""
    found = Finding()
    if study.metrics is None:
        found.equal(False, f"{study.name(METRICS)} is damaged: {AGAIN}", [METRICS])
        return found
    try:
        again, sources = computed(study)
    except Exception as error:  # a damaged table may fail anywhere; the checks of its hash say what it is
        found.breaks.append(Break(f"the numbers cannot be made again from the tables: {error}"))
        return found
    compare(study, again, found)
    if (study.root / NAME).is_file():
        told = kept(study)
        if told == sources:
            found.held += 1
        else:
            other = frozenset(key for key, _ in leaves(again) if told.of(key) != sources.of(key))
            what = f"{study.name(NAME)} does not name the sources that the numbers are made of"
            found.breaks.append(Break(what, numbers=other))
    else:
        found.unchecked.append(f"{study.name(NAME)}: there is none, the report is of an earlier version")
    return found


def kept(study: Study) -> Origins:
    """The sources in report/origins.json; none if they cannot be read."""
    try:
        return read(study.root / NAME)
    except UserError:
        return Origins({})


def computed(study: Study) -> tuple[dict[str, Any], Origins]:
    """The numbers and their sources, made from the files under results/<pair>."""
    from crossdiff.report.metrics import metrics
    from crossdiff.report.origins import origins

    numbers = metrics(study.tables)
    return numbers, origins(study.tables, numbers)


def compare(study: Study, again: Mapping[str, Any], found: Finding) -> None:
    """Every leaf of both trees."""
    here, made = dict(leaves(study.metrics or {})), dict(leaves(again))
    for key in dict.fromkeys([*here, *made]):
        if key in here and key in made and equal(here[key], made[key]):
            found.held += 1
        else:
            what = f"{study.name(METRICS)}#{key} is {here.get(key)}; the tables give {made.get(key)}"
            found.breaks.append(Break(what, numbers=frozenset([key])))


def equal(one: Any, other: Any) -> bool:
    """Equal numbers, or equal intervals end by end; NaN equals NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-12)
    return bool(one == other)
