"""All that the explorer's script reads."""

import json
from typing import Any

import polars as pl

from crossdiff.attribution.histogram import LOWEST
from crossdiff.examples.windows import QUANTILES
from crossdiff.report.collect import Run, Study
from crossdiff.report.explorer.samples import samples
from crossdiff.report.explorer.table import MOST, behaviours, columns, runs, shown
from crossdiff.report.explorer.texts import FIELDS, LETTERS, LEVELS, Texts, examples
from crossdiff.report.explorer.twins import Twin, twins


def document(study: Study) -> dict[str, Any]:
    """The explorer's data as JSON values: runs, table, words, and for rows of the table examples, tokens and twins."""
    every = list(runs(study))
    most = MOST // len(every)
    uses = [behaviours(study, run) for _, run in every]
    tables = [
        shown(item, run, most, [latent for chosen in use.values() for latent in chosen], alike)
        for (item, run), use, alike in zip(every, uses, like_the_illustrated(study), strict=True)
    ]
    texts = Texts(study.rows.select("row", "roles"))
    illustrated = [
        examples(run, set(table["latent"].to_list()), texts) for (_, run), table in zip(every, tables, strict=True)
    ]
    return {
        "pair": study.config.pair.name,
        "levels": LEVELS,
        "letters": LETTERS,
        "lowest": LOWEST,
        "fields": FIELDS,
        "edges": QUANTILES,
        "same": study.config.calibration.match,
        "runs": [
            {"name": run.name, "seed": run.seed, "folder": run.folder, "latents": run.latents.height,
             "kind": item.recipe.kind, "twoSided": item.two_sided, "samples": samples(study, run)}
            for item, run in every
        ],
        "table": columns(tables),
        "behaviours": uses,
        "examples": [kept.get(each, []) for kept, t in zip(illustrated, tables, strict=True) for each in t["latent"]],
        "descriptions": [text for (_, run), t in zip(every, tables, strict=True) for text in described(run, t)],
        "tokens": [row for (_, run), t in zip(every, tables, strict=True) for row in promoted(run.tokens, t)],
        "twins": [row for group in similar(study, [t["latent"].to_list() for t in tables]) for row in group],
        "rows": texts.rows,
        "words": texts.words.texts,
    }  # fmt: skip


def described(run: Run, table: pl.DataFrame) -> list[str | None]:
    """The phrase of each row of ``table``; None where there is none."""
    phrases = run.descriptions
    found = dict(phrases.select("latent", "description").iter_rows()) if phrases is not None else {}
    return [found.get(latent) for latent in table["latent"]]


def promoted(tokens: pl.DataFrame | None, table: pl.DataFrame) -> list[dict[str, Any]]:
    """For each row of ``table``: {model: {promoted | suppressed: [tokens]}}; empty where it was not measured."""
    found: dict[int, dict[str, Any]] = {}
    if tokens is not None:
        own = tokens.filter(pl.col("latent").is_in(table["latent"].to_list()))
        for row in own.sort("latent", "model", "side", "rank").iter_rows(named=True):
            model = found.setdefault(row["latent"], {}).setdefault(row["model"], {})
            model.setdefault(row["side"], []).append([row["token"], float(f"{row['logit']:.3g}")])
    return [found.get(latent, {}) for latent in table["latent"]]


def similar(study: Study, latents: list[list[int]]) -> list[list[list[Twin]]]:
    """Twins of each run's ``latents``; none where a dictionary's weights are not there."""
    weights = [run.weights for _, run in runs(study)]
    if len(weights) < 2 or None in weights:
        return [[[] for _ in group] for group in latents]
    return twins([file for file in weights if file], latents)


def like_the_illustrated(study: Study) -> list[set[int]]:
    """For each run, its latents that count as the same as one with examples in another dictionary or seed."""
    illustrated = [run.examples["latent"].unique().sort().to_list() for _, run in runs(study)]
    found: list[set[int]] = [set() for _ in illustrated]
    for run, latent, cosine in (twin for group in similar(study, illustrated) for row in group for twin in row):
        if cosine >= study.config.calibration.match:
            found[run].add(latent)
    return found


def embedded(data: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: compact, and with no character that could end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
