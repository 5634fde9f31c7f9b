"""How latents are measured."""

from typing import Annotated, Literal

from pydantic import Field

from crossdiff.fields import Count, Share
from crossdiff.parts import Part


class Attribution(Part):
    """How latents are measured."""

    split: Literal["train", "validation"] = "validation"
    """Tokens the latents are measured on; the study used training tokens."""
    blocks: Annotated[int, Field(ge=2)] = 20
    """Blocks of rows for the jackknife intervals of β and ν."""
    batch: Count = 2048
    """Tokens a pass."""
    twin_cosine: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """A chat-only and a base-only latent of a crosscoder are twins if their decoder rows' cosine is above this."""
    highest_delta: Share = 0.04308
    """Share of a crosscoder's latents, highest Δ_norm first, whose ν is set beside that of shared ones (the study:
    3,176 of BatchTopK's 73,728, as many as are chat-only in its L1 crosscoder)."""
    firing_tokens: Count = 100_000
    """Tokens, spread over the split, on which it is kept when latents fire: latents of two seeds are matched by it."""
