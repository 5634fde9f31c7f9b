"""What a latent makes of each model's stream alone, on the same tokens. Numerics only.

    crosscoder         f(h_b, h_b) and f(h_c, h_c): one code serves both models, so each half is given the same stream
    SAE of one model   f(h_b) and f(h_c): the same encoder on each model's stream
    diff-SAE           r_m = w·s·⟨e, h_m − μ_m⟩: how far each stream lies along the direction that the latent reads

f is the activity, scaled by the latent's score weight w; s and e are the normaliser's scale and the latent's encoder
row. μ_c − μ_b is the mean that a diff-SAE takes from the difference, so that r_c − r_b is its activity before bias,
ReLU and threshold. Shapes: W tokens, L models, D width, F latents.
"""

import torch
from torch import Tensor

from crossdiff.dictionaries.architecture import Dictionary


def readings(dictionary: Dictionary, x_WLD: Tensor, mean_D: Tensor) -> list[Tensor]:
    """[W, F] float32 of a pair's raw activations [W, 2, D]: the activity, the base's reading and the chat's.

    ``mean_D`` is μ_b; only a diff-SAE's readings depend on it, and their difference does not.
    """
    weight_F = dictionary.score_weight()

    def active(stream_WLD: Tensor) -> Tensor:
        return dictionary.encode(dictionary.read(stream_WLD)) * weight_F

    if dictionary.kind != "diff-sae":
        return [active(x_WLD), *(active(x_WLD[:, [model, model]]) for model in (0, 1))]
    mean_LD = torch.stack([mean_D, mean_D + dictionary.mean[0]])
    centred_LWD = ((x_WLD.float() - mean_LD) * dictionary.scale).transpose(0, 1)
    return [active(x_WLD), *(centred_LWD @ dictionary.encoder[0] * weight_F)]


def halves(dictionary: Dictionary, x_WLD: Tensor) -> Tensor:
    """What each model adds to a crosscoder's activity, [L, W, F] float32: w·s·⟨e_m, h_m − μ_m⟩.

    Both together, with the latent's bias, are its activity before ReLU and threshold.
    """
    normal_LWD = ((x_WLD.float() - dictionary.mean) * dictionary.scale).transpose(0, 1)
    return normal_LWD @ dictionary.encoder * dictionary.score_weight()
