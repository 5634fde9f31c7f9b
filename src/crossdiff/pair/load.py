"""The two models and their one tokenizer, as pair.json names them."""

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from crossdiff.errors import UserError
from crossdiff.pair import attention
from crossdiff.provenance.files import whole

Which = Literal["base", "chat"]


@dataclass(frozen=True)
class Origin:
    """One model."""

    path: str
    """Hub id or local folder."""
    revision: str | None
    """Commit of a hub id; for a folder `sha256:` and the hash of its weights' hashes."""
    source: str
    """What the config says, in words."""
    replace: dict[str, int] = field(default_factory=dict)
    """Token ids that the model reads as others."""

    @property
    def commit(self) -> str | None:
        """The revision to load; None for a folder."""
        return None if self.revision is None or self.revision.startswith("sha256:") else self.revision


@dataclass(frozen=True)
class Pair:
    """Two models that can be compared."""

    base: Origin
    chat: Origin
    dtype: Literal["bfloat16", "float32"]
    layers: int
    width: int
    vocabulary: int
    bos: int | None
    tokenizer_sha256: str
    template_sha256: str
    chat_template_file: str | None

    @classmethod
    def read(cls, path: Path | str) -> "Pair":
        """The pair in a pair.json; UserError if there is none."""
        if not Path(path).is_file():
            raise UserError(f"there is no {path}; make it with python -m crossdiff.pair")
        data = json.loads(Path(path).read_text())
        return cls(**data | {which: Origin(**data[which]) for which in ("base", "chat")})

    def write(self, path: Path) -> None:
        """Write pair.json."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The chat model's tokenizer, with the chat template that the config asks for."""
        return load_tokenizer(self.chat, self.chat_template_file)

    def model(self, which: Which, device: str = "cpu") -> PreTrainedModel:
        """One model in the pair's precision, for inference: eval mode, no gradients."""
        origin: Origin = getattr(self, which)
        config = AutoConfig.from_pretrained(origin.path, revision=origin.commit)
        model = AutoModelForCausalLM.from_pretrained(origin.path, revision=origin.commit, **self._options(config))
        model.get_output_embeddings().register_forward_pre_hook(_contiguous)
        return _resting(model, device, origin.replace)

    def lower(self, which: Which, layer: int, device: str = "cpu") -> PreTrainedModel:
        """The model up to block ``layer``: no block above it and no language-model head is read from disk or held.

        Its stream at the site (`crossdiff.pair.blocks.read_site`) is the whole model's, bit for bit, wherever a block
        does not depend on how many there are: Llama, Gemma 2, Gemma 3 (text), Qwen2 and the like. UserError if the
        block does not exist or the files lack a weight.
        """
        origin: Origin = getattr(self, which)
        config = truncated(AutoConfig.from_pretrained(origin.path, revision=origin.commit), layer, which)
        with _without_report():
            model, found = AutoModel.from_pretrained(
                origin.path, revision=origin.commit, config=config, output_loading_info=True, **self._options(config)
            )
        if found["missing_keys"]:
            raise UserError(
                f"pair.{which}: {origin.path} lacks the weight {min(found['missing_keys'])} of {type(model).__name__};"
                " give a complete decoder-only model"
            )
        return _resting(model, device, origin.replace)

    def ends(self, which: Which) -> PreTrainedModel:
        """The model with its first block alone: embedding, final norm and language-model head are the whole model's.

        For what is read off the weights; its predictions mean nothing.
        """
        origin: Origin = getattr(self, which)
        config = truncated(AutoConfig.from_pretrained(origin.path, revision=origin.commit), 0, which)
        with _without_report():
            model = AutoModelForCausalLM.from_pretrained(
                origin.path, revision=origin.commit, config=config, **self._options(config)
            )
        return _resting(model, "cpu", origin.replace)

    def _options(self, config: PreTrainedConfig) -> dict[str, Any]:
        # The fused kernels leave out the soft cap on attention scores that Gemma 2 was trained with.
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
        return {"dtype": getattr(torch, self.dtype), "attn_implementation": "eager" if capped else attention.NAME}


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
def _without_report() -> Iterator[None]:
    """Within the block, weights that are left aside on purpose are not reported."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def load_tokenizer(origin: Origin, template_file: str | None) -> PreTrainedTokenizerBase:
    """A model's tokenizer; ``template_file`` replaces its chat template."""
    tokenizer = AutoTokenizer.from_pretrained(origin.path, revision=origin.commit)
    if template_file is not None:
        if not Path(template_file).is_file():
            raise UserError(f"pair.chat.chat_template: there is no file {template_file}")
        tokenizer.chat_template = Path(template_file).read_text(encoding="utf-8")
    return tokenizer


def fingerprint(text: str) -> str:
    """Hex SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()
