"""What can be said of a study before any work: every finding, not only the first that fails.

The checks are those of the pair step (`crossdiff.pair.check`) and of the import of dictionaries; what those steps
download or hash is left alone here, and of a corpus the first row alone is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from crossdiff.config import Config
from crossdiff.contents import judges_of
from crossdiff.corpus.formats import local_files
from crossdiff.corpus.read import checked as proper
from crossdiff.corpus.read import records
from crossdiff.corpus.render import RowError, compose, plain, tokenise
from crossdiff.costs.sizes import Model
from crossdiff.dictionaries.published.adapt import check as check_dictionary
from crossdiff.dictionaries.published.fetch import fetch
from crossdiff.dictionaries.published.registry import weights
from crossdiff.dictionaries.published.settings import Published
from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.endpoint import endpoint
from crossdiff.evidence.interpretation.settings import Judge
from crossdiff.finding import Finding, attempt
from crossdiff.pair import check
from crossdiff.pair.check import Candidate
from crossdiff.pair.weights import check_weights, skeleton, weight_files
from crossdiff.parts.corpus import CorpusSource
from crossdiff.paths import local
from crossdiff.workflow import Side, key_of, made, model, model_files, sides, source_of

NAMES: dict[Side, str] = {"base": "base", "chat": "chat", "null": "null tune"}
"""What the findings call the models."""
TEXT = "Plain text, too: déjà vu, 1234 + 5678."


@dataclass
class Survey:
    """What was found, and what the cost model needs of it."""

    findings: list[Finding] = field(default_factory=list)
    models: dict[Side, Candidate] = field(default_factory=dict)
    """Those that were found."""
    shape: Model | None = None
    """Sizes of the models, exact."""
    download: float = 0.0
    """Bytes of weights that are still on the hub."""

    def ask(self, what: str, check_: Callable[[], str], *needed: Side) -> None:
        """Note what a check says; it stays open if a model that it needs was not found."""
        if missing := [which for which in needed if which not in self.models]:
            self.findings.append(
                Finding(what, "open", f"needs the {' and the '.join(map(NAMES.__getitem__, missing))} model")
            )
        else:
            self.findings.append(attempt(what, check_))


def survey(study: Config) -> Survey:
    """Look at the models, how they fit together, the site, the corpus and the dictionaries that are imported."""
    out = Survey()
    for side in sides(study):
        _model(out, study, side)
    any_: Side = next(iter(out.models), "base")
    out.ask("site", lambda: _site(out.models[any_], study), any_)
    _fit(out, "chat")
    if "null" in out.models or ("null" in sides(study) and not made(study, "null")):
        _fit(out, "null")
    for source in study.corpus.sources:
        out.ask(f"corpus {source.name}", partial(_corpus, source, out.models.get("chat")))
    for name, published in study.imported.items():
        _dictionary(out, study, name, published)
    for key, judge in judges_of(study).items():
        if judge.base_url is not None:
            out.ask(key.removeprefix("evidence.interpretation."), partial(_judge, judge, key))
    return out


def _judge(judge: Judge, key: str) -> str:
    asked = endpoint(judge, key)
    asked.ask([{"role": "user", "content": "Say yes."}], 5)
    return f"{asked.name} answers"


def _model(out: Survey, study: Config, side: Side) -> None:
    """Whether a model exists, can be built from its config, and has its weights."""
    what, key, is_made = NAMES[side], key_of(side), made(study, side)
    folder = model_path(study, side)
    if is_made and not Path(folder or "none", "config.json").is_file():
        finding = attempt(f"{what} model", lambda: _to_be_made(study, side, out.models.get("base")))
        out.findings.append(Finding(finding.what, "open", finding.text) if finding.verdict == "ok" else finding)
        return

    def find() -> str:
        if not is_made:
            model_files(study, side)
        found = check.find(key, source_of(study, side), Path(str(folder)) if is_made else None)
        built, config = skeleton(key, found.folder), found.config
        count = sum(weight.numel() for weight in built.parameters())
        out.models[side] = found
        check.check_replaced(found)
        out.shape = out.shape or Model(config.num_hidden_layers, config.hidden_size, config.vocab_size, count)
        where = "folder" if found.origin.commit is None else f"commit {found.origin.commit[:12]} of the hub"
        return f"{found.origin.path} ({where}): {type(built).__name__}, {count / 1e6:,.0f} million parameters"

    out.ask(f"{what} model", find)
    out.ask(f"{what} weights", lambda: _weights(out, out.models[side]), side)


def model_path(study: Config, side: Side) -> str | None:
    """Folder or hub id of a model; None if its source names files that are not there."""
    try:
        return model(study, side).path
    except UserError:
        return None


def _to_be_made(study: Config, side: Side, base: Candidate | None) -> str:
    from crossdiff.pair.plant import check_planting  # peft takes seconds to import

    model_files(study, side)
    planting = source_of(study, side).planted
    if planting:
        check_planting(planting, base.config.num_hidden_layers if base else None, key_of(side))
    how = "planted in the base" if planting else "converted from a GGUF file"
    return f"the study makes it ({how}) and checks it then"


def _weights(out: Survey, candidate: Candidate) -> str:
    key, origin = candidate.key, candidate.origin
    if origin.commit is None:
        return _measured(check_weights(key, candidate.folder))
    try:
        patterns = check.SMALL_FILES + check.WEIGHT_FILES
        cached = snapshot_download(origin.path, revision=origin.commit, local_files_only=True, allow_patterns=patterns)
        weight_files(key, Path(cached))
    except (UserError, OSError):
        needed = hub_bytes(candidate)
        out.download += needed
        return f"{needed / 1e9:.2f} GB to be downloaded from the hub"
    return _measured(check_weights(key, Path(cached))) + ", in the hub cache"


def _measured(files: list[Path]) -> str:
    total = sum(file.stat().st_size for file in files)
    return f"{len(files)} safetensors file{'s' * (len(files) > 1)}, {total / 1e9:.2f} GB"


def hub_bytes(candidate: Candidate) -> int:
    """Bytes of a hub model's safetensors; UserError if it has none, or if the hub does not say."""
    path, key = candidate.origin.path, f"{candidate.key}.path"
    try:
        facts = HfApi().model_info(path, revision=candidate.origin.commit, files_metadata=True)
    except (HfHubHTTPError, OSError) as error:
        raise UserError(check.hub_advice(candidate.key, path, candidate.origin.commit, error)) from None
    sizes = [file.size or 0 for file in facts.siblings or [] if file.rfilename.endswith(".safetensors")]
    if not sizes:
        raise UserError(f"{key}: {path} has no safetensors on the hub; choose a revision that has, or convert it first")
    return sum(sizes)


def _fit(out: Survey, tune: Side) -> None:
    """Whether the base and a tune of it can be compared."""
    models, above = out.models, "" if tune == "chat" else f"{NAMES[tune]} "
    out.ask(f"{above}architecture", lambda: _shapes(models["base"], models[tune]), "base", tune)
    out.ask(f"{above}tokenizer", lambda: _tokenizers(models["base"], models[tune]), "base", tune)
    out.ask(f"{above}template", lambda: _template(models[tune]), tune)
    out.ask(f"{above}same ids", lambda: _same_ids(models["base"], models[tune]), "base", tune)


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
                f"{chat.key}: the tokenizers give other ids for {row.text[:40]!r}; a pair must share its tokenizer"
            )
    start = chat.tokenizer.bos_token
    return f"a conversation and a text have the same ids in both; rows start with {start or 'no BOS'}"


def _corpus(source: CorpusSource, chat: Candidate | None) -> str:
    files = local_files(source)
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
    return f"{where}; column {source.column!r} holds {kind} (its first row was read)"


def _dictionary(out: Survey, study: Config, name: str, published: Published) -> None:
    """Whether a local dictionary can be read and belongs to the models and the site."""
    what, key = f"dictionary {name}", f"dictionaries.{name}"
    if not local(published.origin):
        out.findings.append(Finding(what, "open", f"{published.origin} is on the hub; read when the study imports it"))
        return

    def read() -> str:
        fetched = fetch(published, key)
        format_, file = weights(fetched.path, published.format, fetched.told)
        dictionary = format_.read(file, published.kind)
        _, width, latents = dictionary.shape
        check_dictionary(dictionary, out.shape.width if out.shape else width, study.activations.layer, key)
        return f"{file} ({format_.NAME}): {latents:,} latents of width {width:,}"

    out.ask(what, read)
