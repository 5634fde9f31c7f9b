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
        """One model in the pair's precision for inference: eval mode, no gradients; UserError if a weight lacks."""
        origin: Origin = getattr(self, which)
        config = AutoConfig.from_pretrained(origin.path, revision=origin.commit)
        model = self._loaded(which, AutoModelForCausalLM, config)
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
        return _resting(self._loaded(which, AutoModel, config), device, origin.replace)

    def ends(self, which: Which) -> PreTrainedModel:
        """The model with its first block alone: embedding, final norm and language-model head are the whole model's.

        For what is read off the weights; its predictions mean nothing. UserError if a weight is missing.
        """
        origin: Origin = getattr(self, which)
        config = truncated(AutoConfig.from_pretrained(origin.path, revision=origin.commit), 0, which)
        return _resting(self._loaded(which, AutoModelForCausalLM, config), "cpu", origin.replace)

    def _loaded(self, which: Which, kind: type[Any], config: PreTrainedConfig) -> PreTrainedModel:
        origin: Origin = getattr(self, which)
        # The fused kernels leave out the soft cap on attention scores that Gemma 2 was trained with.
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
        with unreported():
            model, found = kind.from_pretrained(
                origin.path, revision=origin.commit, config=config, dtype=getattr(torch, self.dtype),
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


def load_tokenizer(origin: Origin, template_file: str | None, key: str = "pair.chat") -> PreTrainedTokenizerBase:
    """A model's tokenizer; ``template_file`` replaces its chat template. ``key`` is what the config calls the model."""
    tokenizer = AutoTokenizer.from_pretrained(origin.path, revision=origin.commit)
    if template_file is not None:
        if not Path(template_file).is_file():
            raise UserError(f"{key}.chat_template: there is no file {template_file}")
        tokenizer.chat_template = Path(template_file).read_text(encoding="utf-8")
    return tokenizer


def fingerprint(text: str) -> str:
    """Hex SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()
