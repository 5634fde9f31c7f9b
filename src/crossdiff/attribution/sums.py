"""Sums over sparse codes: the one gather-and-add that scaling, counts and edits are made of, in a fixed order.

Codes are triples (token_N, latent_N, value_N), one for each active entry. Edits group them by token and gather
decoder rows; Latent Scaling groups them by latent and gathers activations.
"""

import torch
import torch.nn.functional as nnf
from torch import Tensor


def weighted_sums(rows_RD: Tensor, index_N: Tensor, group_N: Tensor, value_N: Tensor, groups: int) -> Tensor:
    """Σ over entries of a group of value · rows[index], as [groups, D]; groups without entries are 0.

    ``rows_RD`` and ``value_N`` share a float dtype; ``group_N`` need not be sorted.
    """
    out_GD = rows_RD.new_zeros(groups, rows_RD.shape[1])
    if not len(index_N):
        return out_GD
    if bool((group_N[1:] < group_N[:-1]).any()):
        order_N = torch.argsort(group_N, stable=True)
        index_N, group_N, value_N = index_N[order_N], group_N[order_N], value_N[order_N]
    present_P, counts_P = torch.unique_consecutive(group_N, return_counts=True)
    offsets_P = torch.cumsum(counts_P, 0) - counts_P
    sums_PD = nnf.embedding_bag(index_N, rows_RD, offsets_P, mode="sum", per_sample_weights=value_N)
    out_GD[present_P] = sums_PD
    return out_GD


def summed(value_N: Tensor, place_N: Tensor, like: Tensor) -> Tensor:
    """Sum of the values at each place of ``like`` made flat, in the same order on every device and in every run."""
    one_11, first_N = value_N.new_ones(1, 1), torch.zeros_like(place_N)
    return weighted_sums(one_11, first_N, place_N, value_N, like.numel()).view_as(like)
