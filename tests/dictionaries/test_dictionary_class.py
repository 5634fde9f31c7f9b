from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_data import numpy_decode, numpy_encode

from crossdiff.dictionaries.architecture import Dictionary, read


def draw(kind: str, score: str, width: int, latents: int, threshold: float, seed: int = 0) -> Dictionary:
    models = 2 if kind == "crosscoder" else 1
    g = torch.Generator().manual_seed(seed)
    return Dictionary(
        kind=kind,
        score=score,
        encoder=torch.randn(models, width, latents, generator=g),
        encoder_bias=torch.randn(latents, generator=g),
        decoder=torch.randn(models, latents, width, generator=g),
        decoder_bias=torch.randn(models, width, generator=g),
        threshold=torch.tensor(threshold),
        mean=torch.randn(models, width, generator=g),
        scale=torch.tensor(0.6),
    )


@given(
    kind=st.sampled_from(["crosscoder", "diff-sae", "chat-sae", "base-sae"]),
    score=st.sampled_from(["sum", "concat", "mixed", "none"]),
    tokens=st.integers(1, 9),
    width=st.integers(1, 7),
    latents=st.integers(1, 13),
    threshold=st.sampled_from([0.0, 0.7, 3.0, 1e6]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_encode_decode_and_codes_agree_with_numpy(kind, score, tokens, width, latents, threshold, seed):
    dictionary = draw(kind, score, width, latents, threshold, seed)
    models = dictionary.shape[0]
    x = torch.randn(tokens, models, width, generator=torch.Generator().manual_seed(seed + 1))
    f = dictionary.encode(x)
    assert f.shape == (tokens, latents)
    torch.testing.assert_close(f.double(), torch.from_numpy(numpy_encode(dictionary, x)), rtol=1e-4, atol=1e-4)
    decoded = dictionary.decode(f)
    assert decoded.shape == x.shape
    expected = torch.from_numpy(numpy_decode(dictionary, f.double().numpy()))
    torch.testing.assert_close(decoded.double(), expected, rtol=1e-4, atol=1e-4)

    codes = dictionary.codes(x)
    dense = torch.zeros(tokens, latents)
    dense[codes.token_N, codes.latent_N] = codes.value_N
    assert torch.equal(dense, f)
    assert bool((codes.token_N.diff() >= 0).all())
    assert bool((codes.value_N > 0).all())
    torch.testing.assert_close(dictionary.decode_codes(codes, tokens), decoded, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("score", ["sum", "concat", "mixed"])
@pytest.mark.parametrize("factor", [0.25, 8.0])
def test_scaling_codes_against_decoder_changes_nothing_but_the_codes(score, factor):
    before = draw("crosscoder", score, 5, 9, 1.5)
    after = replace(
        before,
        encoder=before.encoder * factor,
        encoder_bias=before.encoder_bias * factor,
        decoder=before.decoder / factor,
    )
    x = torch.randn(40, 2, 5)
    f, g = before.encode(x), after.encode(x)
    torch.testing.assert_close(g, f * factor)
    torch.testing.assert_close(g * after.score_weight(), f * before.score_weight())
    torch.testing.assert_close(after.decode(g), before.decode(f), rtol=1e-4, atol=1e-5)
    norms = [d.decoder.norm(dim=2) for d in (before, after)]
    delta = [(n[1] - n[0]) / n.max(0).values for n in norms]
    torch.testing.assert_close(*delta)


def test_what_each_kind_reads():
    pair = torch.tensor([[[1.0, 2.0], [5.0, 9.0]]], dtype=torch.bfloat16)
    assert read("crosscoder", pair).tolist() == [[[1, 2], [5, 9]]]
    assert read("diff-sae", pair).tolist() == [[[4, 7]]]
    assert read("chat-sae", pair).tolist() == [[[5, 9]]]
    assert read("base-sae", pair).tolist() == [[[1, 2]]]


def test_difference_is_taken_in_fp32():
    pair = torch.tensor([[[256.0], [257.0 / 256]]]).to(torch.bfloat16)
    assert read("diff-sae", pair).item() == float(pair[0, 1, 0].float() - 256)


def test_directions_are_in_raw_units():
    dictionary = draw("crosscoder", "sum", 4, 3, 0.0)
    one = torch.zeros(1, 3)
    nothing, something = dictionary.decode(one), dictionary.decode(one.index_fill(1, torch.tensor([1]), 2.0))
    torch.testing.assert_close((something - nothing)[0], 2 * dictionary.directions()[:, 1])


def test_a_latent_without_decoder_never_scores():
    dictionary = draw("crosscoder", "sum", 4, 3, 0.0)
    dictionary.decoder[:, 1] = 0
    x = torch.randn(50, 2, 4)
    assert not bool(dictionary.encode(x)[:, 1].any())
    assert 1 not in dictionary.codes(x).latent_N
