"""Decoder blocks of a language model: read the stream after one, replace it, or run only the blocks above.

The site ℓ is the output of decoder block ℓ (0 is the first). Everything here goes through the model's own
forward, so masks, rotary embeddings, sliding windows and soft caps are the model's own; exact for
Llama, Gemma 2, Gemma 3 (text) and Qwen2, and for any other model whose blocks form one residual stream.

B rows, T positions, D width, V vocabulary.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from crossdiff.errors import UserError

Edit = Callable[[torch.Tensor], torch.Tensor]


class _ReachedError(Exception):
    """The forward has passed the last site wanted."""


class _Through(nn.Module):
    """A block that returns its stream unchanged."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return hidden_states


def decoder(model: PreTrainedModel) -> nn.Module:
    """The stack of blocks with its embedding and final norm, without the language-model head."""
    return model.get_decoder()


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder blocks in order; UserError if the model has none."""
    layers = getattr(decoder(model), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise UserError(f"pair: {type(model).__name__} has no list of decoder blocks; give a decoder-only model")
    return layers


def _block(model: PreTrainedModel, layer: int) -> nn.Module:
    layers = decoder_layers(model)
    if not 0 <= layer < len(layers):
        raise UserError(
            f"activations.layer: block {layer} does not exist; the model has {len(layers)}, 0 to {len(layers) - 1}"
        )
    return layers[layer]


def read_site(
    model: PreTrainedModel, layer: int, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kw: Any
) -> torch.Tensor:
    """Stream h_BTD after block ``layer``, in the model's dtype; the blocks above and the head do not run.

    ``input_ids`` [B, T] int64; ``attention_mask`` [B, T], 1 on tokens and 0 on padding. Positions that are padded
    hold numbers without meaning. Gradients flow if they are enabled. UserError if the block does not exist.
    """

    return read_sites(model, [layer], input_ids, attention_mask, **kw)[0]


def read_sites(
    model: PreTrainedModel,
    layers: Sequence[int],
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    **kw: Any,
) -> list[torch.Tensor]:
    """What `read_site` gives at each of ``layers``, from one pass that ends at the deepest of them."""
    found: dict[int, torch.Tensor] = {}

    def keep(layer: int) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            found[layer] = output
            if layer == max(layers):
                raise _ReachedError

        return hook

    blocks = {layer: _block(model, layer) for layer in layers}
    handles = [block.register_forward_hook(keep(layer)) for layer, block in blocks.items()]
    try:
        decoder(model)(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **kw)
    except _ReachedError:
        return [found[layer] for layer in layers]
    finally:
        for handle in handles:
            handle.remove()
    raise RuntimeError(f"{type(model).__name__} ran without passing block {max(layers)}")


@contextlib.contextmanager
def patched(model: PreTrainedModel, layer: int, edit: Edit) -> Iterator[PreTrainedModel]:
    """Within the block, the stream after block ``layer`` is ``edit(h_BTD)``; gradients flow through the edit.

    With a key/value cache (generation) ``edit`` gets just the new positions: [B, T, D] for the prompt, then [B, 1, D].
    """

    def replace(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        return edit(output)

    handle = _block(model, layer).register_forward_hook(replace)
    try:
        yield model
    finally:
        handle.remove()


@contextlib.contextmanager
def _only_above(model: PreTrainedModel, layer: int) -> Iterator[None]:
    """Within the block, blocks 0..``layer`` pass their stream through."""
    _block(model, layer)
    layers = decoder_layers(model)
    own = list(layers[: layer + 1])
    try:
        for index in range(layer + 1):
            layers[index] = _Through()
        yield
    finally:
        for index, block in enumerate(own):
            layers[index] = block


def upper(
    model: PreTrainedModel,
    layer: int,
    h_BTD: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    head: bool = True,
    **kw: Any,
) -> torch.Tensor:
    """Logits [B, T, V] of the model when ``h_BTD`` (model's dtype) is the stream after block ``layer``.

    Only the blocks above run. ``head=False`` gives the hidden state [B, T, D] after the final norm instead. Other
    keywords go to the model's forward: ``logits_to_keep`` (a number, or the positions wanted) saves most of the
    head's cost. Gradients reach ``h_BTD`` if it requires them.
    """
    with _only_above(model, layer):
        inputs: dict[str, Any] = {"inputs_embeds": h_BTD, "attention_mask": attention_mask, "use_cache": False, **kw}
        if head:
            return model(**inputs).logits
        return decoder(model)(**inputs).last_hidden_state
