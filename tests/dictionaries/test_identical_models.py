"""The control that costs no study: two models that are the same. All is trained, measured and called for real."""

import numpy as np
import pytest
import torch
from planted_data import Planted, small

from crossdiff.activations.store import Block
from crossdiff.attribution.measure import columns, measure
from crossdiff.dictionaries import normalise
from crossdiff.dictionaries.train import train
from crossdiff.evidence.calls.calling import call
from crossdiff.evidence.calls.criteria import fixed


class Twice(Planted):
    """Both models have the chat model's activations."""

    def batch(self, tokens, seed):
        return super().batch(tokens, seed)[:, :1].repeat(1, 2, 1)


@pytest.mark.parametrize("sparsity", ["batchtopk", "l1"])
def test_a_crosscoder_of_identical_models_names_no_latent(sparsity):
    data, recipe = Twice(), small("crosscoder", sparsity, steps=120, matmul="bfloat16")
    dictionary, _ = train(data.batches(recipe.batch), recipe, normalise.fit([data.batch(2000, 1)]), 0)
    # Sums are taken in another order for each model, and Adam makes much of what small gradients differ by.
    assert torch.cosine_similarity(*dictionary.decoder, dim=1).min() > 0.999
    x, tokens = data.batch(800, 5), torch.arange(800)
    block = Block(x, tokens // 20, tokens % 20, tokens, torch.full((800,), 4))
    rows = torch.arange(40)
    found = columns(dictionary, measure(dictionary, [block], ["web"], rows * 0, rows // 2, lambda n: None))
    latents = {name: column.numpy() for name, column in found.items() if isinstance(column, torch.Tensor)}
    alive = ~latents["dead"]
    assert alive.sum() > 5
    np.testing.assert_allclose(latents["delta_norm"][alive], 0.5, atol=0.01)
    np.testing.assert_allclose(latents["nu_activation"][alive], 1, atol=0.05)
    assert not any(mask.any() for mask in fixed(latents, "crosscoder").values())
    assert set(call(latents, [latents], "crosscoder", 0.2).call[alive]) <= {"none", "undetermined"}
