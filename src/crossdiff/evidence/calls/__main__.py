"""Call the latents of one dictionary over its seeds, calibrated on null latents, and see which come back.

Two questions, two nulls. Does a latent differ between base and chat by more than nuisance does? Calls answer that, on
the synthetic null where there is one. Does it differ by more than after a tune on nothing that is looked for? A call is
``upheld`` if it holds on the null tune's latents, too.

python -m crossdiff.evidence.calls --settings CALIBRATION --name NAME --seeds 0 --seeds 1 --results results/P \\
    [--null results/P/null/latents/NAME-seedN.parquet …] [--synthetic results/P/truth/synthetic/NAME/latents.parquet] \\
    --out results/P/calls/NAME.parquet

With the null tune alone, calls are calibrated on that. Without any null they are left empty; thresholds of the
literature and stability are still reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from numpy.typing import ArrayLike

from crossdiff.cli import stage
from crossdiff.dictionaries import Dictionary, load
from crossdiff.errors import UserError
from crossdiff.evidence.calls import copies, firing, nulls, stable
from crossdiff.evidence.calls.calling import Called
from crossdiff.evidence.calls.criteria import CRITERIA, DEAD, NONE, UNDETERMINED, Latents, fixed, statistic
from crossdiff.evidence.calls.honesty import CALLS
from crossdiff.evidence.calls.ranks import ranks
from crossdiff.evidence.intervals import t_interval
from crossdiff.parsing import settings
from crossdiff.parts.calibration import Calibration
from crossdiff.process import prepare
from crossdiff.provenance.files import check_name, whole
from crossdiff.provenance.record import record
from crossdiff.tables import read_table

SHOWN = {
    "nu_centred": "nu_centred_se",
    "nu_centred_base": "nu_centred_se_base",
    "delta_fitted": "delta_fitted_se",
    "separation_difference": "separation_difference_se",
    "template_share": "template_share_se",
}
"""Numbers of a latent that are given with their interval, and the column of their error."""
RANGES = {"delta_fitted": (0.0, 1.0), "separation_difference": (-1.0, 1.0), "template_share": (0.0, 1.0)}
UNBOUNDED = -np.inf, np.inf


@dataclass(frozen=True, eq=False)
class Seed:
    """One dictionary of one seed, with its latents and what was called."""

    seed: int
    dictionary: Dictionary
    latents: Latents
    called: Called
    against: Called | None
    """The same calibrated on the null tune alone; None without a null tune besides another null."""

    @property
    def upheld(self) -> np.ndarray | None:
        """Calls that hold on the null tune's latents, too [F] of bool; None where that was not asked."""
        if self.against is None:
            return None
        return np.asarray(np.isin(self.called.call, CALLS) & (self.against.call == self.called.call))


def live_of(item: Seed) -> np.ndarray:
    """Latents that are not dead [F] of bool."""
    return ~np.asarray(item.latents["dead"], dtype=bool)


def rows(item: Seed, calibrated: bool) -> pl.DataFrame:
    """One row a latent: its call, p and q of each call, what was tested for it, and its numbers with 95 % intervals."""
    columns: dict[str, Any] = {
        "latent": pl.Series(range(len(item.called.call)), dtype=pl.UInt32),
        "seed": pl.Series([item.seed] * len(item.called.call), dtype=pl.UInt32),
        "call": pl.Series(item.called.call.tolist() if calibrated else [None] * len(item.called.call), dtype=pl.String),
    }
    columns["upheld"] = pl.Series(
        [None] * len(item.called.call) if item.upheld is None else item.upheld.tolist(), dtype=pl.Boolean
    )
    for name in item.called.p:
        key = name.replace("-", "_")
        columns[f"p_{key}"], columns[f"q_{key}"] = item.called.p[name], item.called.q[name]
    value, error, by = statistic(item.latents, item.dictionary.kind, item.called.call)
    within = np.array([RANGES.get(name, UNBOUNDED) for name in by]).T
    columns |= with_ends("tested", value, error, item.latents, within) | {"tested_by": by.tolist()}
    for shown, se in SHOWN.items():
        if shown in item.latents:
            columns |= with_ends(
                shown, item.latents[shown], item.latents[se], item.latents, RANGES.get(shown, UNBOUNDED)
            )
    for (criterion, what), mask in fixed(item.latents, item.dictionary.kind).items():
        columns[f"{what} by {criterion}"] = mask
    table = pl.DataFrame(columns)
    return table.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))


def with_ends(
    name: str, value: np.ndarray, error: np.ndarray, latents: Latents, within: ArrayLike
) -> dict[str, np.ndarray]:
    """A number of each latent with the ends of its 95 % interval, cut to the (least, largest) that it can be."""
    least, largest = np.asarray(within)
    low, high = (np.clip(end, least, largest) for end in t_interval(value, error, latents["active_blocks"]))
    return {name: value, f"{name}_low": low, f"{name}_high": high}


Named = dict[str, dict[str, dict[int, np.ndarray]]]
"""criterion -> call -> seed -> mask [F] of the latents named."""


def named(items: Sequence[Seed], calibrated: bool) -> Named:
    """The latents of each call: calibrated, those of them that are upheld, and by the literature's thresholds."""
    kind = items[0].dictionary.kind
    calls = [criterion.call for criterion in CRITERIA[kind]] if calibrated else []
    out: Named = {}
    for item in items:
        for call in calls:
            mine_F = item.called.call == call
            out.setdefault("calibrated", {}).setdefault(call, {})[item.seed] = mine_F
            if item.upheld is not None:
                out.setdefault("upheld", {}).setdefault(call, {})[item.seed] = item.upheld & mine_F
        for (criterion, call), mask_F in fixed(item.latents, kind).items():
            out.setdefault(criterion, {}).setdefault(call, {})[item.seed] = mask_F
    return out


def counts(items: Sequence[Seed], by_criterion: Named) -> dict[str, Any]:
    """Latents named by each criterion, and those that calls leave over: a list over seeds."""
    out = {
        criterion: {call: [int(mask_F.sum()) for mask_F in masks.values()] for call, masks in by_call.items()}
        for criterion, by_call in by_criterion.items()
    }
    if "calibrated" in out:
        out["calibrated"] |= {
            name: [int((item.called.call == name).sum()) for item in items] for name in (NONE, UNDETERMINED, DEAD)
        }
    return out


def sets(kind: str, by_criterion: Named) -> dict[str, dict[int, np.ndarray]]:
    """Sets of latents whose stability is asked: criterion -> seed -> mask [F] of the chat-specific ones."""
    if not any(criterion.call == "chat-specific" for criterion in CRITERIA[kind]):
        return {}
    return {name: by_call["chat-specific"] for name, by_call in by_criterion.items() if "chat-specific" in by_call}


def agreed(table: pl.DataFrame) -> list[dict[str, int]]:
    """The consensus list: latents that more than half of all seeds call chat-specific, each as {seed: latent}.

    ``table`` is the whole table of calls; the latents of a group were matched by their decoders and activities.
    """
    mine = table.filter(pl.col("consensus_call") == "chat-specific").sort("consensus", "seed")
    groups = mine.group_by("consensus", maintain_order=True)
    return [{str(row["seed"]): row["latent"] for row in rows.iter_rows(named=True)} for _, rows in groups]


def power(called: Sequence[Called]) -> dict[str, Any]:
    """Null latents that calibrate each call, and the calls of smallest attainable p that the least set must have."""
    return {
        name: {"nulls": number, "smallest_p": 1 / (number + 1), "least_calls": [each.least[name] for each in called]}
        for name, number in called[0].nulls.items()
    }


def main(
    settings_: Annotated[str, typer.Option("--settings", help="The calibration part of the config: JSON, or a file.")],
    name: Annotated[str, typer.Option(help="The dictionary's name.")],
    seeds: Annotated[list[int], typer.Option(help="Its seeds, one option each.")],
    results: Annotated[Path, typer.Option(help="results/<pair>, with dictionaries/ and latents/.")],
    out: Annotated[Path, typer.Option(help="The table of calls; its record is put beside it.")],
    null: Annotated[list[Path] | None, typer.Option(help="Latent tables on the null tune, one option each.")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="Latents of the synthetic benchmark.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Call latents at a stated false discovery rate, and match them across seeds."""
    chosen = settings(Calibration, settings_)
    check_name(out, ".parquet")
    prepare(threads)
    if len(set(seeds)) != len(seeds):
        raise UserError("--seeds: each seed once")
    folders = {seed: results / "dictionaries" / f"{name}-seed{seed}" for seed in seeds}
    tables = {seed: results / "latents" / f"{name}-seed{seed}.parquet" for seed in seeds}
    if own := {table.resolve() for table in tables.values()} & {table.resolve() for table in null or []}:
        raise UserError(f"--null {min(own)}: these are the latents that are to be called; give those of a null tune")
    firings = {seed: table.with_suffix(".firing.parquet") for seed, table in tables.items()}
    weights = [folder / file for folder in folders.values() for file in ("dictionary.safetensors", "dictionary.json")]
    inputs = [*tables.values(), *firings.values(), *weights, *(null or []), *([synthetic] if synthetic else [])]
    with record(f"calls/{name}", out.with_name(f"{name}.run.json"), chosen.model_dump(mode="json"), inputs) as run:
        found = nulls.read(null or [], synthetic, name)
        dictionaries = {seed: load(folder) for seed, folder in folders.items()}
        active = {seed: firing.read(file, dictionaries[seed].shape[2]) for seed, file in firings.items()}
        kind = dictionaries[seeds[0]].kind
        items = []
        for seed, table in tables.items():
            latents = nulls.columns(read_table(table), table)
            called, *again = nulls.called(latents, found, kind, chosen.q)
            items.append(Seed(seed, dictionaries[seed], latents, called, again[0] if again else None))
        against = [item.against for item in items if item.against is not None]
        live = {item.seed: int(live_of(item).sum()) for item in items}
        matched = stable.match(dictionaries, live, active, chosen.match)
        calls = {item.seed: item.called.call for item in items} if found else None
        both = zip(items, matched.tables(calls), strict=True)
        whole_table = pl.concat([pl.concat([rows(item, bool(found)), extra], how="horizontal") for item, extra in both])
        checks = nulls.checks(found, kind)
        by_criterion = named(items, bool(found))
        of_copies = {
            item.seed: copies.groups(matched.vectors[item.seed], active[item.seed], chosen.match) for item in items
        }
        with whole(out) as temporary:
            whole_table.write_parquet(temporary)
        run.result(
            kind=kind,
            seeds=seeds,
            q=chosen.q,
            counts=counts(items, by_criterion),
            distinct=copies.counted(of_copies, by_criterion),
            features=[copies.distinct(of_copies[item.seed], live_of(item)) for item in items],
            power=power([item.called for item in items]),
            power_upheld=power(against) if against else None,
            honesty=checks,
            ranks=ranks(found, kind),
            null_tune=nulls.compared([item.latents for item in items], found, kind, chosen.q),
            stability=matched.summary(sets(kind, by_criterion)),
            consensus=agreed(whole_table) if found and len(seeds) > 1 else None,
        )


if __name__ == "__main__":
    stage(main)
