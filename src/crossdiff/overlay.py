"""Config files: each read strictly, laid over one another, and which of them gave a key.

YAML lets the last of two equal keys win without a word, so that half of a long overlay can be lost unseen; here a key
that is given twice is an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crossdiff.errors import UserError

Keys = tuple[str | int, ...]
"""What leads to a value: keys of mappings, and numbers of items in lists."""
Layers = Mapping[str, dict[str, Any]]
"""What each config file holds, by the file's name; later ones lie over earlier ones."""


class Strict(yaml.SafeLoader):
    """YAML whose mappings have each key once. What `<<` brings in may be given again: that is what it is for."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before `<<` is followed; a YAML error marks the second of two equal keys."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                before = first.setdefault((key.tag, key.value), key.start_mark)
                if before is not key.start_mark:
                    text = f"{key.value} was given in line {before.line + 1} already; keep one of them"
                    raise yaml.MarkedYAMLError(problem=text, problem_mark=key.start_mark)
        return node


def read(file: Path) -> dict[str, Any]:
    """The keys of one YAML (or JSON) file; UserError if it is missing, empty, no YAML, or no mapping."""
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Strict)
    except (FileNotFoundError, IsADirectoryError):
        mend = "run this in the checkout, where it lies" if file.name == "config.yaml" else "mend the path"
        raise UserError(f"there is no file {file}; {mend} (paths count from {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}; see to its permissions") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not in UTF-8 (byte {error.start}); save it as that") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise UserError(f"{file}{f', line {mark.line + 1}' if mark else ''}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, 2024-13-01
        raise UserError(f"{file} is no YAML: {error}") from None
    if found is None:
        raise UserError(f"{file} is empty; write `key: value` lines in it, or leave it out")
    if not isinstance(found, dict):
        raise UserError(f"{file} must hold `key: value` lines, not a {type(found).__name__}")
    return found


def merged(below: Any, above: Any) -> Any:
    """``above`` laid over ``below``, dicts key by key, as Snakemake merges config files."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


def giver(layers: Layers, path: Keys) -> str:
    """Name of the file that a key comes from: the last that has it; if none has, the first that has what is above."""
    reached = {name: _steps(data, path) for name, data in layers.items()}
    furthest = max(reached.values())
    names = [name for name, steps in reached.items() if steps == furthest]
    return names[-1] if furthest == len(path) else names[0]


def _steps(data: Any, path: Keys) -> int:
    """How far a path can be followed."""
    for step, part in enumerate(path):
        if not has(data, part):
            return step
        data = data[part]
    return len(path)


def has(data: Any, part: str | int) -> bool:
    """Whether a dict has a key, or a list an item of that number."""
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data
