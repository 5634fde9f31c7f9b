"""Can two models be compared? Answered from configs, tokenizers and weight headers, before any weight is loaded."""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from crossdiff.errors import UserError
from crossdiff.pair.load import Origin, Pair, Which, fingerprint, load_tokenizer
from crossdiff.parts import Pair as Settings
from crossdiff.parts import Source
from crossdiff.provenance.files import sha256_file

SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
WEIGHT_FILES = ["*.safetensors"]
PROBE = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Well, thank you."}]


@dataclass(frozen=True)
class Candidate:
    """One model, found but not yet loaded."""

    which: Which
    origin: Origin
    folder: Path
    """Its files on this machine; for a hub id at first only the small ones."""
    config: PreTrainedConfig
    """Config of its text model."""
    tokenizer: PreTrainedTokenizerBase


def find(which: Which, source: Source, made: Path | None) -> Candidate:
    """Config and tokenizer of a model; ``made`` is its folder where a step of the study made it."""
    path = str(made) if made else source.path
    if path is None or path.endswith(".gguf") or (source.gguf and not made):
        raise UserError(f"pair.{which}: this model has to be made first; give its folder as --{which}")
    template = source.chat_template if which == "chat" else None
    local = Path(path).exists()
    folder = Path(path) if local else _downloaded(which, path, source.revision, SMALL_FILES)
    if local and not folder.is_dir():
        raise UserError(f"pair.{which}.path: {path} is a file; give the model's folder, a hub id or a .gguf file")
    if local and source.revision and not made:
        raise UserError(f"pair.{which}.revision: {path} is a local folder, which has no revisions; leave it out")
    other_ids = {str(old): new for old, new in source.replace_ids.items()}
    origin = Origin(path, None if local else folder.name, _words(source), other_ids)
    try:
        config = AutoConfig.from_pretrained(folder).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"pair.{which}.path: no readable config.json in {folder}: {first_line(error)}") from None
    try:
        tokenizer = load_tokenizer(Origin(str(folder), None, ""), template)
    except UserError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a corrupt file
        raise UserError(f"pair.{which}.path: no readable tokenizer in {folder}: {first_line(error)}") from None
    return Candidate(which, origin, folder, config, tokenizer)


def _words(source: Source) -> str:
    if source.package is not None:
        return f"{source.package.requirement}: {source.package.file}"
    if source.planted is not None:
        return "planted in the base"
    return "/".join(part for part in (source.path, source.gguf) if part)


def _downloaded(which: Which, path: str, revision: str | None, patterns: list[str]) -> Path:
    """Folder of a hub id's snapshot; its name is the commit."""
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise UserError(f"pair.{which}.path: {path} is neither a folder here nor a hub id") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(hub_advice(which, path, revision, error)) from None


def hub_advice(which: Which, path: str, revision: str | None, error: Exception) -> str:
    """Why a model cannot be had from the hub, and what to do about it."""
    key = f"pair.{which}.path: {path}"
    if isinstance(error, GatedRepoError):
        return (
            f"{key} is gated: accept its terms at https://huggingface.co/{path}, then log in with `hf auth login`,"
            " or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{key}: the hub has no such model for you; mend the path, or log in with `hf auth login` if it is private"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"pair.{which}.revision: {path} has no revision {revision}; give a branch, tag or commit that it has"
    why = "" if isinstance(error, LocalEntryNotFoundError) else f": {first_line(error)}"
    return (
        f"{key} (revision {revision or 'main'}) is neither a folder here, nor in the hub cache, nor to be had from the"
        f" hub{why}; connect (and unset HF_HUB_OFFLINE), or run `hf download {path}` where there is a network and give"
        " the folder as path"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def check_shapes(base: Candidate, chat: Candidate) -> None:
    """UserError unless both have the same number of blocks and the same width."""
    for what, name in (("blocks", "num_hidden_layers"), ("dimensions", "hidden_size")):
        ours, theirs = getattr(base.config, name), getattr(chat.config, name)
        if ours != theirs:
            raise UserError(
                f"pair.chat: the base has {ours} {what}, the chat model {theirs}; a pair must share its architecture"
            )


def check_site(candidate: Candidate, layer: int) -> None:
    """UserError unless the model has the block."""
    layers = candidate.config.num_hidden_layers
    if not 0 <= layer < layers:
        raise UserError(f"activations.layer: block {layer} does not exist; the models have {layers}, 0 to {layers - 1}")


def check_tokenizers(base: Candidate, chat: Candidate) -> None:
    """UserError unless every token has the same id in both, and both models have an embedding for each."""
    ours, theirs = base.tokenizer.get_vocab(), chat.tokenizer.get_vocab()
    different = sorted(
        (theirs.get(t, ours.get(t)), t) for t in ours.keys() | theirs.keys() if ours.get(t) != theirs.get(t)
    )
    if different:
        token = different[0][1]
        raise UserError(
            f"pair.chat: the tokenizers differ in {len(different)} tokens, first {token!r}"
            f" (base id {ours.get(token)}, chat id {theirs.get(token)}); a pair must share its tokenizer"
        )
    text = "The tokenizers must agree: déjà vu, 1234 + 5678,\n\n\tif x: return 'ok'"
    if (
        base.tokenizer(text, add_special_tokens=False)["input_ids"]
        != (chat.tokenizer(text, add_special_tokens=False)["input_ids"])
    ):
        raise UserError("pair.chat: the tokenizers cut the same text differently; a pair must share its tokenizer")
    for candidate in (base, chat):
        if candidate.config.vocab_size <= max(theirs.values()):
            raise UserError(
                f"pair.{candidate.which}: the tokenizer has ids up to {max(theirs.values())}, but the model embeds"
                f" only {candidate.config.vocab_size} tokens; give the tokenizer that belongs to the model"
            )


def check_replaced(candidate: Candidate) -> None:
    """UserError unless the model has an embedding for each id that it is to read in the place of another."""
    for old, new in candidate.origin.replace.items():
        if new >= candidate.config.vocab_size:
            raise UserError(
                f"pair.{candidate.which}.replace_ids: {old} is to be read as {new}, but the model embeds only"
                f" {candidate.config.vocab_size} tokens"
            )


def check_template(chat: Candidate) -> None:
    """UserError unless the chat model has a template that can render a conversation."""
    if not chat.tokenizer.chat_template:
        raise UserError(
            f"pair.chat.chat_template: the tokenizer of {chat.origin.path} has no chat template;"
            " give a Jinja file that holds the one the model was tuned with"
        )
    try:
        text = chat.tokenizer.apply_chat_template(PROBE, tokenize=False)
    except jinja2.TemplateError as error:
        raise UserError(f"pair.chat.chat_template: it cannot render a conversation: {first_line(error)}") from None
    if any(message["content"] not in text for message in PROBE):
        raise UserError("pair.chat.chat_template: it leaves out what the user or the assistant says")


def check_weights(candidate: Candidate) -> list[Path]:
    """The weight files of a model; UserError if one is missing, cut short or without the blocks of its config."""
    key, folder = f"pair.{candidate.which}.path", candidate.folder
    files = _weight_files(key, folder)
    names: set[str] = set()
    for file in files:
        if not file.is_file():
            raise UserError(f"{key}: {folder} lacks {file.name}; copy or download the model again")
        try:
            with safe_open(file, "pt") as tensors:
                names |= set(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{key}: {file} is not a whole safetensors file ({first_line(error)}); get it again"
            ) from None
    missing = [n for n in range(candidate.config.num_hidden_layers) if not any(f".layers.{n}." in t for t in names)]
    if missing:
        raise UserError(f"{key}: the weights in {folder} hold nothing of block {missing[0]}; get the model again")
    return files


def _weight_files(key: str, folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        if (folder / "model.safetensors").is_file():
            return [folder / "model.safetensors"]
        raise UserError(f"{key}: there is no model.safetensors in {folder}; save the model as safetensors first")
    try:
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, AttributeError):
        raise UserError(f"{key}: {index} is no index of safetensors files; get it again") from None


def checked(settings: Settings, layer: int, made: dict[Which, Path]) -> Pair:
    """The pair of a config; UserError says why it cannot be compared, and what to change."""
    base = find("base", settings.base, made.get("base"))
    chat = find("chat", settings.chat, made.get("chat"))
    check_shapes(base, chat)
    check_site(base, layer)
    check_tokenizers(base, chat)
    for candidate in (base, chat):
        check_replaced(candidate)
    check_template(chat)
    template_file = settings.chat.chat_template
    return Pair(
        base=_weighed(base),
        chat=_weighed(chat),
        dtype=settings.dtype,
        layers=base.config.num_hidden_layers,
        width=base.config.hidden_size,
        vocabulary=len(chat.tokenizer),
        bos=chat.tokenizer.bos_token_id,
        tokenizer_sha256=_tokenizer_hash(chat.tokenizer),
        template_sha256=fingerprint(_template_text(chat.tokenizer.chat_template)),
        chat_template_file=template_file,
    )


def _weighed(candidate: Candidate) -> Origin:
    """Origin with a revision that stands for the weights; downloads those of a hub id."""
    origin = candidate.origin
    if origin.revision is not None:
        folder = _downloaded(candidate.which, origin.path, origin.revision, SMALL_FILES + WEIGHT_FILES)
        check_weights(Candidate(candidate.which, origin, folder, candidate.config, candidate.tokenizer))
        return origin
    hashes = "".join(sha256_file(file) for file in check_weights(candidate))
    return replace(origin, revision=f"sha256:{sha256(hashes.encode()).hexdigest()}")


def _tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return fingerprint(backend.to_str() if backend else json.dumps(sorted(tokenizer.get_vocab().items())))


def _template_text(template: Any) -> str:
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)
