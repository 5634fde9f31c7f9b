"""Turn a GGUF file into a folder with safetensors and tokenizer, so that it is dequantised once.

python -m crossdiff.pair.convert --gguf FILE --dtype bfloat16 --out results/P/models/base
"""

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations.gguf.reader import GgufHeader

from crossdiff.cli import stage
from crossdiff.errors import UserError
from crossdiff.pair.save import save_model
from crossdiff.provenance.record import record

DType = Literal["bfloat16", "float32"]


def check_gguf(file: Path) -> None:
    """UserError unless ``file`` is a GGUF file whose tensors all lie inside it; reads headers only."""
    if not file.is_file():
        raise UserError(f"pair: there is no GGUF file {file}")
    try:
        header = GgufHeader.from_file(str(file))
    except Exception as error:  # the reader lets Python's own errors through
        raise UserError(f"pair: {file} is not a whole GGUF file ({error}); fetch it again") from None
    if not header.tensors:
        raise UserError(f"pair: {file} holds no tensors")
    size, end = file.stat().st_size, header.data_start + max(t.offset + t.nbytes for t in header.tensors)
    if size < end:
        raise UserError(f"pair: {file} is not a whole GGUF file ({size:,} bytes of {end:,}); fetch it again")


def dequantised(file: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a GGUF file, as if it had never been quantised."""
    check_gguf(file)
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=dtype
        )
    except (ValueError, KeyError) as error:
        raise UserError(f"pair: transformers cannot read {file}: {error}") from None
    # The saved weights are plain; a left-over entry would make loaders look for quantised ones.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def main(
    gguf: Annotated[Path, typer.Option(help="GGUF file.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    dtype: Annotated[DType, typer.Option(help="Stored precision.")] = "bfloat16",
) -> None:
    """Dequantise a GGUF file into a model folder."""
    check_gguf(gguf)
    with record(name=f"models/{out.name}", out=out / "run.json", params={"dtype": dtype}, inputs=[gguf]) as run:
        model, tokenizer = dequantised(gguf, getattr(torch, dtype))
        save_model(model, tokenizer, out)
        run.result(parameters=model.num_parameters(), layers=model.config.get_text_config().num_hidden_layers)


if __name__ == "__main__":
    stage(main)
