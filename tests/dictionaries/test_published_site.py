"""Where a published dictionary was trained, in the words of several packages."""

import pytest

from crossdiff.dictionaries.published.site import layer_of
from crossdiff.errors import UserError


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("blocks.13.hook_resid_post", 13), ("blocks.13.hook_resid_pre", 12), ("blocks.0.hook_resid_pre", -1),
        ("layers.7", 7), ("model.layers.7", 7), ("transformer.h.2", 2), ("somewhere", None), (None, None),
    ],
)  # fmt: skip
def test_sites_in_the_words_of_the_packages(hook: str | None, layer: int | None) -> None:
    assert layer_of(hook) == layer


@pytest.mark.parametrize("hook", ["blocks.3.hook_mlp_out", "layers.3.mlp", "blocks.1.attn.hook_z"])
def test_sites_inside_a_block_are_refused(hook: str) -> None:
    with pytest.raises(UserError, match="inside a block; only dictionaries of the residual stream"):
        layer_of(hook)
