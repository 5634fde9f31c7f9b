"""The layer sweep against the experiment at one site, and the step that writes it."""

import json

import polars as pl
import pytest
import torch

from crossdiff.corpus.render import render
from crossdiff.errors import UserError
from crossdiff.evidence.kl.divergence import (
    Conversation,
    base_top_kl,
    baseline_streams,
    kl_rows,
    patched_kl,
    predictions,
)
from crossdiff.evidence.kl.layers import chosen_layers
from crossdiff.evidence.kl.layers import main as sweep
from crossdiff.evidence.kl.sweep import swept
from crossdiff.evidence.settings import Evidence
from crossdiff.evidence.streams import Site
from crossdiff.parsing import dump


@pytest.fixture
def conversation(tokenizer):
    row = render(tokenizer, [
        {"role": "user", "content": "How do plants make food?"},
        {"role": "assistant", "content": "They turn light, water and air into sugar, all day long."},
    ])  # fmt: skip
    return Conversation(7, "chat", row.ids, row.roles)


def test_at_the_site_it_is_the_experiment(tiny_pair, conversation):
    site = Site(tiny_pair.model("base"), tiny_pair.model("chat"), 1, None)
    roles_T = torch.tensor(conversation.roles)
    positions_P = predictions(roles_T).nonzero().flatten()
    (x_TLD,) = site.streams([conversation.ids])
    found = baseline_streams(site, x_TLD, roles_T)
    kl = dict(zip(found, patched_kl(site, x_TLD[:, 1], torch.stack(list(found.values())), positions_P), strict=True))
    kl |= base_top_kl(site, x_TLD, positions_P)
    names = ["none", "template", "chat-to-base"]
    expected = kl_rows(conversation, names, torch.stack([kl[name] for name in names]), positions_P)
    rows = swept(site, conversation, [0, 1, 3])
    here = [{key: value for key, value in row.items() if key != "layer"} for row in rows if row["layer"] == 1]
    assert [{**row, "kl": pytest.approx(row["kl"], rel=1e-4)} for row in expected] == here
    assert [row["layer"] for row in rows] == [0] * 9 + [1] * 9 + [3] * 9


def test_identical_models_have_no_kl_anywhere(llama_pair, conversation):
    site = Site(llama_pair.model("chat"), llama_pair.model("chat"), 0, None)
    assert all(abs(row["kl"]) < 1e-4 for row in swept(site, conversation, [0, 1, 2, 3]))


def test_the_step_writes_every_block(llama_pair, conversation, tmp_path):
    rows = pl.DataFrame([{
        "row": 4, "split": "validation", "source": "chat", "ids": conversation.ids, "roles": conversation.roles,
    }])  # fmt: skip
    rows.write_parquet(tmp_path / "rows.parquet")
    sweep(dump(Evidence(layer_sweep="all")), llama_pair.json, tmp_path / "rows.parquet", tmp_path / "out", 1)
    table = pl.read_parquet(tmp_path / "out/kl.parquet")
    assert table["layer"].unique().sort().to_list() == [0, 1, 2, 3]
    assert set(table["intervention"]) == {"none", "template", "chat-to-base"}
    assert bool((table["kl"] >= -1e-4).all())
    assert json.loads((tmp_path / "out/run.json").read_text())["results"]["layers"] == [0, 1, 2, 3]


def test_a_block_that_is_not_there_is_named():
    assert chosen_layers([3, 1, 3], 4) == [1, 3]
    with pytest.raises(UserError, match="no block 4; the models have 0 to 3"):
        chosen_layers([1, 4], 4)
    with pytest.raises(UserError, match="or all"):
        chosen_layers(None, 4)
