"""Write a model folder whole: nothing half-written is ever taken for a model."""

import tempfile
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = "model.safetensors"


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> list[Path]:
    """Save weights (safetensors), config, tokenizer and chat template into ``out``; returns the files.

    Everything goes to a folder beside ``out`` first; the weights are moved last, so a folder with weights is whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / WEIGHTS).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".part") as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        names = sorted((path.name for path in Path(folder).iterdir()), key=lambda name: (name == WEIGHTS, name))
        for name in names:
            path = Path(folder, name)
            # transformers leaves weights readable by their owner alone.
            path.chmod(0o644)
            path.replace(out / name)
    return [out / name for name in names]
