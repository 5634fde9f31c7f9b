"""Small random dictionaries and activations for the tests of attribution and evidence."""

import torch

from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.recipe import Kind


def make_dictionary(
    kind: Kind = "crosscoder", width: int = 6, latents: int = 11, seed: int = 0, threshold: float = 0.3
) -> Dictionary:
    """A random dictionary with its own mean and scale, so that raw and normalised space differ."""
    models = 2 if kind == "crosscoder" else 1
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Dictionary(
        kind=kind,
        score="sum" if models == 2 else "none",
        encoder=draw(models, width, latents),
        encoder_bias=0.1 * draw(latents),
        decoder=draw(models, latents, width),
        decoder_bias=draw(models, width),
        threshold=torch.tensor(threshold),
        mean=draw(models, width),
        scale=torch.tensor(0.7),
    )


def make_pairs(tokens: int = 300, width: int = 6, seed: int = 1) -> torch.Tensor:
    """Activations of both models [tokens, 2, width], float32."""
    return torch.randn(tokens, 2, width, generator=torch.Generator().manual_seed(seed))
