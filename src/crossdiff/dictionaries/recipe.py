"""What a dictionary is and how it is trained: plain data, free of the workflow.

Defaults are those of the study (Minder, Dumas et al. 2025, code at the paper's release); a config
overrides what a smaller pair needs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

Kind = Literal["crosscoder", "diff-sae", "chat-sae", "base-sae"]
Moment = Literal["float32", "bfloat16", "float8"]
Difference = Literal["chat - base", "base - chat"]
Score = Literal["sum", "concat", "mixed", "none", "decoupled"]
RANGES: dict[str, tuple[Callable[[float], bool], tuple[str, ...]]] = {
    "at least 1": (
        lambda value: value >= 1,
        ("latents", "k", "k_start", "steps", "batch", "log_every", "checkpoint_every"),
    ),
    "above 0 and finite": (lambda value: 0 < value < math.inf, ("l1", "lr", "init_norm", "clip_norm")),
    "at least 0 and finite": (
        lambda value: 0 <= value < math.inf,
        ("k_anneal_steps", "warmup_steps", "aux_weight", "dead_after_tokens", "threshold_start"),
    ),
    "at least 0 and below 1": (lambda value: 0 <= value < 1, ("betas", "threshold_decay")),
    "from -1 to 1": (lambda value: -1 <= value <= 1, ("hybrid",)),
}
"""What the numbers of a recipe must be; not-a-number fits nowhere, null everywhere. Beyond ±1 of λ the loss has no
minimum."""
SPARSE = 32
"""Latents for each active one from which on 8-bit sums save more than the products done twice cost."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One dictionary, without its seed."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    kind: Kind
    """What it reads: both models (crosscoder), chat − base (diff-sae), or one model."""
    sparsity: Literal["batchtopk", "l1"] = "batchtopk"
    """BatchTopK keeps the batch × k largest scores of a batch; L1 charges every activation its score weight."""
    latents: int = 73_728
    """F, the number of latents."""
    k: int = 100
    """Mean number of active latents a token (BatchTopK)."""
    k_start: int | None = None
    """Start from this k and fall linearly to `k` over `k_anneal_steps`; absent in the study."""
    k_anneal_steps: int = 0
    """Steps from `k_start` to `k`."""
    l1: float = 4.1e-2
    """μ, the weight of the L1 charge (L1 only); meaningful with the unsquared loss."""
    loss: Literal["norm", "squared"] | None = None
    """Mean unsquared L2 norm over tokens and models, as the study's crosscoder code has it, or the squared norm, as its
    paper writes. By default crosscoders use `norm`, to which the published μ belongs, SAEs `squared`."""
    hybrid: float = 0.0
    """λ of ‖ε_base‖² + ‖ε_chat‖² + λ·2⟨ε_base, ε_chat⟩, a crosscoder's squared loss: 0 charges each model's error, −1
    that of their difference alone (proposed by the study's authors, never run by them)."""
    difference: Difference = "chat - base"
    """Which difference a diff-SAE is trained on. Files hold it as of chat − base either way: codes are the same, and
    encoder and decoder are turned."""
    noise: bool = False
    """Train on standard normal numbers in place of normalised activations: a control, whose latents mean nothing."""
    score: Score | None = None
    """Weight of an activation in selection and charge: sum of the latent's decoder norms over models, norm of the
    concatenated decoder, that and a tenth of the sum (mixed), or 1. `decoupled` (BatchTopK crosscoders): each model
    selects batch × k by its own decoder norms, so that a latent may be on in one and off in the other. By default
    crosscoders use `sum`, SAEs (unit norms) `none`."""
    init_norm: float = 1.0
    """Norm of each model's decoder row at the start; for L1 the study's code has 0.005, its paper is said to have
    0.05."""
    normalise: bool = True
    """Subtract each model's mean and apply one scale shared by the models, so that a token's mean squared norm is D.
    The study trains on raw activations; its successor normalises."""
    sources: tuple[str, ...] | None = None
    """Corpus sources it is trained on; all by default."""
    steps: int = 97_656
    """Training steps."""
    batch: int = 2048
    """Tokens a step."""
    lr: float = 1e-4
    """Peak learning rate of Adam."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's moment decay rates."""
    moments: Moment = "float32"
    """How Adam's two moments are kept: 4 bytes each, 2 (bfloat16) or 1 (float8: a byte an entry, one exponent a block
    of 256). The short forms round by chance, alike in every run, and save 29 or 43 % of what Adam reads and writes."""
    warmup_steps: int = 1000
    """Linear warm-up of the learning rate."""
    decay_start: int | None = None
    """Step from which the learning rate falls linearly to 0; constant by default, as in the study."""
    clip_norm: float | None = 1.0
    """Largest global gradient norm (BatchTopK; the study clips no L1 gradient)."""
    aux_weight: float = 1 / 32
    """α, weight of the auxiliary loss that revives dead latents (BatchTopK)."""
    dead_after_tokens: int = 10_000_000
    """A latent that has not fired for so many tokens is dead to the auxiliary loss."""
    threshold_start: int = 1000
    """First step whose smallest kept score enters the inference threshold."""
    threshold_decay: float = 0.999
    """Decay of the threshold's moving average."""
    matmul: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the encoder product in training and of what its gradients multiply; weights and sums stay fp32. With
    bfloat16 and path auto, CPUs with VNNI first look where large scores may be, by sums of 8-bit numbers."""
    path: Literal["auto", "eager", "sparse"] = "auto"
    """How a step is computed: plain dense autograd, only the chosen entries, or whichever is cheaper. One result."""
    log_every: int = 20
    """Steps between points of the training curves."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for wanted, (fits, names) in RANGES.items():
            for name in names:
                value = getattr(self, name)
                each = value if isinstance(value, tuple) else (value,)
                if not all(one is None or fits(one) for one in each):
                    raise ValueError(f"{name} must be {wanted}, got {value}")
        for name, value in (("k", self.k), ("k_start", self.k_start or 0)):
            if self.sparsity == "batchtopk" and value > self.latents:
                raise ValueError(f"{name} = {value} is larger than latents = {self.latents}: lower it or raise latents")
        if self.k_anneal_steps and self.k_start is None:
            raise ValueError("k_anneal_steps is set but k_start is not: say from which k to anneal")
        if self.k_start is not None and not self.k_anneal_steps:
            raise ValueError(
                f"k_start = {self.k_start} needs k_anneal_steps: say over how many steps k falls to {self.k}"
            )
        if self.hybrid and (self.models == 1 or self.loss_form != "squared"):
            raise ValueError("hybrid is of a crosscoder's squared errors: set kind: crosscoder and loss: squared")
        if self.decoupled and (self.models == 1 or self.sparsity != "batchtopk"):
            raise ValueError("score: decoupled is of BatchTopK crosscoders: SAEs have one model, L1 selects nothing")
        if self.difference != "chat - base" and self.kind != "diff-sae":
            raise ValueError(f"difference is of a diff-sae, not of a {self.kind}; take it out")
        if self.sources == ():
            raise ValueError("sources is empty, so there is nothing to train on: name one, or leave it out to take all")
        self._check_schedule()

    def _check_schedule(self) -> None:
        for name in ("warmup_steps", "k_anneal_steps"):
            if getattr(self, name) > self.steps:
                raise ValueError(f"{name} = {getattr(self, name)} exceeds steps = {self.steps}: lower it")
        if self.decay_start is not None and not self.warmup_steps <= self.decay_start < self.steps:
            raise ValueError(
                f"decay_start = {self.decay_start} must be from warmup_steps = {self.warmup_steps} to the last step,"
                f" {self.steps - 1}: change it, or set it to null for a constant rate"
            )
        if self.sparsity == "batchtopk" and self.threshold_start >= self.steps:
            raise ValueError(
                f"threshold_start = {self.threshold_start} is not before the last of {self.steps} steps:"
                " the inference threshold would never be set"
            )

    @property
    def models(self) -> int:
        """L: 2 for a crosscoder, 1 for an SAE."""
        return 2 if self.kind == "crosscoder" else 1

    @property
    def loss_form(self) -> str:
        """The loss in force."""
        return self.loss or ("norm" if self.models == 2 else "squared")

    @property
    def score_form(self) -> str:
        """The score weight in force."""
        return self.score or ("sum" if self.models == 2 else "none")

    @property
    def decoupled(self) -> bool:
        """Whether each model selects for itself."""
        return self.score_form == "decoupled"

    @property
    def screenable(self) -> bool:
        """Whether BatchTopK may look at sums of 8-bit numbers first, where the CPU has fast ones (see `screen`)."""
        fast = self.path == "auto" and self.sparsity == "batchtopk" and self.matmul == "bfloat16"
        return fast and not self.decoupled and self.latents >= SPARSE * max(self.k, self.k_start or 0)

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1 (SAEs, as in the study's code)."""
        return self.models == 1
