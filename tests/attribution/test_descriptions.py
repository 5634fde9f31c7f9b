"""Phrases by rule: on planted latents they name what was planted."""

import polars as pl
import torch
from made import make_dictionary

from crossdiff.activations.store import Block
from crossdiff.attribution.contexts import Rows
from crossdiff.attribution.descriptions import TABLE, Facts, commonest, description_table, is_word, phrase, quoted
from crossdiff.attribution.measure import measure
from crossdiff.attribution.promoted import PROMOTED

WORDS = {0: "<s>", 1: " Paris", 2: " in", 3: " lives", 7: "User", 8: "Yes"}


def word(ids: list[int]) -> str:
    return WORDS.get(ids[0], f"w{ids[0]}")


def planted(rows: int = 40) -> tuple[Rows, torch.Tensor]:
    """Rows of 12 tokens, ids and the width-4 code that each token has: latent 0 fires on Paris, which stands after
    "lives in"; latent 1 on an answer's first token, whatever it is; latent 2 on random tokens; latent 3 never."""
    generator = torch.Generator().manual_seed(0)
    ids_RT = torch.randint(20, 400, (rows, 12), generator=generator)
    roles_RT = torch.tensor([0, 7, 2, 2, 2, 2, 1, 3, 3, 3, 3, 3]).repeat(rows, 1)
    roles_RT[:, 1] = 1
    code_RTF = torch.zeros(rows, 12, 4)
    ids_RT[:, 2:5] = torch.tensor([3, 2, 1])
    code_RTF[:, 4, 0] = 2 + torch.rand(rows, generator=generator)
    code_RTF[:, 7, 1] = 1.0
    at = torch.randint(8, 12, (rows,), generator=generator)
    code_RTF[torch.arange(rows), at, 2] = 1.0
    return Rows(ids_RT.flatten(), roles_RT.flatten(), torch.full((rows,), 12)), code_RTF.flatten(0, 1)


def described(promoted: pl.DataFrame) -> pl.DataFrame:
    texts, code_BF = planted()
    dictionary = make_dictionary("chat-sae", width=4, latents=4, threshold=0.5)
    dictionary.encoder[0], dictionary.encoder_bias[:], dictionary.mean[:] = torch.eye(4), 0.0, 0.0
    dictionary.scale.fill_(1.0)
    tokens = len(code_BF)
    row, position = torch.arange(tokens) // 12, torch.arange(tokens) % 12
    x_BLD = torch.stack([torch.zeros(tokens, 4), code_BF], 1)
    block = Block(x_BLD, row, position, texts.ids_N, texts.roles_N)
    parts = [Block(*(field[piece] for field in block)) for piece in torch.arange(tokens).split(70)]
    zeros = torch.zeros(40).long()
    found = measure(dictionary, parts, ["web"], zeros, torch.arange(40) % 4, lambda n: None)
    return description_table(found, texts, promoted, word)


def test_planted_latents_are_described_by_what_was_planted() -> None:
    promoted = [
        {"latent": 0, "model": model, "side": "promoted", "rank": rank, "logit": 1.0, "token": token}
        for model, token, rank in (
            ("chat", "!", 1),
            ("chat", " is", 2),
            ("chat", "ishment", 0),
            ("base", "not this", 0),
        )
    ]
    promoted.append({"latent": 1, "model": "chat", "side": "promoted", "rank": 0, "logit": 1.0, "token": "\ufffd"})
    table = described(pl.DataFrame(promoted, schema=PROMOTED))
    assert table["latent"].to_list() == [0, 1, 2]  # 3 never fires
    assert dict(table.schema) == {name: pl.DataFrame(schema={name: kind}).schema[name] for name, kind in TABLE.items()}
    first, second, third = table["description"]
    assert first.startswith("fires on 'Paris' after ")
    assert first.endswith(", in the user's message; promotes 'is'")
    assert second == "fires on varied tokens, on the assistant's first token; promotes no clear words"
    assert third == "fires on varied tokens, in the assistant's answer; promotes no clear words"
    row = table.row(0, named=True)
    assert (row["rows"], row["tokens"], row["tokens_share"]) == (32, [" Paris"], [1.0])
    assert set(row["before"]) >= {" lives", " in"}
    assert row["before_z"] == sorted(row["before_z"], reverse=True)


def test_a_latent_of_one_row_is_not_summed_up() -> None:
    facts = Facts(1, "text", 1.0, promoted=["a"])
    assert phrase(facts) == "fires in one row only, in plain text; promotes 'a'"


def test_fragments_and_punctuation_are_no_words() -> None:
    told = {" word": True, "word": False, "\ufffd": False, " (": False, " a": False, "方": True, " its'": False}
    assert {token: is_word(token, marked=True) for token in told} == told
    assert is_word("word", marked=False)


def test_template_latents_have_no_context_and_mixed_ones_no_place() -> None:
    facts = Facts(32, "template", 0.9, [("\n", 1.0, 9.0)], [("User", 1.0, 9.0)])
    assert phrase(facts) == "fires on '↵', in the template; promotes no clear words"
    facts = Facts(32, "user", 0.4, [(" a", 1.0, 9.0)], [("x", 0.2, 9.0), (" b", 0.5, 5.0)])
    assert phrase(facts) == "fires on 'a' after 'b'; promotes no clear words"


def test_quoted_tokens_are_visible_and_told_once() -> None:
    assert quoted([" The", "the", " ", "a\n", "x", "y"]) == "'The', a space, 'a↵'"


def test_a_narrow_part_counts_for_the_broad_one_unless_it_is_half() -> None:
    place = torch.tensor([3, 6, 6, 1, 5, 1, 1])  # assistant, 2 answer starts; template, before the answer, 2 template
    latent = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    found = commonest(latent, place)
    assert (found[0][0], round(found[0][1], 3)) == ("answer-start", 0.667)
    assert found[1] == ("template", 1.0)
