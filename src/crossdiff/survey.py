"""What can be said of a pair before any work: every finding, not only the first that fails.

The checks are those of the pair step (`crossdiff.pair.check`); what that step downloads or hashes is left alone here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoConfig, AutoModelForCausalLM

from crossdiff.config import Config
from crossdiff.corpus.read import checked as proper
from crossdiff.corpus.read import records
from crossdiff.corpus.render import RowError, compose, plain, tokenise
from crossdiff.costs.sizes import Model
from crossdiff.errors import UserError
from crossdiff.finding import Finding, attempt
from crossdiff.pair import check
from crossdiff.pair.blocks import decoder_layers
from crossdiff.pair.check import Candidate
from crossdiff.pair.load import Which
from crossdiff.parts import CorpusSource, Source
from crossdiff.workflow import corpus_files, made, model, model_files

SIDES: tuple[Which, Which] = ("base", "chat")
TEXT = "Plain text, too: déjà vu, 1234 + 5678."


@dataclass
class Survey:
    """What was found, and what the cost model needs of it."""

    findings: list[Finding] = field(default_factory=list)
    models: dict[Which, Candidate] = field(default_factory=dict)
    """Those that were found."""
    shape: Model | None = None
    """Sizes of the models, exact."""
    download: float = 0.0
    """Bytes of weights that are still on the hub."""

    def ask(self, what: str, check_: Callable[[], str], *needed: Which) -> None:
        """Note what a check says; it stays open if a model that it needs was not found."""
        if missing := [which for which in needed if which not in self.models]:
            self.findings.append(Finding(what, "open", f"needs the {' and the '.join(missing)} model"))
        else:
            self.findings.append(attempt(what, check_))


def survey(study: Config) -> Survey:
    """Look at the models, how they fit together, the site and the corpus."""
    out = Survey()
    for which in SIDES:
        _model(out, study, which)
    both = out.models
    out.ask("architecture", lambda: _shapes(both["base"], both["chat"]), *SIDES)
    out.ask("site", lambda: _site(next(iter(both.values())), study), *([] if both else SIDES))
    out.ask("tokenizer", lambda: _tokenizers(both["base"], both["chat"]), *SIDES)
    out.ask("template", lambda: _template(both["chat"]), "chat")
    out.ask("same ids", lambda: _same_ids(both["base"], both["chat"]), *SIDES)
    for source in study.corpus.sources:
        out.ask(f"corpus {source.name}", partial(_corpus, source, both.get("chat")))
    return out


def _model(out: Survey, study: Config, which: Which) -> None:
    """Whether a model exists, can be built from its config, and has its weights."""
    source: Source = getattr(study.pair, which)
    is_made, folder = made(study, which), model_path(study, which)
    if is_made and not Path(folder or "none", "config.json").is_file():
        out.findings.append(attempt(f"{which} model", lambda: _to_be_made(study, which)))
        if out.findings[-1].verdict == "ok":
            out.findings[-1] = Finding(f"{which} model", "open", out.findings[-1].text)
        return

    def find() -> str:
        if not is_made:
            model_files(study, which)
        found = check.find(which, source, Path(str(folder)) if is_made else None)
        out.models[which] = found
        check.check_replaced(found)
        count, name = skeleton(found)
        config = found.config
        out.shape = out.shape or Model(config.num_hidden_layers, config.hidden_size, config.vocab_size, count)
        where = "folder" if found.origin.commit is None else f"commit {found.origin.commit[:12]} of the hub"
        return f"{found.origin.path} ({where}): {name}, {count / 1e6:,.0f} million parameters"

    out.ask(f"{which} model", find)
    out.ask(f"{which} weights", lambda: _weights(out, out.models[which]), which)


def model_path(study: Config, which: Which) -> str | None:
    """Folder or hub id of a model; None if its source names files that are not there."""
    try:
        return model(study, which).path
    except UserError:
        return None


def _to_be_made(study: Config, which: Which) -> str:
    model_files(study, which)
    how = "planted in the base" if getattr(study.pair, which).planted else "converted from a GGUF file"
    return f"the study makes it ({how}) and checks it then"


def skeleton(candidate: Candidate) -> tuple[int, str]:
    """Parameters and class of a model built from its config without weights; UserError if it cannot be built."""
    key = f"pair.{candidate.which}.path"
    try:
        with torch.device("meta"):
            built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(candidate.folder))
    except (ValueError, KeyError, AttributeError, ImportError) as error:
        raise UserError(
            f"{key}: transformers cannot build a causal language model from {candidate.origin.path}'s config.json"
            f" ({check.first_line(error)}); give a decoder-only model, or install a newer transformers"
        ) from None
    decoder_layers(built)
    return sum(weight.numel() for weight in built.parameters()), type(built).__name__


def _weights(out: Survey, candidate: Candidate) -> str:
    if candidate.origin.commit is None:
        return _measured(check.check_weights(candidate))
    try:
        folder = snapshot_download(
            candidate.origin.path, revision=candidate.origin.commit, local_files_only=True,
            allow_patterns=check.SMALL_FILES + check.WEIGHT_FILES,
        )  # fmt: skip
        cached = Candidate(candidate.which, candidate.origin, Path(folder), candidate.config, candidate.tokenizer)
        return _measured(check.check_weights(cached)) + ", in the hub cache"
    except (UserError, OSError):
        needed = hub_bytes(candidate)
    out.download += needed
    return f"{needed / 1e9:.2f} GB to be downloaded from the hub"


def _measured(files: list[Path]) -> str:
    total = sum(file.stat().st_size for file in files)
    return f"{len(files)} safetensors file{'s' * (len(files) > 1)}, {total / 1e9:.2f} GB"


def hub_bytes(candidate: Candidate) -> int:
    """Bytes of a hub model's safetensors; UserError if it has none, or if the hub does not say."""
    path, key = candidate.origin.path, f"pair.{candidate.which}.path"
    try:
        facts = HfApi().model_info(path, revision=candidate.origin.commit, files_metadata=True)
    except (HfHubHTTPError, OSError) as error:
        raise UserError(check.hub_advice(candidate.which, path, candidate.origin.commit, error)) from None
    sizes = [file.size or 0 for file in facts.siblings or [] if file.rfilename.endswith(".safetensors")]
    if not sizes:
        raise UserError(f"{key}: {path} has no safetensors on the hub; choose a revision that has, or convert it first")
    return sum(sizes)


def _shapes(base: Candidate, chat: Candidate) -> str:
    check.check_shapes(base, chat)
    return f"both have {base.config.num_hidden_layers} blocks of width {base.config.hidden_size}"


def _site(candidate: Candidate, study: Config) -> str:
    layer, blocks = study.activations.layer, candidate.config.num_hidden_layers
    check.check_site(candidate, layer)
    return f"the stream after block {layer}, of 0 to {blocks - 1}"


def _tokenizers(base: Candidate, chat: Candidate) -> str:
    check.check_tokenizers(base, chat)
    return f"the same {len(chat.tokenizer.get_vocab()):,} tokens in both"


def _template(chat: Candidate) -> str:
    check.check_template(chat)
    row = tokenise(chat.tokenizer, [compose(chat.tokenizer, check.PROBE)])[0]
    share = row.roles.count(1) / len(row.ids)
    return f"renders a test conversation in {len(row.ids)} tokens, {share:.0%} of them the template's own"


def _same_ids(base: Candidate, chat: Candidate) -> str:
    """The rows that chat's tokenizer and template make are what base's tokenizer makes of the same strings."""
    rows = [plain(TEXT)]
    if chat.tokenizer.chat_template:
        rows.append(compose(chat.tokenizer, check.PROBE))
    ours, theirs = ([row.ids for row in tokenise(each.tokenizer, rows)] for each in (base, chat))
    # Rows are made once, with the chat model's BOS: the models' own may differ.
    bos = {base.tokenizer.bos_token_id, chat.tokenizer.bos_token_id}
    for row, a, b in zip(rows, ours, theirs, strict=True):
        if [i for i in a if i not in bos] != [i for i in b if i not in bos]:
            raise UserError(
                f"pair.chat: the tokenizers give other ids for {row.text[:40]!r}; a pair must share its tokenizer"
            )
    start = chat.tokenizer.bos_token
    return f"a conversation and a text have the same ids in both; rows start with {start or 'no BOS'}"


def _corpus(source: CorpusSource, chat: Candidate | None) -> str:
    files = corpus_files(source)
    first = next(iter(records(source)), None)
    if first is None:
        raise UserError(f"corpus.sources.{source.name}: {source.path} has no rows; give one that has")
    where = f"{len(files)} local file{'s' * (len(files) > 1)}" if files else f"{source.path} on the hub"
    try:
        content = proper(first.value)
        kind = "text" if isinstance(content, str) else "conversations"
        if chat is not None and not isinstance(content, str):
            compose(chat.tokenizer, content)
    except RowError as fault:
        if source.ill_formed == "refuse":
            raise UserError(
                f"corpus.sources.{source.name}: its first row, column {source.column!r}: {fault}; mend the row, or set"
                " ill_formed: skip"
            ) from None
        return f"{where}; the first row of {source.column!r} would be skipped: {fault}"
    return f"{where}, column {source.column!r} holds {kind}"
