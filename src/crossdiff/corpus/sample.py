"""Sample the embedded corpus from a chat model itself: web-like text and conversations.

    python -m crossdiff.corpus.sample MODEL_DIR src/crossdiff/corpus/embedded

Text is sampled from the bare BOS token. Conversations are sampled from the open user header of the
model's chat template: the model first writes the question, then the answer, then the next question.
All rows of a batch advance one token a step (a forced template token or a sampled one), so that one
fixed key/value cache serves the whole batch and nothing is ever padded.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import torch
import typer
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, StaticCache

from crossdiff.process import prepare
from crossdiff.provenance.files import sha256_file, whole

MARK = "\x00content\x00"


@dataclass(frozen=True)
class Sampling:
    """How the embedded corpus was drawn; written beside it."""

    seed: int = 20261122
    web_batches: int = 4
    chat_batches: int = 5
    rows: int = 288
    tokens: int = 224
    """Tokens a row, template included."""
    question_tokens: int = 48
    temperature: float = 0.9
    top_k: int = 100
    threads: int = 2


class Web:
    """A row of plain text: special tokens never follow the BOS."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rows: int):
        self.banned = torch.tensor(tokenizer.all_special_ids)
        self.prefix = [tokenizer.bos_token_id]

    def forced(self, row: int) -> int | None:
        return None

    def took(self, row: int, token: int) -> None:
        pass


class Chat:
    """A row of conversation: template tokens are forced, contents are sampled until the turn ends."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rows: int, question_tokens: int):
        self.end = tokenizer.eos_token_id
        self.banned = torch.tensor([i for i in tokenizer.all_special_ids if i != self.end])
        self.limit = question_tokens
        opened, between, after = template_parts(tokenizer)
        self.prefix = tokenizer(opened, add_special_tokens=False)["input_ids"]
        self.bridges = {
            "user": tokenizer(between, add_special_tokens=False)["input_ids"],
            "assistant": tokenizer(after, add_special_tokens=False)["input_ids"],
        }
        self.queue: list[list[int]] = [[] for _ in range(rows)]
        self.turns: list[list[tuple[str, list[int]]]] = [[("user", [])] for _ in range(rows)]

    def forced(self, row: int) -> int | None:
        role, content = self.turns[row][-1]
        if not self.queue[row] and role == "user" and len(content) >= self.limit:
            self._turn(row)
        return self.queue[row].pop(0) if self.queue[row] else None

    def took(self, row: int, token: int) -> None:
        if token == self.end:
            self._turn(row)
            self.queue[row].pop(0)
        else:
            self.turns[row][-1][1].append(token)

    def _turn(self, row: int) -> None:
        role = self.turns[row][-1][0]
        self.queue[row] = list(self.bridges[role])
        self.turns[row].append(("assistant" if role == "user" else "user", []))


def template_parts(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """Text of the chat template up to a user's words, from them to the answer, from it to the next user."""
    turns = [{"role": r, "content": MARK} for r in ("user", "assistant", "user")]
    opened, between, after, _ = str(tokenizer.apply_chat_template(turns, tokenize=False)).split(MARK)
    return opened, between, after


@torch.inference_mode()
def sample_rows(
    model: PreTrainedModel, source: Web | Chat, settings: Sampling, seed: int, progress: tqdm
) -> torch.Tensor:
    """Tokens [rows, tokens] int64 sampled by ``model``, with the forced ones that ``source`` asks for."""
    generator = torch.Generator().manual_seed(seed)
    cache = StaticCache(config=model.config, max_cache_len=settings.tokens)
    feed = torch.tensor([source.prefix] * settings.rows)
    out = [feed]
    while sum(part.shape[1] for part in out) < settings.tokens:
        logits_BV = model(input_ids=feed, past_key_values=cache, logits_to_keep=1).logits[:, -1].float()
        logits_BV[:, source.banned] = -torch.inf
        top, index = torch.topk(logits_BV / settings.temperature, settings.top_k)
        choice = torch.multinomial(torch.softmax(top, -1), 1, generator=generator)
        picks = index.gather(1, choice).squeeze(1).tolist()
        for row, token in enumerate(picks):
            forced = source.forced(row)
            if forced is None:
                source.took(row, token)
            else:
                picks[row] = forced
        feed = torch.tensor(picks)[:, None]
        out.append(feed)
        progress.update(settings.rows)
    return torch.cat(out, 1)


def web_part(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Sampling, seed: int, progress: tqdm
) -> pl.DataFrame:
    """A batch of documents: one column ``text``."""
    tokens_BT = sample_rows(model, Web(tokenizer, settings.rows), settings, seed, progress)
    return pl.DataFrame({"text": [str(tokenizer.decode(row[1:])).strip() for row in tokens_BT]})


def chat_part(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Sampling, seed: int, progress: tqdm
) -> pl.DataFrame:
    """A batch of conversations: one column ``messages``, a list of {role, content}; empty turns end a row."""
    source = Chat(tokenizer, settings.rows, settings.question_tokens)
    sample_rows(model, source, settings, seed, progress)
    rows = []
    for turns in source.turns:
        messages = []
        for role, content in turns:
            text = str(tokenizer.decode(content)).strip()
            if not text:
                break
            messages.append({"role": role, "content": text})
        if messages and messages[-1]["role"] == "user":
            messages.pop()
        if messages:
            rows.append(messages)
    return pl.DataFrame({"messages": rows})


PARTS: dict[str, Callable[..., pl.DataFrame]] = {"web": web_part, "chat": chat_part}


def sample(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path, settings: Sampling) -> Iterator[Path]:
    """Write ``web.parquet`` and ``chat.parquet`` under ``out``; batches already sampled are kept."""
    batches = {"web": settings.web_batches, "chat": settings.chat_batches}
    total = sum(batches.values()) * settings.rows * settings.tokens
    with tqdm(total=total, unit="tok", desc="sampling") as progress:
        for kind, make in PARTS.items():
            parts = []
            for batch in range(batches[kind]):
                part = out / "parts" / f"{kind}-{batch}.parquet"
                if not part.exists():
                    part.parent.mkdir(parents=True, exist_ok=True)
                    frame = make(model, tokenizer, settings, settings.seed + 1000 * batch + len(kind), progress)
                    with whole(part) as temporary:
                        frame.write_parquet(temporary)
                parts.append(pl.read_parquet(part))
            with whole(out / f"{kind}.parquet") as temporary:
                pl.concat(parts).unique(maintain_order=True).write_parquet(
                    temporary, compression="zstd", compression_level=19
                )
            yield out / f"{kind}.parquet"


def main(model_dir: Path, out: Path, threads: int = Sampling.threads) -> None:
    """Sample the corpus that ships with the project from the model in MODEL_DIR into OUT."""
    settings = Sampling(threads=threads)
    prepare(settings.threads)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16).eval()
    files = {path.name: sha256_file(path) for path in sample(model, tokenizer, out, settings)}
    record = {
        "model": {"name": "SmolLM2-135M-Instruct", "weights_sha256": sha256_file(model_dir / "model.safetensors")},
        "sampling": asdict(settings),
        "sha256": files,
    }
    (out / "corpus.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
