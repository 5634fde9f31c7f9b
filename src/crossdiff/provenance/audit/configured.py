"""config = run.json: the settings in config.yaml are those that the steps ran with."""

from collections.abc import Iterator
from typing import Any

from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.parsing import parse
from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.study import REPORT, Study
from crossdiff.provenance.origins import NULL
from crossdiff.provenance.record import plain

SECTIONS = {"corpus": "corpus", "activations": "activations", "latents": "attribution", "calls": "calibration"}
"""Steps whose settings are a section of the config as a whole."""
HOW = {"compute"}
"""Sections that say how a study runs, not what it is; they may differ from machine to machine."""


def check(study: Study) -> Finding:
    """config.yaml against the report's whole config, and that against the settings each step recorded."""
    found = Finding()
    made = study.records.get(REPORT, {}).get("params")
    if not isinstance(made, dict):
        found.unchecked.append(f"config.yaml: {study.name(REPORT)} tells no config")
        return found
    here = current(study, found)
    if here is not None and here.get("pair", {}).get("name") == study.pair:
        for path in different(here, made):
            if path[0] not in HOW:
                key = ".".join(path)
                what = f"config.yaml: {key} is {at(here, path)!r}; the results were made with {at(made, path)!r}"
                found.breaks.append(Break(what, steps=concerned(study, path)))
        found.held += 1
    elif here is not None:
        name = here.get("pair", {}).get("name")
        found.unchecked.append(f"config.yaml: it describes the pair {name}; the report's own config was taken")
    own_settings(study, made, found)
    return found


def current(study: Study, found: Finding) -> dict[str, Any] | None:
    """config.yaml with its defaults; None, and a break, if it is no config."""
    try:
        return dict(plain(parse(Config, study.raw_config)))
    except (UserError, TypeError) as error:
        what = f"config.yaml is not the config of a study: {error}"
        found.breaks.append(Break(what, steps=frozenset(study.expected)))
        return None


def own_settings(study: Study, config: dict[str, Any], found: Finding) -> None:
    """Settings in each step's record against the section of the config they come from."""
    for name, record in study.records.items():
        for path, value in expected(name, config):
            params = record.get("params", {})
            own = params if not path else params.get(path)
            same = own == value or own in (None, {})  # a record that tells none
            found.equal(same, f"{study.name(name)} ran with other settings than the report's config", [name], [name])


def expected(name: str, config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(key in the record's params or "" for all of them, value) that a step's record should hold."""
    name = name.removeprefix(f"{NULL}/")
    step = name.split("/")[0]
    if step in SECTIONS:
        yield "", config[SECTIONS[step]]
    if step == "evidence":
        asked = dict(config[step])
        interpretation = asked.pop("interpretation", None)
        yield "", interpretation if name.startswith("evidence/interpretation/") else asked
    if step == "dictionaries":
        dictionary, _, seed = name.split("/")[1].rpartition("-seed")
        yield "recipe", config["dictionaries"].get(dictionary)
        yield "seed", int(seed)


def different(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths at which two trees of settings differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from different(one.get(name), other.get(name), (*path, name))
    elif one != other:
        yield path or ("",)


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """The setting at a path; None if there is none."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def concerned(study: Study, path: tuple[str, ...]) -> frozenset[str]:
    """Records of the steps that a setting enters; what is made of their outputs follows from the inputs."""
    section = {"attribution": "latents"}.get(path[0], path[0])
    prefix = f"dictionaries/{path[1]}-seed" if section == "dictionaries" and len(path) > 1 else f"{section}/"
    if path[:2] == ("evidence", "interpretation"):
        prefix = "evidence/interpretation/"
    found = frozenset(name for name in study.expected if name.removeprefix(f"{NULL}/").startswith(prefix))
    return found or frozenset([REPORT])
