"""How residual streams are read and stored."""

from typing import Annotated, Literal

from pydantic import Field

from crossdiff.fields import Count
from crossdiff.parts import Part


class Activations(Part):
    """How residual streams are read and stored."""

    layer: Annotated[int, Field(ge=0)]
    """ℓ: the site is the residual stream after decoder block ℓ (0 is the first)."""
    dtype: Literal["bfloat16", "float32", "int8"] = "bfloat16"
    """Stored precision. int8 halves bfloat16: base and chat − base, with a scale for each channel and each token."""
    store: Literal["disk", "stream"] = "disk"
    """Where training tokens are kept. `stream` keeps `sample_tokens` of them and reads the others whenever they are
    needed: all dictionaries are then trained by one job, in one pass over the models."""
    sample_tokens: Count = 1_000_000
    """Training tokens stored when they stream, about: what means, scales and masked norms are taken from."""
    buffer_tokens: Count = 1_000_000
    """Tokens held in memory and shuffled together when they stream, about."""
    batch_tokens: Count = 2048
    """Tokens a forward pass, padding included. On a CPU few enough that a block's work stays in the cache."""
    shard_tokens: Count = 65_536
    """Tokens a shard, about."""
    outlier_factor: Annotated[float, Field(gt=1)] | None = 4.0
    """Mask tokens whose norm exceeds this multiple of the median in either model; null keeps all."""
    skip_first: Annotated[int, Field(ge=0)] = 0
    """Tokens at the start of each row that no dictionary reads or edits: they are left out of training, statistics,
    attribution and patching. The paper does not say so; the study's code leaves out 25 for Llama 3 and 21 for Qwen 2.5
    (the template's fixed start), and none for Gemma, whose BOS it keeps (outlier_factor: null)."""
    check_rows: Count = 4
    """Rows on which batch-size and padding invariance are checked before extraction."""
