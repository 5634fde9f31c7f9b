"""Tiny random base/chat pairs, a real small tokenizer, and conversations."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from crossdiff.pair.load import Pair, Which
from crossdiff.provenance.files import sha256_file

FAMILIES = ("llama", "gemma2", "gemma3_text", "qwen2")
LAYERS = 4
WIDTH = 32
SENTENCES = (
    "The quick brown fox jumps over the lazy dog while the cat sleeps in the sun.",
    "How do plants make their food? They turn light, water and air into sugar.",
    "A recipe for bread needs flour, water, salt, yeast and a little patience.",
    "Paris is the capital of France, and the river Seine runs through the city.",
    "def add(a, b):\n    return a + b",
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<turn>{{ message['role'] }}\n{{ message['content'] | trim }}<end>\n"
    "{% endfor %}{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class TinyPair:
    """A random base, and a chat model that is the base with noise on its weights; fp32, 4 blocks, width 32."""

    family: str
    base: Path
    chat: Path
    json: Path
    """A pair.json that names both."""

    def model(self, which: Which, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        return Pair.read(self.json).model(which).to(dtype)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 300 entries with bos, eos, pad and a chat template that strips contents."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<bos>", "<eos>", "<pad>", "<turn>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny_config(family: str, vocabulary: int) -> PreTrainedConfig:
    """Config of a tiny model; the Gemmas and Qwen get sliding windows shorter than the rows of the tests."""
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "initializer_range": 0.2,
    }
    if family == "llama":
        return LlamaConfig(**shape, tie_word_embeddings=True)
    if family == "qwen2":
        return Qwen2Config(**shape, use_sliding_window=True, sliding_window=8, max_window_layers=2)
    gemma = shape | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}
    gemma["layer_types"] = ["sliding_attention", "full_attention"] * (LAYERS // 2)
    return Gemma2Config(**gemma) if family == "gemma2" else Gemma3TextConfig(**gemma)


def make_pair(family: str, folder: Path) -> TinyPair:
    tokenizer = make_tokenizer()
    torch.manual_seed(FAMILIES.index(family))
    model = AutoModelForCausalLM.from_config(tiny_config(family, len(tokenizer)))
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * weight.std(correction=0) * torch.randn_like(weight)
    model.save_pretrained(folder / "chat")
    for which in ("base", "chat"):
        tokenizer.save_pretrained(folder / which)
    template = folder / "chat" / "chat_template.jinja"
    record = {
        **{w: {"path": str(folder / w), "revision": None, "source": str(folder / w)} for w in ("base", "chat")},
        "dtype": "float32",
        "layers": LAYERS,
        "width": WIDTH,
        "vocabulary": len(tokenizer),
        "bos": tokenizer.bos_token_id,
        "tokenizer_sha256": sha256_file(folder / "chat" / "tokenizer.json"),
        "template_sha256": sha256_file(template),
        "chat_template_file": str(template),
    }
    (folder / "pair.json").write_text(json.dumps(record))
    return TinyPair(family, folder / "base", folder / "chat", folder / "pair.json")


def padded(folder: Path, out: Path) -> PreTrainedModel:
    """A copy of a model whose embedding has a few rows to spare, as those of real models have."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.resize_token_embeddings(304)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return model.eval()


def conversation(number: int) -> list[dict[str, str]]:
    """A conversation of one or two exchanges, different for every number."""
    turns = [
        {"role": "user", "content": f"Question {number}: {SENTENCES[number % 5]}"},
        {"role": "assistant", "content": f"Answer {number}: {SENTENCES[(number + 1) % 5]}"},
    ]
    return turns + [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Nothing."}] * (
        number % 2
    )
