"""The two models and their one tokenizer, as pair.json names them.

Models are loaded by `crossdiff.pair.models`, imported where one is wanted: what transformers runs models with takes
seconds to import, and half of the steps that show tokens run no model.
"""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from crossdiff.errors import UserError
from crossdiff.provenance.files import read_object, whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
        """The pair in a pair.json; UserError if there is none, it is another file, or a folder it names was moved."""
        mend = "make it again with python -m crossdiff.pair"
        data = read_object(Path(path), "; make it with python -m crossdiff.pair", mend)
        from crossdiff.parsing import parse  # the numerics run where pydantic is not

        try:
            pair = parse(cls, data, str(path))
        except UserError as error:
            raise UserError(f"{path} is no pair.json, or of another version; {mend}\n{error}") from None
        for which, origin in (("base", pair.base), ("chat", pair.chat)):
            if origin.commit is None and not Path(origin.path).is_dir():
                raise UserError(
                    f"{path}: the {which} model's folder {origin.path} is not there (paths count from {Path.cwd()});"
                    f" move it back, or {mend}"
                )
        if pair.chat_template_file is not None and not Path(pair.chat_template_file).is_file():
            raise UserError(f"{path}: there is no chat_template_file {pair.chat_template_file}; put it back, or {mend}")
        return pair

    def write(self, path: Path) -> None:
        """Write pair.json."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The chat model's tokenizer, with the chat template that the config asks for."""
        return load_tokenizer(self.chat, self.chat_template_file)

    def model(self, which: Which, device: str = "cpu") -> "PreTrainedModel":
        """One model in the pair's precision for inference: eval mode, no gradients; UserError if a weight lacks."""
        from crossdiff.pair import models

        return models.whole(self, which, device)

    def lower(self, which: Which, layer: int, device: str = "cpu") -> "PreTrainedModel":
        """The model up to block ``layer``, for `crossdiff.pair.blocks.read_site`; see `crossdiff.pair.models`."""
        from crossdiff.pair import models

        return models.lower(self, which, layer, device)

    def ends(self, which: Which) -> "PreTrainedModel":
        """Embedding, final norm and language-model head of a model; see `crossdiff.pair.models`."""
        from crossdiff.pair import models

        return models.ends(self, which)


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
