"""explorer = tables: the data that the page holds for its latent explorer, made again from the study's tables."""

import math
import zlib
from collections.abc import Iterator
from typing import Any

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.page import PAGE
from crossdiff.provenance.audit.recomputed import equal
from crossdiff.provenance.audit.study import Study

ELEMENT = 'id="latents-data">'
OF_A_LATENT = ("table", "examples", "descriptions", "tokens", "twins")
"""Parts of the data whose lists hold one entry a shown latent."""
STEP = 1.1e-3
"""Cosines of twins are kept to three digits, of which another machine may round the last one the other way."""
MOST = 20
"""Differences that are told one by one."""


def check(study: Study) -> Finding:
    """Compare every value. A difference taints none of metrics.json, which the explorer does not read."""
    found = Finding()
    try:
        text = (study.root / PAGE).read_text()
        here = parsed(text.partition(ELEMENT)[2].partition("</script>")[0])
    except (OSError, ValueError, TypeError, LookupError, zlib.error) as error:
        found.breaks.append(Break(f"{study.name(PAGE)} holds no data of the latent explorer: {error}"))
        return found
    try:
        made = computed(study)
    except Exception as error:  # a damaged table may fail anywhere; the checks of its hash say what it is
        found.breaks.append(Break(f"the explorer's data cannot be made again from the tables: {error}"))
        return found
    told = [
        f"{study.name(PAGE)} holds {short(one)} in its explorer at {named(made, path)}; the tables give {short(other)}"
        for path, one, other in different(here, made, found)
    ]
    more = [f"{len(told) - MOST:,} more values of the explorer are not those of the tables"] if told[MOST:] else []
    found.breaks += [Break(what) for what in told[:MOST] + more]
    return found


def computed(study: Study) -> dict[str, Any]:
    """The data as the report's own code makes and embeds it."""
    from crossdiff.report.explorer.data import document
    from crossdiff.report.explorer.payload import fitted

    return parsed(fitted(document(study.tables))[0])


def parsed(text: str) -> dict[str, Any]:
    """The data of an explorer; each latent's twins in the order of the dictionaries, as nearly equal ones may swap."""
    from crossdiff.report.explorer.payload import unpacked

    data = unpacked(text)
    return data | {"twins": [sorted(row) for row in data["twins"]]}


Difference = tuple[tuple[str | int, ...], Any, Any]
"""(where, what the page holds, what the tables give)."""


def different(one: Any, other: Any, found: Finding, path: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    """Where two documents differ; entries of lists that do not are counted as held."""
    if isinstance(one, list) and one == other:
        found.held += len(one)
    elif isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from different(one.get(name), other.get(name), found, (*path, name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from different(left, right, found, (*path, number))
    elif equal(one, other) or (path[0] == "twins" and near(one, other)):
        found.held += 1
    else:
        yield path, one, other


def near(one: Any, other: Any) -> bool:
    """Whether two values are cosines that rounding can have set apart; numbers of latents are whole."""
    return isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, abs_tol=STEP)


def named(data: dict[str, Any], path: tuple[str | int, ...]) -> str:
    """A place in the data, with the latent that it belongs to."""
    place = "/".join(map(str, path))
    row = next((part for part in path if isinstance(part, int)), None)
    if path[0] not in OF_A_LATENT or row is None:
        return place
    table = data["table"]
    return f"{place} (latent {table['latent'][row]} of {data['runs'][table['run'][row]]['folder']})"


def short(value: Any) -> str:
    """A value in a few characters."""
    return f"{len(value):,} entries" if isinstance(value, list | dict) else repr(value)[:60]
