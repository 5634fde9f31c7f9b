"""The tables beside the latent table, as frames."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import polars as pl
import torch
from made import make_dictionary, make_pairs

from crossdiff.activations.store import Block
from crossdiff.attribution import tables
from crossdiff.attribution.measure import columns, measure
from crossdiff.attribution.overall import COMPARISONS, comparisons
from crossdiff.attribution.template import slots


def twin_crosscoder():
    """Two twins: chat-only 0 and 1, base-only 4 and 5 with the same directions; the others are shared."""
    dictionary = make_dictionary(latents=8)
    decoder = dictionary.decoder.clone()
    decoder[1, 4:6], decoder[0, 4:6] = 1e-3, decoder[1, 0:2]
    decoder[0, 0:2] = 1e-3
    decoder[0, 2:4], decoder[0, 6:] = decoder[1, 2:4], decoder[1, 6:]
    return replace(dictionary, decoder=decoder)


def measured(dictionary, x, roles):
    tokens = len(x)
    row, position = torch.arange(tokens) // 10, torch.arange(tokens) % 10
    block = Block(x, row, position, torch.arange(tokens), roles)
    found = slots(torch.arange(tokens) % 10, roles, torch.full((tokens // 10,), 10))
    pieces = torch.arange(tokens).split(70)
    parts = [Block(*(field[piece] for field in block)) for piece in pieces]
    rows = tokens // 10
    result = measure(
        dictionary, parts, ["web"], torch.zeros(rows).long(), torch.arange(rows) % 4, lambda n: None, found
    )
    return result, found, SimpleNamespace(blocks=lambda batch: iter(parts))


def test_tables_of_a_crosscoder_with_twins():
    dictionary, x = twin_crosscoder(), make_pairs(300)
    roles = torch.tensor([0, 1, 1, 2, 2, 1, 3, 3, 3, 1]).repeat(30)
    result, places, view = measured(dictionary, x, roles)
    found = columns(dictionary, result)
    assert found["class"] == ["chat-only"] * 2 + ["shared"] * 2 + ["base-only"] * 2 + ["shared"] * 2
    twins = tables.twins(dictionary, found, view, 0.9, 64)
    assert set(twins.filter(kind="twin").select("chat", "base").rows()) == {(0, 4), (1, 5)}
    assert set(twins.filter(kind="false").select("chat", "base").rows()) == {(1, 4), (0, 5)}
    assert twins.filter(kind="twin")["cosine"].min() > 0.99
    active = dictionary.encode(x) * dictionary.score_weight() > 0
    first = twins.row(by_predicate=(pl.col("kind") == "twin") & (pl.col("chat") == 0), named=True)
    assert first["tokens_both"] == int((active[:, 0] & active[:, 4]).sum())
    assert first["chat_given_base"] == first["tokens_both"] / int(active[:, 4].sum())

    table = tables.template(result, places, lambda ids: f"<{ids[0]}>")
    shares = table.group_by("latent").agg(pl.col("share").sum()).sort("latent")
    torch.testing.assert_close(shares["share"].to_torch(), found["template_share"].float())
    one = table.row(by_predicate=(pl.col("latent") == 3) & (pl.col("after") == "assistant"), named=True)
    at = (torch.arange(300) % 10 == 5) & active[:, 3]
    assert (one["active"], one["token"], one["before"]) == (int(at.sum()), "<5>", "user")
    assert abs(one["rate"] - one["active"] / 30) < 1e-6

    found["nu_activation"] = torch.linspace(-0.4, 1.7, 8)
    values = comparisons(dictionary, found, 0.25)
    shared = values.filter(pl.col("at").is_null(), quantity="cosine", group="shared")
    assert shared["value"].item() > 0.999
    assert values.filter(pl.col("at").is_null(), quantity="cosine", group="random pairs")["n"].item() == 10_000
    below = values.filter(quantity="nu_activation_below", at=1.0)["value"].item()
    assert below == int((found["nu_activation"].abs() < 1).sum())
    assert {"overlap_nu_error_normal", "overlap_nu_reconstruction_quantiles"} <= set(values["quantity"])
    top = values.filter(quantity="overlap_nu_error_quantiles", group="highest delta_norm in shared")
    assert top["n"].item() == 2  # a quarter of eight: the two chat-only ones
    assert values.filter(quantity="delta_norm_highest")["value"].item() == float(found["delta_norm"].max())
    often = values.filter(quantity="nu_activation_below_frequency", at=1.0)["value"].item()
    mass = values.filter(quantity="nu_activation_below_activation", at=1.0)["value"].item()
    mine = found["nu_activation"].abs() < 1
    assert abs(often - float(found["frequency"][mine].sum())) < 1e-6
    assert 0 < mine.sum() < 8
    assert abs(mass - float((found["frequency"] * found["mean"])[mine].sum())) < 1e-6 * mass
    nu = found["nu_error"].clone()
    nu[0] = torch.nan
    counted = comparisons(dictionary, found | {"nu_error": nu}, 0.25)
    missing = counted.filter(quantity="nu_error_undefined")
    assert (missing["group"].item(), missing["value"].item(), missing["n"].item()) == ("chat-only", 1, 2)
    both = counted.filter(pl.col("at").is_null(), quantity="nu_error", group="chat-only and as many shared")
    pairs = [float(nu[1] + nu[a] + nu[b]) / 3 for a, b in combinations((2, 3, 6, 7), 2)]
    assert both["n"].item() == 3
    assert min(abs(both["value"].item() - mean) for mean in pairs) < 1e-6
    alone = counted.filter(quantity="nu_error", group="chat-only")
    assert alone["value"].to_list() == [float(nu[1])] * 6
    posed = found["nu_error_valid"]
    wanted = np.corrcoef(found["delta_norm"][posed].numpy(), found["nu_error"][posed].numpy())[0, 1]
    row = values.filter(quantity="pearson_delta_norm_nu_error")
    assert (row["n"].item(), row["group"].item()) == (int(posed.sum()), "well-posed")
    assert abs(row["value"].item() - wanted) < 1e-6


def test_tables_of_an_sae_have_the_same_columns():
    for kind in ("diff-sae", "chat-sae"):
        dictionary, x = make_dictionary(kind), make_pairs(100)
        result, _, view = measured(dictionary, x, torch.full((100,), 4))
        found = columns(dictionary, result)
        assert tables.twins(dictionary, found, view, 0.9, 64).schema == pl.DataFrame(schema=tables.TWINS).schema
        values = comparisons(dictionary, found, 0.25)
        below = {f"nu_activation_below{of}" for of in ("", "_frequency", "_activation")}
        assert (
            below
            <= set(values["quantity"])
            <= below | {f"{k}_nu_activation_frequency" for k in ("pearson", "spearman")}
        )
        assert values.columns == list(COMPARISONS)


def test_a_dictionary_without_twins_reads_nothing_again():
    dictionary, x = make_dictionary(), make_pairs(100)
    result, _, _ = measured(dictionary, x, torch.full((100,), 4))
    assert tables.twins(dictionary, columns(dictionary, result), SimpleNamespace(), 0.999, 64).height == 0


def test_dead_latents_have_no_numbers():
    dictionary, x = make_dictionary(), make_pairs(100)
    result, _, _ = measured(dictionary, x, torch.full((100,), 4))
    found = columns(dictionary, result)
    found["dead"] = torch.ones_like(found["dead"])
    assert comparisons(dictionary, found, 0.5).height == 0
