"""Take a published dictionary into a study, measured on the study's validation tokens.

python -m crossdiff.dictionaries.published --settings PUBLISHED --name NAME --seed N
    --activations P/activations/manifest.json --out P/dictionaries/NAME-seedN

It leaves what training leaves but for training.parquet: an imported dictionary has no curves.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from crossdiff.activations.store import Activations, read_manifest
from crossdiff.cli import stage
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.formats import save
from crossdiff.dictionaries.metrics import validate
from crossdiff.dictionaries.published.adapt import check, norm_factors, scaled
from crossdiff.dictionaries.published.fetch import SETTINGS, fetch
from crossdiff.dictionaries.published.registry import weights
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file
from crossdiff.provenance.record import record

BLOCK = 2048
"""Tokens read at a time."""


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The entry (dictionaries.NAME): JSON, or a file.")],
    name: Annotated[str, typer.Option(help="Name of the dictionary in the config.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the extracted activations.")],
    out: Annotated[Path, typer.Option(help="Folder for the dictionary and run.json.")],
    seed: Annotated[int, typer.Option(min=0, help="Number in the folder's name; nothing here is random.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Import a dictionary: dictionary.safetensors, dictionary.json, run.json."""
    prepare(threads, device)
    wanted, key = settings(Published, settings_), f"dictionaries.{name}"
    fetched = fetch(wanted, key)
    format_, file = weights(fetched.path, wanted.format, fetched.told)
    beside = [other for name_ in SETTINGS if (other := file.with_name(name_)).is_file()]
    inputs = [activations] if fetched.commit else [activations, file, *beside]
    params = {"dictionary": name, "seed": seed, "published": wanted.model_dump(mode="json"), "device": device}
    with record(f"dictionaries/{name}-seed{seed}", out / "run.json", params, inputs) as run:
        store, manifest = Activations.open(activations), read_manifest(activations)
        held_out = store.view("validation")
        if not held_out.tokens:
            raise UserError("corpus.validation_tokens: there are no tokens to measure a dictionary on; raise it")
        dictionary = format_.read(file, wanted.kind)
        check(dictionary, manifest["D"], manifest["layer"], key)
        dictionary = adapted(dictionary, wanted, store, key)
        origin = {"from": wanted.origin, "file": file.name, "commit": fetched.commit, "sha256": sha256_file(file)}
        published = dictionary.about["published"] | origin
        about = {"name": name, "seed": seed, "layer": manifest["layer"], "published": published}
        about |= {"activations": {"manifest_sha256": sha256_file(activations)}, "pair": manifest["pair"]}
        dictionary = replace(dictionary, about=about).to(device)
        results = validate(dictionary, (dictionary.read(b.x_BLD.to(device)) for b in held_out.blocks(BLOCK)))
        save(dictionary, out)
        run.result(**results, tokens={"validation": held_out.tokens}, imported=published)


def adapted(dictionary: Dictionary, wanted: Published, store: Activations, key: str) -> Dictionary:
    """The dictionary for the study's activations: scales fitted or given, chat − base whatever it was trained on."""
    factors = wanted.scales
    if factors == "fit":
        factors = norm_factors(block.x_BLD for block in store.view("train").blocks(BLOCK))
    dictionary = scaled(dictionary, factors, key)
    return dictionary.negated() if wanted.difference == "base - chat" else dictionary


if __name__ == "__main__":
    stage(main)
