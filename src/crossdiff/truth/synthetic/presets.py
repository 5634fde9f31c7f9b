"""Sizes of the synthetic benchmark, and the study's recipes shrunk to them. Plain data."""

from dataclasses import dataclass, replace

from crossdiff.dictionaries.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a synthetic pair is made of. Shares and norms are relative, so that they mean the same at any size."""

    factors: int
    """N, all factors, hierarchy included."""
    width: int
    """D."""
    overlap: float = 0.3
    """Largest |cosine| between two factors that is aimed at."""
    overlap_steps: int = 100
    """Steps taken towards it."""
    frequency: tuple[float, float] = (0.15, 0.004)
    """Largest and smallest firing probability of a root or a lone factor."""
    zipf: float = 0.6
    """Exponent by which the probability falls with the rank."""
    roots: int = 8
    """Factors that have children."""
    branching: int = 3
    """Children of a parent, of which at most one fires with it."""
    depth: int = 1
    """Generations below the roots."""
    childless: float = 0.2
    """Share of a parent's firing in which no child fires."""
    copula_rank: int = 8
    """Rank of the Gaussian copula that correlates firing."""
    copula_share: float = 0.1
    """Share of the copula's variance that is of low rank."""
    contexts: int = 4
    """Contexts a row may be of; re-gated factors fire in half of them. A multiple of 4."""
    row: int = 64
    """Tokens of one context in a row."""
    noise: float = 0.1
    """Variance of each model's own white noise, over the signal's."""
    offset: float = 0.5
    """Norm of the mean that both models share, over the signal's root mean square."""
    shift: float = 0.2
    """Norm of the chat model's mean shift, over the same."""
    drift: float = 0.1
    """Root mean square of the low-rank drift of the chat model, over the same."""
    drift_rank: int = 4
    """Its rank."""
    rescaled: float = 0.08
    """Share of the factors in each class; what is left is shared and identical."""
    rotated: float = 0.08
    regated: float = 0.06
    base_only: float = 0.08
    chat_only: float = 0.12
    child_new: float = 0.04
    """At most one leaf a family."""

    def __post_init__(self) -> None:
        if self.contexts % 4:
            raise ValueError(f"contexts must be a multiple of 4, got {self.contexts}")
        if self.hierarchical > self.factors:
            raise ValueError(f"the hierarchy has {self.hierarchical} factors, more than the {self.factors} there are")
        changed = self.rescaled + self.rotated + self.regated + self.base_only + self.chat_only
        if changed * self.factors > self.factors - self.hierarchical:
            raise ValueError(f"{changed:.0%} of the factors change, more than there are outside the hierarchy")
        if self.child_new * self.factors > self.roots * self.branching ** (self.depth - 1):
            raise ValueError(f"child_new = {self.child_new} asks for more new children than there are families")

    @property
    def hierarchical(self) -> int:
        """Factors in the hierarchy, roots included."""
        return self.roots * sum(self.branching**level for level in range(self.depth + 1))


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A design, and how much is learnt and measured of it."""

    design: Design
    latents: int
    k: int
    steps: int
    batch: int
    lr: float
    sample: int
    """Tokens that the normaliser is fitted to."""
    measured: int
    """Fresh tokens that latents are measured on."""
    blocks: int = 20
    """Jackknife blocks of rows."""

    def shrink(self, recipe: Recipe) -> Recipe:
        """A study's recipe at this size: its kind, sparsity, losses and initialisation, and its schedule in shares."""
        part = self.steps / recipe.steps
        tokens = self.steps * self.batch / (recipe.steps * recipe.batch)
        k_start = None if recipe.k_start is None else max(self.k, round(recipe.k_start * self.k / recipe.k))

        def at(step: int) -> int:
            """The step at the same share of the schedule, still before the end."""
            return min(self.steps - 1, round(step * part))

        return replace(
            recipe,
            latents=self.latents,
            k=self.k,
            k_start=None if k_start is None else min(self.latents, k_start),
            k_anneal_steps=max(1, at(recipe.k_anneal_steps)) if recipe.k_anneal_steps else 0,
            sources=None,
            steps=self.steps,
            batch=self.batch,
            lr=self.lr,
            warmup_steps=at(recipe.warmup_steps),
            decay_start=None if recipe.decay_start is None else at(recipe.decay_start),
            dead_after_tokens=max(self.batch, round(recipe.dead_after_tokens * tokens)),
            threshold_start=at(recipe.threshold_start),
            matmul="float32",
            log_every=self.steps,
            checkpoint_every=self.steps,
        )


PRESETS = {
    "tiny": Preset(
        design=Design(factors=40, width=24, roots=3, overlap=0.4, frequency=(0.2, 0.02), copula_rank=2, row=16),
        latents=48,
        k=4,
        steps=60,
        batch=128,
        lr=1e-2,
        sample=1024,
        measured=2048,
        blocks=8,
    ),
    "small": Preset(
        design=Design(factors=192, width=64),
        latents=256,
        k=7,
        steps=1200,
        batch=512,
        lr=3e-3,
        sample=16_384,
        measured=32_768,
    ),
    "large": Preset(
        design=Design(
            factors=1536,
            width=192,
            overlap=0.2,
            frequency=(0.2, 2e-3),
            zipf=0.5,
            roots=24,
            branching=4,
            depth=2,
            copula_rank=16,
            rescaled=0.06,
            rotated=0.06,
            regated=0.04,
            base_only=0.06,
            chat_only=0.09,
            child_new=0.03,
        ),
        latents=1536,
        k=16,
        steps=3000,
        batch=1024,
        lr=2e-3,
        sample=65_536,
        measured=131_072,
    ),
    "paper": Preset(
        design=Design(
            factors=16_384,
            width=768,
            overlap=0.15,
            frequency=(0.4, 5e-4),
            zipf=0.5,
            roots=128,
            branching=4,
            depth=3,
            copula_rank=25,
            rescaled=0.04,
            rotated=0.04,
            regated=0.03,
            base_only=0.04,
            chat_only=0.06,
            child_new=0.02,
        ),
        latents=4096,
        k=25,
        steps=195_312,
        batch=1024,
        lr=3e-4,
        sample=1_000_000,
        measured=2_000_000,
    ),
}
"""tiny: tests. small: the default study, two minutes on two cores. large: two seeds take two cores about an hour.
paper: for a GPU, of the size of SynthSAEBench-16k (arXiv 2602.14687: N = 16,384, D = 768, 128 roots with four
children over three generations, 200 M tokens)."""
