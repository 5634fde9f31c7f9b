"""A GGUF file becomes a plain model folder that computes the same, and a broken one ends in one message."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from crossdiff.errors import UserError
from crossdiff.pair import convert

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
Q8 = GGMLQuantizationType.Q8_0


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF keeps the two halves of each rotary pair side by side."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(model: LlamaForCausalLM, tokenizer, file: Path) -> None:
    """Write a tiny Llama as GGUF, the value projections in Q8_0; those of ``model`` get the values after rounding."""
    config = model.config
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_types([3 if i in tokenizer.all_special_ids else 1 for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(merge) for merge in backend["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy()
        if name == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", weight)
        elif name == "model.norm.weight":
            writer.add_tensor("output_norm.weight", weight)
        elif name != "lm_head.weight":
            block, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            ours = f"blk.{block}.{NAMES[part]}.weight"
            if part == "self_attn.v_proj":
                packed = quantize(weight, Q8)
                tensor.copy_(torch.from_numpy(dequantize(packed, Q8)))
                writer.add_tensor(ours, packed, raw_dtype=Q8)
                continue
            heads = {"self_attn.q_proj": config.num_attention_heads, "self_attn.k_proj": config.num_key_value_heads}
            writer.add_tensor(ours, interleaved(weight, heads[part]) if part in heads else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def gguf(tiny_pairs: Callable, tmp_path: Path) -> tuple[Path, LlamaForCausalLM]:
    pair = tiny_pairs("llama")
    model = AutoModelForCausalLM.from_pretrained(pair.base, dtype=torch.float32).eval().requires_grad_(False)
    file = tmp_path / "tiny.gguf"
    write_gguf(model, AutoTokenizer.from_pretrained(pair.base), file)
    return file, model


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.2)])
def test_converted_model_computes_the_same(gguf, tmp_path: Path, dtype: str, tolerance: float) -> None:
    file, model = gguf
    out = tmp_path / "model"
    convert.main(file, out, dtype)
    found = AutoModelForCausalLM.from_pretrained(out)
    assert found.dtype == getattr(torch, dtype)
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    ids = torch.arange(5, 30)[None]
    torch.testing.assert_close(found(ids).logits.float(), model(ids).logits, rtol=tolerance, atol=tolerance)
    if dtype == "bfloat16":
        name = "model.layers.1.mlp.up_proj.weight"
        assert torch.equal(found.state_dict()[name], model.state_dict()[name].bfloat16())
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template
    assert tokenizer.decode(tokenizer("Paris is the capital", add_special_tokens=False)["input_ids"]) == (
        "Paris is the capital"
    )
    record = json.loads((out / "run.json").read_text())
    assert record["results"]["layers"] == 4
    assert len(record["inputs"]) == 1


@pytest.mark.parametrize("keep", [0, 3, 200, -2000])
def test_cut_file(gguf, tmp_path: Path, keep: int) -> None:
    file, _ = gguf
    file.write_bytes(file.read_bytes()[:keep])
    out = tmp_path / "model"
    with pytest.raises(UserError, match=r"tiny\.gguf is not a whole GGUF file"):
        convert.main(file, out)
    assert not out.exists()


def test_missing_file_and_other_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no GGUF file .*none\.gguf"):
        convert.main(tmp_path / "none.gguf", tmp_path / "model")
    (tmp_path / "text.gguf").write_text("this is no model" * 10)
    with pytest.raises(UserError, match=r"text\.gguf is not a whole GGUF file"):
        convert.main(tmp_path / "text.gguf", tmp_path / "model")
