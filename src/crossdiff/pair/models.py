"""Load the models of a pair for inference: whole, up to the site, or their two ends."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from crossdiff.errors import UserError
from crossdiff.pair import attention
from crossdiff.pair.load import Origin, Pair, Which


def whole(pair: Pair, which: Which, device: str = "cpu") -> PreTrainedModel:
    """One model in the pair's precision: eval mode, no gradients; UserError if a weight lacks."""
    origin = _origin(pair, which)
    config = AutoConfig.from_pretrained(origin.path, revision=origin.commit)
    model = _loaded(pair, which, AutoModelForCausalLM, config)
    model.get_output_embeddings().register_forward_pre_hook(_contiguous)
    return _resting(model, device, origin.replace)


def lower(pair: Pair, which: Which, layer: int, device: str = "cpu") -> PreTrainedModel:
    """The model up to block ``layer``: no block above it and no language-model head is read from disk or held.

    Its stream at the site (`crossdiff.pair.blocks.read_site`) is the whole model's, bit for bit, wherever a block
    does not depend on how many there are: Llama, Gemma 2, Gemma 3 (text), Qwen2 and the like. UserError if the
    block does not exist or the files lack a weight.
    """
    origin = _origin(pair, which)
    config = truncated(AutoConfig.from_pretrained(origin.path, revision=origin.commit), layer, which)
    return _resting(_loaded(pair, which, AutoModel, config), device, origin.replace)


def ends(pair: Pair, which: Which) -> PreTrainedModel:
    """The model with its first block alone: embedding, final norm and language-model head are the whole model's.

    For what is read off the weights; its predictions mean nothing. UserError if a weight is missing.
    """
    origin = _origin(pair, which)
    config = truncated(AutoConfig.from_pretrained(origin.path, revision=origin.commit), 0, which)
    return _resting(_loaded(pair, which, AutoModelForCausalLM, config), "cpu", origin.replace)


def _origin(pair: Pair, which: Which) -> Origin:
    origin: Origin = getattr(pair, which)
    return origin


def _loaded(pair: Pair, which: Which, kind: type[Any], config: PreTrainedConfig) -> PreTrainedModel:
    origin = _origin(pair, which)
    # The fused kernels leave out the soft cap on attention scores that Gemma 2 was trained with.
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    with unreported():
        model, found = kind.from_pretrained(
            origin.path, revision=origin.commit, config=config, dtype=getattr(torch, pair.dtype),
            attn_implementation="eager" if capped else attention.NAME, output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    check_complete(found, f"pair.{which}", origin.path)
    return model


def check_complete(found: Mapping[str, Any], key: str, where: str) -> None:
    """UserError unless transformers found each weight of a model in its shape; others it fills with random numbers.

    ``found`` is its loading info, ``key`` what the config calls the model, ``where`` the model's folder or hub id.
    """
    if lacking := sorted(found["missing_keys"]):
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(
            f"{key}.path: {where} lacks the weight {lacking[0]}{others}; get the model again, or the config.json that"
            " belongs to its weights"
        )
    if found["mismatched_keys"]:
        name, held, wanted = min(found["mismatched_keys"])
        raise UserError(
            f"{key}.path: the weight {name} in {where} has the shape {list(held)}, where its config.json wants"
            f" {list(wanted)}; get the config.json that belongs to the weights"
        )


def truncated(config: PreTrainedConfig, layer: int, which: Which) -> PreTrainedConfig:
    """The config of a model that ends after block ``layer``; lists with an entry a block are cut to match."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    blocks = text.num_hidden_layers
    if not 0 <= layer < blocks:
        raise UserError(
            f"activations.layer: block {layer} does not exist; the {which} model has blocks 0 to {blocks - 1}"
        )
    text.num_hidden_layers = layer + 1
    for name, value in vars(text).items():
        if "layer" in name and isinstance(value, list) and len(value) == blocks:
            setattr(text, name, value[: layer + 1])
    return config


def _contiguous(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Of a view such as the last position of each row, the head's product would copy its weight for every row."""
    return (inputs[0].contiguous(),)


def _resting(model: PreTrainedModel, device: str, replace: Mapping[str, int]) -> PreTrainedModel:
    model.to(torch.device(device))  # type: ignore[arg-type]
    if replace:
        # At the embedding, so that whoever runs the model gives it the ids of the rows.
        model.get_input_embeddings().register_forward_pre_hook(lambda module, args: (replaced(args[0], replace),))
    return model.eval().requires_grad_(False)


def replaced(ids: torch.Tensor, replace: Mapping[str, int]) -> torch.Tensor:
    """Token ids of any shape, with those that are keys of ``replace`` (as JSON has them) replaced."""
    out = ids.clone()
    for old, new in replace.items():
        out[ids == int(old)] = new
    return out


@contextlib.contextmanager
def unreported(progress: bool = True) -> Iterator[None]:
    """Within the block transformers reports no weights: of those left aside on purpose, and of those that
    `check_complete` refuses. ``progress=False`` hides the bar of the loading, too.
    """
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not progress:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
