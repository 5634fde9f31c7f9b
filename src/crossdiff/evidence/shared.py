"""What the experiments of all dictionaries share: both models' streams on the material, and the gradients.

Computed once, by the step without a dictionary, and kept in one file; each dictionary then runs upper blocks only.

Shapes: T positions, L models, D width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossdiff.errors import UserError
from crossdiff.evidence.behaviours.selection import Case, Material, material
from crossdiff.evidence.kl.divergence import Conversation
from crossdiff.evidence.readings import Prompt
from crossdiff.evidence.streams import Site


@dataclass(frozen=True, eq=False)
class Shared:
    """Streams [T, L, D] in the models' dtype, in the order of what they were read on."""

    conversations: list[Tensor]
    """On each held-out conversation."""
    seen: dict[str, Material]
    """What the select prompts of each behaviour show."""
    tuned: list[Tensor]
    """On each score prompt with the tuned model's answer."""
    bases: list[Tensor]
    """On each score prompt with the base's answer."""
    prompts: list[Tensor]
    """On each prompt and control that a behaviour is looked for on, before it is answered."""

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by unique names."""
        groups = {
            "conversation": self.conversations,
            "tuned": self.tuned,
            "base": self.bases,
            "prompt": self.prompts,
        }
        for name, material_ in self.seen.items():
            groups |= {f"streams/{name}": material_.streams, f"gradients/{name}": material_.gradients}
        flat = {f"{group}/{number}": tensor for group, some in groups.items() for number, tensor in enumerate(some)}
        flat |= {f"difference/{name}": material_.difference_D for name, material_ in self.seen.items()}
        return flat | {
            f"prompt_difference/{name}": material_.prompt_difference_D for name, material_ in self.seen.items()
        }


def gather(
    site: Site,
    held_out: Sequence[Conversation],
    select: Sequence[Case],
    score: Sequence[Case],
    prompts: Sequence[Prompt],
    update: Callable[[int], object],
) -> Shared:
    """Read both models on the material. Behaviours that the tuned model never shows on select prompts are left out.

    ``update`` is told how many conversations and prompts were read.
    """
    conversations = site.streams([conversation.ids for conversation in held_out])
    update(len(held_out))
    seen = {}
    for name in dict.fromkeys(case.behaviour for case in select if case.targets):
        mine = [case for case in select if case.behaviour == name]
        seen[name] = material(site, mine)
        update(len(mine))
    shown = scored(seen, score)
    tuned = site.streams([case.ids for case in shown])
    bases = site.streams([case.ids[: case.answer] + case.base_answer for case in shown])
    update(len(score))
    asked = site.streams([prompt.ids for prompt in prompts])
    update(len(prompts))
    return Shared(conversations, seen, tuned, bases, asked)


def scored(seen: Mapping[str, Material], score: Sequence[Case]) -> list[Case]:
    """The score prompts of the behaviours that were seen: those `Shared.tuned` and `Shared.bases` are of."""
    return [case for case in score if case.behaviour in seen]


def fits(
    shared: Shared, width: int, held_out: Sequence[Conversation], score: Sequence[Case], prompts: Sequence[Prompt]
) -> bool:
    """Whether it was read on this material: streams as wide, and as many texts of each kind that there are, as long."""
    shown = scored(shared.seen, score)
    read_on: list[tuple[Sequence[Tensor], Sequence[Sequence[int]]]] = [
        (shared.conversations, [conversation.ids for conversation in held_out]),
        (shared.tuned, [case.ids for case in shown]),
        (shared.bases, [case.ids[: case.answer] + case.base_answer for case in shown]),
        (shared.prompts, [prompt.ids for prompt in prompts]),
    ]
    wide = all(x_TLD.shape[2] == width for x_TLD in shared.conversations)
    return wide and all(list(map(len, streams)) == list(map(len, texts)) for streams, texts in read_on if texts)


def write(shared: Shared, path: Path) -> None:
    """Write all tensors as safetensors; the caller sees to it that the file becomes whole."""
    save_file({name: tensor.contiguous().cpu() for name, tensor in shared.tensors().items()}, path)


def read(path: Path, device: str) -> Shared:
    """What `write` wrote; UserError if there is no such file, or it is cut."""
    mend = "run the evidence step without a dictionary first, it writes it"
    if not path.is_file():
        raise UserError(f"there is no {path}; {mend}")
    try:
        tensors = {name: tensor.to(device) for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); {mend}") from None

    def group(name: str) -> list[Tensor]:
        return [tensors[f"{name}/{number}"] for number in range(sum(key.startswith(f"{name}/") for key in tensors))]

    names = sorted(key.removeprefix("difference/") for key in tensors if key.startswith("difference/"))
    seen = {
        name: Material(
            group(f"streams/{name}"),
            group(f"gradients/{name}"),
            tensors[f"difference/{name}"],
            tensors[f"prompt_difference/{name}"],
        )
        for name in names
    }
    return Shared(group("conversation"), seen, group("tuned"), group("base"), group("prompt"))
