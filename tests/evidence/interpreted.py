"""A made-up study whose latents each fire on one letter, and an API in this process that answers about it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import torch
from made import make_dictionary
from safetensors.torch import save_file

from crossdiff.activations.shards import write_shard
from crossdiff.activations.store import ROWS_FILE
from crossdiff.dictionaries import save
from crossdiff.pair.load import Pair

LETTERS = "QXZJKVWY"
ROWS, LENGTH, TEXT = 60, 64, 16
FILLER = " the"
Reply = Callable[[str], str | int]
"""Prompt -> the reply, or the status of a refusal."""


def write_study(folder: Path, pair: Path) -> dict[str, Path]:
    """Rows, activations, dictionary and latent table: the arguments of the step. Latent j fires on the j-th letter."""
    generator = torch.Generator().manual_seed(0)
    tokenizer = Pair.read(pair).tokenizer()
    letters = torch.tensor([tokenizer.encode(letter)[-1] for letter in LETTERS])
    filler = tokenizer.encode(FILLER)[-1]
    ids_RP = torch.full((ROWS, LENGTH), filler)
    x_RPLD = torch.zeros(ROWS, LENGTH, 2, len(LETTERS))
    for latent in range(len(LETTERS)):
        for row in range(ROWS):
            for text in range(LENGTH // TEXT):
                if torch.rand((), generator=generator) < 0.3:
                    place = TEXT * text + 2 * latent  # each letter has places of its own
                    ids_RP[row, place] = letters[latent]
                    x_RPLD[row, place, 1, latent] = 0.5 + torch.rand((), generator=generator)
    tokens = ROWS * LENGTH
    x_BLD = x_RPLD.flatten(0, 1)
    tensors = {
        "x": x_BLD,
        "norm": x_BLD.norm(dim=-1),
        "row": torch.arange(ROWS).repeat_interleave(LENGTH).int(),
        "position": torch.arange(LENGTH).repeat(ROWS).int(),
        "token": ids_RP.flatten().int(),
        "role": torch.full((tokens,), 4, dtype=torch.uint8),
    }
    folder.mkdir(parents=True, exist_ok=True)
    shard = write_shard(folder, 0, range(ROWS), tensors, "settings")
    one = torch.ones(ROWS, dtype=torch.uint8)
    save_file({"split": one, "source": torch.zeros_like(one)}, folder / ROWS_FILE)
    manifest = {"L": 2, "D": len(LETTERS), "thresholds": None, "sources": ["web"], "shards": [vars(shard)]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = {"row": range(ROWS), "ids": ids_RP.tolist()}
    pl.DataFrame(rows, schema={"row": pl.UInt32, "ids": pl.List(pl.UInt32)}).write_parquet(folder / "rows.parquet")
    own = make_dictionary("chat-sae", width=len(LETTERS), latents=len(LETTERS))
    own.encoder[0], own.encoder_bias[:], own.mean[:] = torch.eye(len(LETTERS)), 0.0, 0.0
    own.scale.fill_(1.0)
    save(own, folder / "dictionary")
    table = {"latent": range(len(LETTERS)), "dead": False, "nu_valid": True}
    pl.DataFrame(table).with_columns(nu_activation=pl.col("latent") / 10).write_parquet(folder / "some-seed0.parquet")
    return {
        "pair": pair, "rows": folder / "rows.parquet", "activations": folder / "manifest.json",
        "dictionary": folder / "dictionary", "latents": folder / "some-seed0.parquet",
    }  # fmt: skip


def explains(prompt: str) -> bool:
    """Whether a prompt asks for an explanation."""
    return "Description:" not in prompt


def texts(prompt: str) -> list[str]:
    """Texts of a prompt."""
    return re.findall(r"^Text \d+: (.*)$", prompt, re.MULTILINE)


def knows(prompt: str) -> str:
    """A judge that sees which letter it is about."""
    if explains(prompt):
        (letter,) = set(re.findall(r"«([A-Z])»", prompt))
        return f"Explanation: it fires on the letter {letter}"
    letter = re.findall(r"Description: .* the letter ([A-Z])", prompt)[0]
    return json.dumps([int(letter in text) for text in texts(prompt)])


@contextmanager
def api(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(base_url, requests so far: {prompt, body, key}) of a server on this machine."""
    seen: list[dict[str, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            with lock:
                seen.append({"prompt": prompt, "body": body, "key": self.headers["Authorization"], "path": self.path})
                said = reply(prompt)
            status = said if isinstance(said, int) else 200
            message = {"choices": [{"message": {"role": "assistant", "content": said}}]}
            answer = json.dumps({"error": "no"} if isinstance(said, int) else message).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
