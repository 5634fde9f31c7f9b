"""All that the explorer's script reads."""

import json
from typing import Any

import polars as pl

from crossdiff.attribution.histogram import LOWEST
from crossdiff.report.collect import Run, Study
from crossdiff.report.explorer.samples import samples
from crossdiff.report.explorer.table import behaviours, columns, runs, shown
from crossdiff.report.explorer.texts import LETTERS, LEVELS, Vocabulary, examples
from crossdiff.report.explorer.twins import twins


def document(study: Study) -> dict[str, Any]:
    """The explorer's data as JSON values: runs, table, words, and for rows of the table examples, tokens and twins."""
    every = list(runs(study))
    uses = [behaviours(study, run) for _, run in every]
    tables = [
        shown(item, run, [latent for chosen in use.values() for latent in chosen])
        for (item, run), use in zip(every, uses, strict=True)
    ]
    words, roles = Vocabulary(), study.rows.select("row", "roles")
    texts = [
        examples(run, set(table["latent"].to_list()), roles, words)
        for (_, run), table in zip(every, tables, strict=True)
    ]
    return {
        "pair": study.config.pair.name,
        "levels": LEVELS,
        "letters": LETTERS,
        "lowest": LOWEST,
        "runs": [
            {"name": run.name, "seed": run.seed, "folder": run.folder, "latents": run.latents.height,
             "twoSided": item.two_sided, "samples": samples(study, run)}
            for item, run in every
        ],
        "table": columns(tables),
        "behaviours": uses,
        "examples": [found.get(latent, []) for found, t in zip(texts, tables, strict=True) for latent in t["latent"]],
        "descriptions": [text for (_, run), t in zip(every, tables, strict=True) for text in described(run, t)],
        "tokens": [row for (_, run), t in zip(every, tables, strict=True) for row in promoted(run.tokens, t)],
        "twins": similar(study, tables),
        "words": words.texts,
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
        for row in tokens.sort("latent", "model", "side", "rank").iter_rows(named=True):
            model = found.setdefault(row["latent"], {}).setdefault(row["model"], {})
            model.setdefault(row["side"], []).append([row["token"], float(f"{row['logit']:.3g}")])
    return [found.get(latent, {}) for latent in table["latent"]]


def similar(study: Study, tables: list[pl.DataFrame]) -> list[list[tuple[int, int, float]]]:
    """Twins of each row of the tables: (run, latent, cosine); none where a dictionary's weights are not there."""
    weights = [run.weights for _, run in runs(study)]
    if len(weights) < 2 or None in weights:
        return [[] for table in tables for _ in range(table.height)]
    found = twins([file for file in weights if file], [table["latent"].to_list() for table in tables])
    return [matches for group in found for matches in group]


def embedded(data: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: compact, and with no character that could end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
