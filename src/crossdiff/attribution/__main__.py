"""Measure every latent of a dictionary on kept tokens: one row a latent, and tables beside it.

python -m crossdiff.attribution --settings ATTRIBUTION --pair P/pair/pair.json --dictionary DIR \\
    --activations P/activations/manifest.json --rows P/corpus/rows.parquet --out P/latents/NAME-seedN.parquet
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
import typer

from crossdiff.activations.fits import check_dictionary, check_source
from crossdiff.activations.places import places
from crossdiff.activations.store import Activations, read_manifest
from crossdiff.attribution.contexts import Rows
from crossdiff.attribution.descriptions import description_table
from crossdiff.attribution.firing import Firing
from crossdiff.attribution.jackknife import row_blocks
from crossdiff.attribution.measure import columns, measure
from crossdiff.attribution.norms import CLASSES
from crossdiff.attribution.overall import comparisons
from crossdiff.attribution.promoted import token_table
from crossdiff.attribution.specific import by_pair
from crossdiff.attribution.tables import firing, per_latent, template, twins
from crossdiff.attribution.template import slots
from crossdiff.cli import progress, stage
from crossdiff.dictionaries import load
from crossdiff.errors import UserError
from crossdiff.pair.load import Pair
from crossdiff.parsing import settings
from crossdiff.parts.attribution import Attribution
from crossdiff.process import prepare
from crossdiff.provenance.files import check_name, whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table

NU_COUNTED = (0.3, 0.5, 0.6)
"""Thresholds of |ν| whose latents are counted in the record."""


def counts(latents: pl.DataFrame) -> dict[str, Any]:
    """Numbers of latents for the record: classes and ν counts are over live latents."""
    live = latents.filter(~pl.col("dead"))
    valid = live.filter("nu_valid")
    out: dict[str, Any] = {
        "latents": len(latents),
        "dead": len(latents) - len(live),
        "nu_valid": len(valid),
        "nu_below": {
            f"{t:g}": {
                "all": int((live["nu_activation"].abs() < t).sum()),
                "valid": int((valid["nu_activation"].abs() < t).sum()),
            }
            for t in NU_COUNTED
        },
    }
    if "nu_error" in latents.columns:
        out["classes"] = {name: int((live["class"] == name).sum()) for name in CLASSES}
        specific = live.filter(by_pair(pl.col("nu_reconstruction"), pl.col("nu_error")))
        out["chat_specific"] = len(specific)
    return out


def flat(rows: pl.DataFrame) -> Rows:
    """All tokens of rows.parquet, sorted by row."""
    ids, roles = (torch.from_numpy(rows[name].explode().to_numpy().astype("int64")) for name in ("ids", "roles"))
    return Rows(ids, roles, rows["ids"].list.len().to_torch().long())


def text_of(pair: Pair) -> Callable[[list[int]], str]:
    """Tokens as the chat model's tokenizer writes them."""
    tokenizer = pair.tokenizer()
    return lambda ids: str(tokenizer.decode(ids))


def twin_counts(table_: pl.DataFrame) -> dict[str, int | float | None]:
    """Pairs, and the mean divergence of twins and of false ones, for the record."""
    twin, false = (table_.filter(kind=kind) for kind in ("twin", "false"))
    means = {f"divergence_{name}": part["divergence"].mean() for name, part in (("twin", twin), ("false", false))}
    return {"pairs": len(twin), **means}  # type: ignore[dict-item]


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The attribution part of the config: JSON, or a file.")],
    pair: Annotated[Path, typer.Option(help="pair.json; its tokenizer and heads show what latents promote.")],
    dictionary: Annotated[Path, typer.Option(help="Folder of a trained dictionary.")],
    activations: Annotated[Path, typer.Option(help="manifest.json of the activations.")],
    rows: Annotated[Path, typer.Option(help="rows.parquet that the activations were read from.")],
    out: Annotated[Path, typer.Option(help="The latent table; other tables and the record are put beside it.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Measure every latent: norms, scaling, use and description."""
    chosen = settings(Attribution, settings_)
    check_name(out, ".parquet")
    prepare(threads, device)
    inputs = [pair, dictionary / "dictionary.safetensors", dictionary / "dictionary.json", activations, rows]
    name = out.name.removesuffix(".parquet")
    params = chosen.model_dump(mode="json")
    with record(f"latents/{name}", out.with_name(f"{name}.run.json"), params, inputs) as run:
        models = Pair.read(pair)
        decode = text_of(models)
        texts = flat(read_table(rows, ["row", "ids", "roles"], others=False).sort("row"))
        template_slots = slots(texts.ids_N, texts.roles_N, texts.lengths_R)
        model, manifest = load(dictionary).to(device), read_manifest(activations)
        check_source(activations, manifest, pair=pair, rows=rows)
        check_dictionary(activations, manifest, dictionary, model)
        stored = Activations.open(activations)
        view = stored.view(chosen.split)
        if not view.tokens:
            raise UserError(f"attribution.split: the {chosen.split} split has no kept tokens; choose the other one")
        fires = Firing(view.tokens, chosen.firing_tokens)
        block_R = row_blocks(places(view)[0], len(stored.split_R), chosen.blocks)
        with progress(view.tokens, "attribution", "tok") as bar:
            measured = measure(
                model,
                view.blocks(chosen.batch),
                stored.sources,
                stored.source_R.long(),
                block_R,
                bar.update,
                template_slots,
                fires,
            )
        found = columns(model, measured)
        found["histogram"] = measured.histogram.counts_FK
        latents = per_latent(found, model.shape[2])
        promoted = token_table(model, latents.filter(~pl.col("dead"))["latent"].to_list(), models)
        beside = {
            "tokens": promoted,
            "descriptions": description_table(measured, texts, promoted, decode),
            "twins": twins(model, found, view, chosen.twin_cosine, chosen.batch),
            "template": template(measured, template_slots, decode),
            "comparisons": comparisons(model, found, chosen.highest_delta),
            "firing": firing(fires),
        }
        with whole(out) as temporary:
            latents.write_parquet(temporary)
        for ending, frame in beside.items():
            with whole(out.with_name(f"{name}.{ending}.parquet")) as temporary:
                frame.write_parquet(temporary, compression="zstd")
        run.result(tokens=view.tokens, split=chosen.split, **counts(latents), twins=twin_counts(beside["twins"]))


if __name__ == "__main__":
    stage(main)
