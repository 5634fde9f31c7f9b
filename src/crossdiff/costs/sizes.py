"""What the cost model counts: a machine in three constants, a study in its sizes, a stage in what it takes."""

from dataclasses import dataclass, replace

from crossdiff.activations.disk import bytes_a_token
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.truth.synthetic.presets import Preset

MOMENT_BYTES = {"float32": 4, "bfloat16": 2, "float8": 1}
"""Bytes of an entry of one of Adam's moments."""


@dataclass(frozen=True)
class Machine:
    """What was measured with all ``threads`` at work, or on one GPU."""

    bf16: float
    """FLOP/s of bf16 matrix products."""
    fp32: float
    """FLOP/s of float32 matrix products."""
    bandwidth: float
    """Bytes read and written a second."""
    threads: int = 1
    gpu: bool = False
    eight: bool = False
    """Whether BatchTopK's entries are screened by 8-bit products."""

    def part(self, threads: int) -> "Machine":
        """What a job with so many threads has of it, others being at work beside it; a GPU serves one job at a time."""
        share = 1.0 if self.gpu else min(1.0, threads / self.threads)
        return replace(
            self, bf16=self.bf16 * share, fp32=self.fp32 * share, bandwidth=self.bandwidth * share, threads=threads
        )

    def beside(self, threads: int) -> int:
        """Jobs with so many threads that run side by side."""
        return 1 if self.gpu else max(1, self.threads // threads)


@dataclass(frozen=True)
class Model:
    """Sizes of each of the two models."""

    layers: int
    width: int
    vocabulary: int
    parameters: float
    """All, embeddings included."""

    def blocks(self, count: int) -> float:
        """Parameters of so many decoder blocks."""
        return max(0.0, self.parameters - self.vocabulary * self.width) * count / self.layers


@dataclass(frozen=True)
class Work:
    """Sizes of a study."""

    model: Model
    layer: int
    train_tokens: int
    validation_tokens: int
    context: int
    dictionaries: list[Recipe]
    seeds: int = 1
    stored_bytes: int = 2
    """Of one stored number."""
    batch_tokens: int = 4096
    shard_tokens: int = 65_536
    attribution_tokens: int = 0
    example_latents: int = 0
    """Latents of each dictionary and seed that get texts; how many are called is not known before."""
    conversations: int = 48
    answer_tokens: int = 32
    interventions: tuple[str, ...] = ("whole", "halves")
    swept: tuple[int, ...] = ()
    """Blocks of the layer sweep."""
    prompt_tokens: int = 0
    """Longest generated answer to a prompt of `evidence.prompts`; 0 without them."""
    steered_answers: int = 0
    """Answers under steering, a dictionary."""
    random_sets: int = 2
    generated_sets: int = 1
    added_answers: int = 2
    behaviours: int = 0
    """Planted behaviours; 0 for a pair that is not planted."""
    behaviour_prompts: int = 8
    new_tokens: int = 40
    planted_tokens: int = 0
    """Tokens that planting trains on, in all steps."""
    null_seeds: int = 0
    """Seeds of the dictionaries on the base and a null tune; 0 without one."""
    null_tokens: int = 0
    """Tokens that the null tune trains on, in all steps; 0 if it is not made here."""
    models_made: int = 0
    """Models that the study writes itself."""
    synthetic: Preset | None = None
    """Size of the synthetic benchmark, if the study has one."""
    synthetic_seeds: int = 0
    threads_models: int = 2
    threads_tuning: int = 1
    tuning_batch: int = 0
    """Tokens of a tuning step."""
    threads_dictionaries: int = 1

    stored_tokens: int | None = None
    """Training tokens that lie on disk, if not all of them: the others are read while dictionaries train."""

    @property
    def tokens(self) -> int:
        """Stored pairs."""
        train = self.train_tokens if self.stored_tokens is None else self.stored_tokens
        return train + self.validation_tokens

    @property
    def streams(self) -> bool:
        """Whether training reads the models."""
        return self.stored_tokens is not None and self.stored_tokens < self.train_tokens

    def bytes(self, tokens: int) -> float:
        """Of so many stored pairs."""
        return float(tokens * bytes_a_token(2, self.model.width, self.stored_bytes))


@dataclass(frozen=True)
class Stage:
    """What a stage takes."""

    name: str
    seconds: list[float]
    """Of each job."""
    memory: float
    """Bytes of its largest job."""
    disk: float = 0.0
    """Bytes it leaves."""
    beside: int = 1
    """Jobs side by side."""
    mapped: float = 0.0
    """Bytes of stored activations it maps besides: they show in its resident memory, but the system can drop them."""
    rough: bool = False
    """Whether its time hangs on texts that are not known beforehand."""

    @property
    def wall(self) -> float:
        """Seconds until all jobs are done."""
        return max([sum(self.seconds) / self.beside, *self.seconds], default=0.0)
