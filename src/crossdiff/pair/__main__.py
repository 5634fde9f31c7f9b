"""Check that two models can be compared, and say which bytes they are: pair.json.

python -m crossdiff.pair --settings PAIR --layer 14 [--base DIR] [--chat DIR] --out results/P/pair
With --key calibration.null_tune the chat model is the null tune, and messages name that key of the config.
"""

from pathlib import Path
from typing import Annotated, get_args

import typer

from crossdiff.cli import stage
from crossdiff.pair.check import CHAT, checked
from crossdiff.pair.load import Which
from crossdiff.parsing import settings
from crossdiff.parts.pair import Pair
from crossdiff.provenance.record import record


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The pair part of the config: JSON, or a file.")],
    layer: Annotated[int, typer.Option(help="The block whose output will be read.")],
    out: Annotated[Path, typer.Option(help="Folder for pair.json.")],
    base: Annotated[Path | None, typer.Option(help="Folder of the base, where a step made it.")] = None,
    chat: Annotated[Path | None, typer.Option(help="Folder of the chat model, where a step made it.")] = None,
    key: Annotated[str, typer.Option(help="Where the config names the chat model.")] = CHAT,
) -> None:
    """Check two models and write pair.json."""
    pair = settings(Pair, settings_)
    made: dict[Which, Path] = {}
    if base is not None:
        made["base"] = base
    if chat is not None:
        made["chat"] = chat
    # A hub model is named by the commit in pair.json; only local weights are hashed.
    folders = [Path(made.get(which) or getattr(pair, which).path or "none") for which in get_args(Which)]
    weights = [file for folder in folders for file in sorted(folder.glob("*.safetensors"))]
    params = pair.model_dump(mode="json") | {"layer": layer}
    with record(name="pair", out=out / "run.json", params=params, inputs=weights) as run:
        (out / "pair.json").unlink(missing_ok=True)
        found = checked(pair, layer, made, key)
        found.write(out / "pair.json")
        run.result(
            layers=found.layers, width=found.width, vocabulary=found.vocabulary, base=found.base, chat=found.chat
        )


if __name__ == "__main__":
    stage(main)
