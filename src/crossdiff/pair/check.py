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
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from crossdiff.errors import UserError, first_line
from crossdiff.pair.load import Origin, Pair, Which, fingerprint, load_tokenizer
from crossdiff.pair.weights import check_finite, check_weights, skeleton
from crossdiff.parts.pair import Pair as Settings
from crossdiff.parts.pair import Source
from crossdiff.provenance.files import sha256_file

SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
WEIGHT_FILES = ["*.safetensors"]
BASE, CHAT = "pair.base", "pair.chat"
"""Where the config names the models of the pair."""
PROBE = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Well, thank you."}]


@dataclass(frozen=True)
class Candidate:
    """One model, found but not yet loaded."""

    key: str
    """What the config calls it, for messages: pair.base, pair.chat or calibration.null_tune."""
    origin: Origin
    folder: Path
    """Its files on this machine; for a hub id at first only the small ones."""
    config: PreTrainedConfig
    """Config of its text model."""
    tokenizer: PreTrainedTokenizerBase


def find(key: str, source: Source, made: Path | None) -> Candidate:
    """Config and tokenizer of a model; ``made`` is its folder where a step of the study made it."""
    path = str(made) if made else source.path
    if path is None or path.endswith(".gguf") or (source.gguf and not made):
        option = "--base" if key == BASE else "--chat"
        raise UserError(f"{key}: this model has to be made first; give its folder as {option}")
    template = None if key == BASE else source.chat_template
    local = Path(path).exists()
    folder = Path(path) if local else _downloaded(key, path, source.revision, SMALL_FILES)
    if local and not folder.is_dir():
        raise UserError(f"{key}.path: {path} is a file; give the model's folder, a hub id or a .gguf file")
    if local and source.revision and not made:
        raise UserError(f"{key}.revision: {path} is a local folder, which has no revisions; leave it out")
    other_ids = {str(old): new for old, new in source.replace_ids.items()}
    origin = Origin(path, None if local else folder.name, _words(source), other_ids)
    try:
        config = AutoConfig.from_pretrained(folder).get_text_config()
    except Exception as error:  # of JSON, of the hub's validation of fields, of the architecture's own code
        raise UserError(f"{key}.path: no readable config.json in {folder}: {first_line(error)}") from None
    try:
        tokenizer = load_tokenizer(Origin(str(folder), None, ""), template, key)
    except UserError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a corrupt file
        raise UserError(f"{key}.path: no readable tokenizer in {folder}: {first_line(error)}") from None
    return Candidate(key, origin, folder, config, tokenizer)


def _words(source: Source) -> str:
    if source.package is not None:
        return f"{source.package.requirement}: {source.package.file}"
    if source.planted is not None:
        return "planted in the base"
    return "/".join(part for part in (source.path, source.gguf) if part)


def _downloaded(key: str, path: str, revision: str | None, patterns: list[str]) -> Path:
    """Folder of a hub id's snapshot; its name is the commit."""
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=patterns))
    except HFValidationError:
        raise UserError(f"{key}.path: {path} is neither a folder here nor a hub id") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(hub_advice(key, path, revision, error)) from None


def hub_advice(key: str, path: str, revision: str | None, error: Exception) -> str:
    """Why a model cannot be had from the hub, and what to do about it."""
    where = f"{key}.path: {path}"
    if isinstance(error, GatedRepoError):
        return (
            f"{where} is gated: accept its terms at https://huggingface.co/{path}, then log in with `hf auth login`,"
            " or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"{where}: the hub has no such model for you; mend it, or log in with `hf auth login` if it is private"
    if isinstance(error, RevisionNotFoundError):
        return f"{key}.revision: {path} has no revision {revision}; give a branch, tag or commit that it has"
    why = "" if isinstance(error, LocalEntryNotFoundError) else f": {first_line(error)}"
    return (
        f"{where} (revision {revision or 'main'}) is neither a folder here, nor in the hub cache, nor to be had from"
        f" the hub{why}; connect (and unset HF_HUB_OFFLINE), or run `hf download {path}` where there is a network and"
        " give the folder as path"
    )


def check_shapes(base: Candidate, chat: Candidate) -> None:
    """UserError unless both have the same number of blocks and the same width."""
    for what, name in (("blocks", "num_hidden_layers"), ("dimensions", "hidden_size")):
        ours, theirs = getattr(base.config, name), getattr(chat.config, name)
        if ours != theirs:
            raise UserError(
                f"{chat.key}: the base has {ours} {what}, the chat model {theirs}; a pair must share its architecture"
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
            f"{chat.key}: the tokenizers differ in {len(different)} tokens, first {token!r}"
            f" (base id {ours.get(token)}, chat id {theirs.get(token)}); a pair must share its tokenizer"
        )
    text = "The tokenizers must agree: déjà vu, 1234 + 5678,\n\n\tif x: return 'ok'"
    if (
        base.tokenizer(text, add_special_tokens=False)["input_ids"]
        != (chat.tokenizer(text, add_special_tokens=False)["input_ids"])
    ):
        raise UserError(f"{chat.key}: the tokenizers cut the same text differently; a pair must share its tokenizer")
    for candidate in (base, chat):
        if candidate.config.vocab_size <= max(theirs.values()):
            raise UserError(
                f"{candidate.key}: the tokenizer has ids up to {max(theirs.values())}, but the model embeds"
                f" only {candidate.config.vocab_size} tokens; give the tokenizer that belongs to the model"
            )


def check_replaced(candidate: Candidate) -> None:
    """UserError unless the model has an embedding for each id that it is to read in the place of another."""
    for old, new in candidate.origin.replace.items():
        if new >= candidate.config.vocab_size:
            raise UserError(
                f"{candidate.key}.replace_ids: {old} is to be read as {new}, but the model embeds only"
                f" {candidate.config.vocab_size} tokens"
            )


def check_template(chat: Candidate) -> None:
    """UserError unless the chat model has a template that can render a conversation."""
    if not chat.tokenizer.chat_template:
        raise UserError(
            f"{chat.key}.chat_template: the tokenizer of {chat.origin.path} has no chat template;"
            " give a Jinja file that holds the one the model was tuned with"
        )
    try:
        text = chat.tokenizer.apply_chat_template(PROBE, tokenize=False)
    except jinja2.TemplateError as error:
        raise UserError(f"{chat.key}.chat_template: it cannot render a conversation: {first_line(error)}") from None
    if any(message["content"] not in text for message in PROBE):
        raise UserError(f"{chat.key}.chat_template: it leaves out what the user or the assistant says")


def checked(settings: Settings, layer: int, made: dict[Which, Path], key: str = CHAT) -> Pair:
    """The pair of a config; UserError says why it cannot be compared, and what to change.

    ``key`` is where the config names the chat model.
    """
    base = find(BASE, settings.base, made.get("base"))
    chat = find(key, settings.chat, made.get("chat"))
    for candidate in (base, chat):
        skeleton(candidate.key, candidate.folder)
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
    key, origin, folder = candidate.key, candidate.origin, candidate.folder
    if origin.revision is not None:
        folder = _downloaded(key, origin.path, origin.revision, SMALL_FILES + WEIGHT_FILES)
    files = check_weights(key, folder)
    check_finite(key, files)
    if origin.revision is not None:
        return origin
    hashes = "".join(sha256_file(file) for file in files)
    return replace(origin, revision=f"sha256:{sha256(hashes.encode()).hexdigest()}")


def _tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return fingerprint(backend.to_str() if backend else json.dumps(sorted(tokenizer.get_vocab().items())))


def _template_text(template: Any) -> str:
    return template if isinstance(template, str) else json.dumps(template, sort_keys=True)
