"""What a latent makes of each model's stream alone."""

import pytest
import torch
from made import make_dictionary, make_pairs

from crossdiff.dictionaries.recipe import Kind
from crossdiff.examples.readings import halves, readings


@pytest.mark.parametrize("kind", ["crosscoder", "chat-sae"])
def test_one_models_stream_stands_in_both_places(kind: Kind) -> None:
    dictionary, x = make_dictionary(kind), make_pairs(20)
    weight = dictionary.score_weight()
    own, base, chat = readings(dictionary, x, torch.ones(6))
    torch.testing.assert_close(own, dictionary.encode(dictionary.read(x)) * weight)
    for model, found in ((0, base), (1, chat)):
        twice = torch.stack([x[:, model], x[:, model]], 1)
        torch.testing.assert_close(found, dictionary.encode(dictionary.read(twice)) * weight)


def test_an_saes_own_model_reads_as_the_sae_does() -> None:
    sae, x = make_dictionary("chat-sae"), make_pairs(20)
    own, base, chat = readings(sae, x, torch.zeros(6))
    torch.testing.assert_close(own, chat)
    assert not torch.allclose(own, base)


def test_a_diff_saes_readings_differ_by_its_code_and_are_zero_at_the_means() -> None:
    sae, x = make_dictionary("diff-sae", threshold=0.0), make_pairs(50)
    mean_b = torch.arange(6.0)
    own, base, chat = readings(sae, x, mean_b)
    code = torch.relu(chat - base + sae.encoder_bias * sae.score_weight())
    torch.testing.assert_close(own, code)
    at_mean = torch.stack([mean_b, mean_b + sae.mean[0]])[None]
    _, base, chat = readings(sae, at_mean, mean_b)
    torch.testing.assert_close(base, torch.zeros_like(base), atol=1e-5, rtol=0)
    torch.testing.assert_close(chat, torch.zeros_like(chat), atol=1e-5, rtol=0)


def test_a_crosscoders_halves_and_bias_are_its_activity() -> None:
    dictionary, x = make_dictionary(threshold=0.0), make_pairs(40)
    base, chat = halves(dictionary, x)
    whole = torch.relu(base + chat + dictionary.encoder_bias * dictionary.score_weight())
    torch.testing.assert_close(whole, dictionary.encode(x) * dictionary.score_weight())
    moved = x.clone()
    moved[:, 1] += 1
    torch.testing.assert_close(halves(dictionary, moved)[0], base)
