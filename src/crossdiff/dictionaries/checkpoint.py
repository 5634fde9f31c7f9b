"""Training interrupted and taken up again, bit for bit: one safetensors file, replaced as a whole.

It holds the parameters, Adam's moments, the tokens since each latent fired, θ, the step (which is also the position
in the data) and the curves so far. A fingerprint of recipe, seed and data guards against taking up something else.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crossdiff.dictionaries.optimise import Moments, Threshold, known
from crossdiff.dictionaries.parameters import Parameters
from crossdiff.provenance.files import whole


@dataclass
class State:
    """All that the next step depends on."""

    parameters: Parameters
    moments: Moments
    silent_F: Tensor
    threshold: Threshold
    step: int
    """Steps done."""
    curves: list[dict[str, Any]]
    may_die_K: Tensor | None = None
    """Latents that may be dead before the next look at them (see `gpu`), which may be steps after a checkpoint."""
    beside: dict[str, Tensor] = field(default_factory=dict)
    """What whoever feeds the training wants to find again, such as a place in a stream."""


def write(file: Path, state: State, fingerprint: str) -> None:
    """Keep ``state`` in ``file``."""
    parts = {"parameter": state.parameters, "mean": state.moments.mean, "square": state.moments.square}
    tensors = {f"{part}.{n}": t for part, group in parts.items() for n, t in enumerate(group.tensors)}
    tensors |= {f"steps.{n}": t for n, t in enumerate(state.moments.steps)}
    tensors |= {f"exponents.{n}": t for n, t in enumerate(state.moments.exponents)}
    tensors["silent"] = state.silent_F
    if state.may_die_K is not None:
        tensors["may_die"] = state.may_die_K
    tensors |= {f"beside.{name}": tensor for name, tensor in state.beside.items()}
    threshold = state.threshold
    kept = threshold.tolist() if isinstance(threshold, Tensor) and threshold.ndim else known(threshold)
    facts = {"step": state.step, "threshold": kept, "curves": state.curves}
    with whole(file) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"fingerprint": fingerprint, "facts": json.dumps(facts)},
        )


def read(file: Path, fingerprint: str, device: str | torch.device) -> State | None:
    """The state in ``file``; None if there is none, if it is not whole, or if it is of another training."""
    try:
        with safe_open(file, "pt", device=str(device)) as archive:
            metadata = archive.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            # Copied, for tensors mapped from a file are aligned otherwise than fresh ones, and sums depend on that.
            tensors = {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return None
    facts = json.loads(metadata["facts"])

    def group(part: str) -> list[Tensor]:
        return [tensors[f"{part}.{number}"] for number in range(4) if f"{part}.{number}" in tensors]

    return State(
        parameters=Parameters(*group("parameter")),
        moments=Moments(Parameters(*group("mean")), Parameters(*group("square")), group("steps"), group("exponents")),
        silent_F=tensors["silent"],
        threshold=_threshold(facts["threshold"], device),
        step=facts["step"],
        curves=facts["curves"],
        may_die_K=tensors.get("may_die"),
        beside={name.removeprefix("beside."): t for name, t in tensors.items() if name.startswith("beside.")},
    )


def _threshold(kept: float | list[float] | None, device: str | torch.device) -> Threshold:
    return torch.tensor(kept, dtype=torch.float64, device=device) if isinstance(kept, list) else kept
