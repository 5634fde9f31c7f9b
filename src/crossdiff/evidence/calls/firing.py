"""Do two latents fire together? The cosine of their activities over the tokens that attribution sampled.

Shapes: F and G latents of two seeds, T tokens, E pairs of latents.
"""

from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from crossdiff.evidence.calls.stability import Floats, Near, Pairs
from crossdiff.tables import read_table

CHUNK = 65_536
"""Pairs compared at once."""


def read(path: Path, latents: int) -> csr_array:
    """Activities [F, T] of one dictionary, each latent's scaled to length 1 (a latent that never fires: zeros).

    ``path`` is its firing.parquet (`crossdiff.attribution.firing`); UserError if that is missing or another table.
    """
    table = read_table(path, ("latent", "token", "level"))
    latent_N, token_N, level_N = (table[name].to_numpy() for name in ("latent", "token", "level"))
    square_F = np.bincount(latent_N, np.square(level_N, dtype=np.float64), minlength=latents)
    value_N = (level_N / np.sqrt(square_F)[latent_N]).astype(np.float32)
    tokens = int(token_N.max()) + 1 if len(token_N) else 0
    return csr_array((value_N, (latent_N, token_N)), shape=(latents, tokens))


def cosines(a_FT: csr_array, b_GT: csr_array, pairs: Pairs) -> Floats:
    """Cosine of the two latents' activities for each pair [E]; 0 where one never fires.

    The two may end at different tokens: on those that only one has, the other is silent.
    """
    tokens = max(a_FT.shape[1], b_GT.shape[1])
    a_FT, b_GT = (csr_array((x.data, x.indices, x.indptr), shape=(x.shape[0], tokens)) for x in (a_FT, b_GT))
    found = [np.zeros(0, dtype=np.float32)]
    for first in range(0, len(pairs), CHUNK):
        one, other = pairs[first : first + CHUNK].T
        found.append(np.asarray(a_FT[one].multiply(b_GT[other]).sum(1)))
    return np.concatenate(found)


def fire_alike(near: Near, a_FT: csr_array, b_GT: csr_array, threshold: float) -> Near:
    """The pairs whose activities have at least this cosine, too; of both cosines the smaller one then counts."""
    cosine_E = np.minimum(near.cosine, cosines(a_FT, b_GT, near.pairs))
    kept_E = cosine_E >= threshold
    return Near(near.pairs[kept_E], cosine_E[kept_E])
