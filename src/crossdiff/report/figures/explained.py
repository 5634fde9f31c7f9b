"""Accuracy of each explanation by its latent's place: a scatter with its line, and the mean over the first latents."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import polars as pl

from crossdiff.evidence.interpretation.sampling import SILENT
from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.figures.theme import BASE, CHAT, Figure, data, present
from crossdiff.report.interpretation import judged
from crossdiff.report.seeds import Tree, mean

PLACES = {"nu": "share of live latents of lower ν", "delta_norm": "Δ_norm"}
FIRST = {"nu": "of the lowest ν first", "delta_norm": "of the highest Δ_norm first"}
COLOURS = {f"{kind} texts": colour for kind, colour in zip(SILENT, (BASE, CHAT), strict=True)}


def latents(study: Study, metrics: Tree) -> list[Figure]:
    """A scatter and cumulative curves for each dictionary and order."""
    return [
        figure
        for item in study.dictionaries
        if item.runs[0].explained is not None
        for figure in of_dictionary(item, metrics["dictionaries"][item.name]["interpretation"]["r2"])
    ]


def of_dictionary(item: Dictionary, fits: Tree) -> Iterator[Figure]:
    """Figures of one dictionary; none of an order by which fewer than two latents have a place."""
    table = judged(item)
    for place in PLACES:
        if place in table.columns:
            long = table.unpivot([f"total_{kind}" for kind in SILENT], index=["latent", place], value_name="total")
            long = long.with_columns(silent=pl.col("variable").str.strip_prefix("total_") + " texts").drop("variable")
            rows = long.drop_nulls([place, "total"])
            if rows["latent"].n_unique() > 1:
                files = tuple(
                    f"{folder}/{item.runs[0].folder}.parquet" for folder in ("evidence/interpretation", "latents")
                )
                yield scatter(item.name, place, rows, fits.get(place, {}), files)
                yield cumulative(item.name, place, rows, files)


def scatter(name: str, place: str, rows: pl.DataFrame, fits: Tree, files: tuple[str, ...]) -> Figure:
    """A point a latent and kind of silent texts, with the least-squares line of each kind."""
    base = alt.Chart(data(rows.select(place, "total", "silent", "latent"))).encode(
        x=alt.X(f"{place}:Q", axis=alt.Axis(title=PLACES[place], tickCount=5)),
        y=_accuracy("total"),
        color=_colour(rows),
    )
    line = base.transform_regression(place, "total", groupby=["silent"]).mark_line(strokeWidth=1.5)
    said = ", ".join(f"{mean(fit):.2f} ({kind} texts)" for kind, fit in fits.items()) or "not known of so few latents"
    return _figure(
        f"interpretation-{name}-latents-{place.replace('_', '-')}",
        f"{name}, accuracy by {PLACES[place]}",
        alt.layer(base.mark_point(filled=True, size=30, opacity=0.7), line),
        f"Accuracy of each explanation on random and on similar silent texts, with least-squares lines. R²: {said}.",
        (*files, f"metrics.json#/dictionaries/{name}/interpretation/r2"),
    )


def cumulative(name: str, place: str, rows: pl.DataFrame, files: tuple[str, ...]) -> Figure:
    """Mean accuracy over the first n latents, for each n."""
    first = rows.sort([place, "latent"], descending=[place == "delta_norm", False])
    number = pl.int_range(1, pl.len() + 1)
    curve = first.select("silent", n=number.over("silent"), mean=(pl.col("total").cum_sum() / number).over("silent"))
    chart = (
        alt.Chart(data(curve))
        .mark_line(interpolate="step-after", strokeWidth=1.5)
        .encode(
            x=alt.X("n:Q", axis=alt.Axis(title=f"explained latents, {FIRST[place]}", tickMinStep=1)),
            y=_accuracy("mean"),
            color=_colour(rows),
        )
    )
    return _figure(
        f"interpretation-{name}-first-{place.replace('_', '-')}",
        f"{name}, mean accuracy of the first latents, {FIRST[place]}",
        chart,
        "Mean accuracy over the first n explained latents; over the few on the left it varies by chance.",
        files,
    )


def _accuracy(column: str) -> alt.Y:
    return alt.Y(
        f"{column}:Q", axis=alt.Axis(title="accuracy", format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])
    )


def _colour(rows: pl.DataFrame) -> alt.Color:
    return alt.Color("silent:N", scale=present(COLOURS, rows["silent"].to_list()), legend=alt.Legend(title=None))


def _figure(name: str, title: str, chart: Any, text: str, files: tuple[str, ...]) -> Figure:
    return Figure(name=name, title=title, chart=chart.properties(width=230, height=170), text=text, files=files)
