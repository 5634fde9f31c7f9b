"""Blocked attention against attention written out in fp32, and what it leaves to the fused kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from crossdiff.pair import attention
from crossdiff.pair.attention import blocked
from crossdiff.pair.blocks import read_site
from crossdiff.pair.load import Pair


def written_out(query, key, value, scaling):
    """Position by position, in float64."""
    rows, heads, positions, _ = query.shape
    share = heads // key.shape[1]
    out = torch.empty(rows, positions, heads, value.shape[3], dtype=torch.float64)
    for head in range(heads):
        q, k, v = query[:, head].double(), key[:, head // share].double(), value[:, head // share].double()
        for t in range(positions):
            weight = torch.softmax((k[:, : t + 1] @ q[:, t, :, None]).squeeze(2) * scaling, -1)
            out[:, t, head] = (weight[:, :, None] * v[:, : t + 1]).sum(1)
    return out


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 3),
    groups=st.integers(1, 3),
    share=st.integers(1, 3),
    positions=st.sampled_from([1, 2, 63, 64, 65, 127, 130]),
    width=st.sampled_from([8, 20]),
    seed=st.integers(0, 9),
)
def test_equals_attention_written_out(rows, groups, share, positions, width, seed):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, groups * share, positions, width, generator=generator)
    key, value = (torch.randn(rows, groups, positions, width, generator=generator) for _ in range(2))
    torch.testing.assert_close(
        blocked(query, key, value, 0.3), written_out(query, key, value, 0.3).float(), rtol=1e-5, atol=1e-5
    )


def test_bf16_rounds_about_as_the_fused_kernel():
    query, key, value = (torch.randn(4, heads, 100, 64).bfloat16() for heads in (9, 3, 3))
    exact = written_out(query, key, value, 0.125)
    found = blocked(query, key, value, 0.125).double()
    assert float((found - exact).norm() / exact.norm()) < 0.005


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_model_reads_what_it_reads_with_the_fused_kernel(llama_pair, dtype, monkeypatch):
    fused = AutoModelForCausalLM.from_pretrained(llama_pair.chat, dtype=dtype, attn_implementation="sdpa")
    mine = AutoModelForCausalLM.from_pretrained(llama_pair.chat, dtype=dtype, attn_implementation=attention.NAME)
    calls = []
    monkeypatch.setattr(attention, "blocked", lambda *given: calls.append(given) or blocked(*given))
    ids_BT = torch.randint(5, 300, (3, 90), generator=torch.Generator().manual_seed(0))
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[0, :9] = 0
    with torch.no_grad():
        found, expected = read_site(mine, 2, ids_BT), read_site(fused, 2, ids_BT)
        assert len(calls) == (3 if dtype == torch.bfloat16 else 0)
        assert float((found - expected).float().norm() / expected.float().norm()) < 0.02
        assert torch.equal(read_site(mine, 2, ids_BT, mask_BT), read_site(fused, 2, ids_BT, mask_BT))
    read_site(mine.requires_grad_(True), 2, ids_BT).sum().backward()
    assert len(calls) == (3 if dtype == torch.bfloat16 else 0)


def test_the_pair_uses_it(llama_pair):
    assert Pair.read(llama_pair.json).model("base").config._attn_implementation == attention.NAME


def test_a_sliding_window_is_kept(tiny_pairs):
    """Rows longer than the window need its mask; layers without a window are still attended in blocks."""
    models = {
        name: AutoModelForCausalLM.from_pretrained(
            tiny_pairs("gemma3_text").chat, dtype=torch.bfloat16, attn_implementation=name
        )
        for name in ("sdpa", attention.NAME)
    }
    config = models["sdpa"].config
    assert config.sliding_window < 90
    assert {"sliding_attention", "full_attention"} <= set(config.layer_types)
    ids_BT = torch.randint(5, 300, (3, 90), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = (read_site(model, len(config.layer_types) - 1, ids_BT).float() for model in models.values())
    assert float((found - expected).norm() / expected.norm()) < 0.02
