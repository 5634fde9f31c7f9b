"""Train and measure the study's dictionaries on a pair of models whose factors are known, and on its null.

python -m crossdiff.truth.synthetic --settings SYNTHETIC --dictionaries '{"NAME": RECIPE, …}' \\
    --out P/truth/synthetic/NAME

latents.parquet holds one row a latent: world (pair, null), dictionary, kind, seed, the columns of attribution's table
(those of roles left out, the sources being contexts), and what the latent stands for: factor, match_cosine, true_class,
true_effect, true_frequency (of either model's firing), firing_f1. A latent that is near no factor has null there, and
true_class "none".
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from crossdiff.attribution.tables import per_latent
from crossdiff.cli import progress, stage
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.parts.synthetic import Synthetic
from crossdiff.process import prepare
from crossdiff.provenance.files import whole
from crossdiff.provenance.record import record
from crossdiff.truth.synthetic.factors import CLASSES
from crossdiff.truth.synthetic.learn import Firing, fit, measured, train
from crossdiff.truth.synthetic.match import cosines, nearest, similarity, targets
from crossdiff.truth.synthetic.presets import PRESETS
from crossdiff.truth.synthetic.scores import Known, angles, scores
from crossdiff.truth.synthetic.world import World, build

NULLS = 3
"""Null pairs at least, of further seeds where there are fewer seeds: each is called on the nulls of the others."""
SIDES = {"crosscoder": ("chat", "base"), "chat-sae": ("chat",), "diff-sae": ("chat",), "base-sae": ()}
"""Sides whose exclusive latents a dictionary can be asked for."""
SCORES: dict[str, pl.DataType | type[pl.DataType]] = {
    "score": pl.String,
    "criterion": pl.String,
    "side": pl.String,
    "class": pl.String,
    "bucket": pl.String,
    "value": pl.Float64,
}
"""Columns of scores.parquet behind world, dictionary, kind and seed."""


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The synthetic part of the config: JSON, or a file.")],
    dictionaries: Annotated[str, typer.Option(help="The dictionaries of the config: JSON, or a file.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and run.json.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Benchmark the dictionaries: latents.parquet, scores.parquet, factors.parquet, run.json."""
    chosen = settings(Synthetic, settings_)
    prepare(threads, device)
    preset = PRESETS[chosen.preset]
    recipes = {name: preset.shrink(recipe) for name, recipe in settings(dict[str, Recipe], dictionaries).items()}
    if not recipes:
        raise UserError("--dictionaries: name at least one")
    params = {**chosen.model_dump(), "sizes": asdict(preset), "device": device}
    params["dictionaries"] = {name: asdict(recipe) for name, recipe in recipes.items()}
    with record(f"truth/synthetic/{out.name}", out / "run.json", params, []) as run:
        latents, scored, factors = [], [], []
        plan = worlds(chosen.seeds)
        trainings = sum(map(len, plan.values())) * len(recipes)
        with progress(trainings * preset.steps, "synthetic", "step") as bar:
            for seed, names in plan.items():
                pair = build(preset.design, seed, device)
                drawn = {name: pair if name == "pair" else pair.null() for name in names}
                factors += [labelled(factor_table(each), {"world": name, "seed": seed}) for name, each in drawn.items()]
                for (name, dictionary), model in train(drawn, recipes, preset, seed, bar.update).items():
                    world = drawn[name]
                    found, firing = measured(model, world, preset, seed)
                    rows = latent_table(model, world, per_latent(found, model.shape[2]), firing)
                    labels = {"world": name, "dictionary": dictionary, "kind": model.kind, "seed": seed}
                    latents.append(labelled(rows, labels))
                    tidy = scores(known(model, world, rows), fit(model, world, preset, seed))
                    scored.append(labelled(pl.DataFrame(tidy, schema=SCORES), labels))
        for file, parts in (("latents", latents), ("scores", scored), ("factors", factors)):
            with whole(out / f"{file}.parquet") as temporary:
                pl.concat(parts, how="diagonal_relaxed").write_parquet(temporary)
        run.result(**headline(pl.concat(scored, how="diagonal_relaxed")))


def worlds(seeds: list[int]) -> dict[int, list[str]]:
    """Of each seed the pair and its null; then nulls of the next seeds until there are enough."""
    more = range(max(seeds) + 1, max(seeds) + 1 + NULLS - len(seeds))
    return {seed: ["pair", "null"] for seed in seeds} | {seed: ["null"] for seed in more}


def labelled(rows: pl.DataFrame, labels: dict[str, Any]) -> pl.DataFrame:
    """``rows`` with one value a label in front."""
    return rows.select(*(pl.lit(value).alias(name) for name, value in labels.items()), "*")


def latent_table(model: Dictionary, world: World, found: pl.DataFrame, firing: Firing) -> pl.DataFrame:
    """Attribution's table with what each latent stands for."""
    rows_FI = model.decoder.transpose(0, 1).flatten(1)
    cosine_FN = cosines(rows_FI, targets(world, model.kind))
    factor_F, _ = nearest(similarity(cosine_FN, model.kind))
    at_F1 = factor_F.clamp_min(0)[:, None]
    cosine_F, f1_F = (values_FN.gather(1, at_F1)[:, 0].cpu() for values_FN in (cosine_FN, firing.f1()))
    factors, at = world.factors, at_F1[:, 0].cpu()
    names = [CLASSES[number] for number in factors.class_N.cpu()[at].tolist()]
    known_ = pl.col("factor").is_not_null()
    return found.with_columns(
        pl.Series("factor", factor_F.cpu().numpy(), dtype=pl.Int32).replace(-1, None),
        pl.Series("match_cosine", cosine_F.numpy(), dtype=pl.Float32),
        pl.Series("true_class", names),
        pl.Series("true_effect", factors.effect_N.cpu()[at].numpy(), dtype=pl.Float32),
        pl.Series("true_frequency", factors.frequency().cpu()[at].numpy(), dtype=pl.Float64),
        pl.Series("firing_f1", f1_F.numpy(), dtype=pl.Float32),
    ).with_columns(
        pl.when(known_).then("true_class").otherwise(pl.lit("none")).alias("true_class"),
        *(
            pl.when(known_).then(name).alias(name)
            for name in ("match_cosine", "true_effect", "true_frequency", "firing_f1")
        ),
    )


def known(model: Dictionary, world: World, rows: pl.DataFrame) -> Known:
    """The latents beside the truth."""
    target_NI, effective_LND = targets(world, model.kind), world.effective()
    compared = {"joint": (model.decoder.transpose(0, 1).flatten(1), target_NI)}
    for number, side in enumerate(("base", "chat")):
        if model.kind == "crosscoder":
            compared[side] = model.decoder[number], effective_LND[number]
    factors = world.factors
    return Known(
        columns={
            name: rows[name].to_numpy()
            for name in rows.columns
            if rows[name].dtype.is_numeric() or name.startswith("nu_valid")
        },
        live_F=~rows["dead"].to_numpy(),
        factor_F=rows["factor"].fill_null(-1).cast(pl.Int64).to_numpy(),
        f1_F=rows["firing_f1"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        class_N=factors.class_N.cpu().numpy(),
        effect_N=factors.effect_N.cpu().double().numpy(),
        frequency_N=factors.frequency().cpu().numpy(),
        angle_N=angles(*effective_LND),
        similarity={name: similarity(cosines(*both), model.kind) for name, both in compared.items()},
        present={name: both[1].norm(dim=1) > 0 for name, both in compared.items()},
        decoder_LFD=model.decoder if model.kind == "crosscoder" else None,
        sides=SIDES[model.kind],
    )


def factor_table(world: World) -> pl.DataFrame:
    """One row a factor; ``angle`` in degrees, null where a model lacks it, and ``frequency`` of firing in either."""
    factors = world.factors
    angle_N = angles(*world.effective())
    return pl.DataFrame(
        {
            "factor": pl.Series(range(len(angle_N)), dtype=pl.Int32),
            "class": [CLASSES[number] for number in factors.class_N.tolist()],
            "effect": pl.Series(factors.effect_N.cpu().numpy(), dtype=pl.Float32),
            "frequency": factors.frequency().cpu().numpy(),
            "parent": pl.Series(factors.parent_N.cpu().numpy(), dtype=pl.Int32).replace(-1, None),
            "angle": pl.Series(angle_N, dtype=pl.Float32).fill_nan(None),
            "magnitude": factors.mean_N.cpu().numpy(),
        }
    )


def headline(scored: pl.DataFrame) -> dict[str, Any]:
    """Numbers for the record: the means over seeds of what has neither class nor bucket, and of the exclusive class."""
    whole_ = scored.filter(pl.col("bucket").is_null() & (pl.col("class").is_null() | (pl.col("class") == "exclusive")))
    out: dict[str, Any] = {}
    keys = ["world", "dictionary", "side", "criterion", "score"]
    means = whole_.group_by(keys, maintain_order=True).agg(pl.col("value").fill_nan(None).mean())
    for world, dictionary, side, criterion, score, value in means.iter_rows():
        name = score if criterion is None else f"{side}_{criterion}_{score}"
        out.setdefault(world, {}).setdefault(dictionary, {})[name] = value
    return out


if __name__ == "__main__":
    stage(main)
