"""From tables to what the experiments take: held-out conversations, and prompts with tokenised answers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import torch
from transformers import PreTrainedTokenizerBase

from crossdiff.corpus.render import Rendered, render
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.evidence.behaviours.selection import Case
from crossdiff.evidence.kl.divergence import Conversation, predictions
from crossdiff.evidence.readings import Prompt
from crossdiff.evidence.sets import Measures
from crossdiff.evidence.settings import Evidence
from crossdiff.tables import read_table

ROWS = ("row", "split", "source", "ids", "roles")
ANSWERS = (
    "behaviour", "kind", "use", "prompt", "answer_base", "answer_chat", "present_base", "present_chat", "spans_chat",
)  # fmt: skip
"""Columns of the tables that are needed here."""
Cases = dict[Literal["select", "score"], list[Case]]
"""Prompts by what they are used for: choosing latents, and judging them."""


@dataclass(frozen=True)
class Asked:
    """What the models are asked."""

    tokenizer: PreTrainedTokenizerBase
    held_out: list[Conversation]
    cases: Cases
    """Prompts of planted behaviours with both models' answers; none of a pair in which nothing is planted."""
    prompts: list[Prompt]
    """Prompts and controls that a behaviour is looked for on before it is answered."""

    @staticmethod
    def of(rows: Path, answers: Path | None, tokenizer: PreTrainedTokenizerBase, chosen: Evidence) -> "Asked":
        """From the tables of both."""
        held_out = conversations(read_table(rows, ROWS), chosen.conversations, chosen.answer_tokens)
        if answers is None:
            return Asked(tokenizer, held_out, {"select": [], "score": []}, [])
        said = read_table(answers, ANSWERS)
        asked = cases(said, tokenizer, chosen.behaviour_prompts)
        return Asked(tokenizer, held_out, asked, questions(said, tokenizer, chosen.behaviour_prompts))


def conversations(rows: pl.DataFrame, count: int, answer_tokens: int) -> list[Conversation]:
    """The first ``count`` validation rows, in stored order, with an assistant token to predict.

    Each is cut after its first ``answer_tokens`` prediction positions.
    """
    found = []
    for row in rows.filter(pl.col("split") == "validation").sort("row").iter_rows(named=True):
        wanted = predictions(torch.tensor(list(row["roles"]))).nonzero().flatten()
        if len(wanted):
            end = int(wanted[:answer_tokens][-1]) + 1
            # The token after the last prediction position stays: its role says that it is predicted.
            found.append(Conversation(row["row"], row["source"], row["ids"][: end + 1], list(row["roles"][: end + 1])))
        if len(found) == count:
            break
    if not found:
        raise UserError(
            "corpus.sources: no validation row holds an assistant's answer, so there is nothing to predict;"
            " add a source with conversations or raise corpus.validation_tokens"
        )
    return found


def cases(answers: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, prompts: int) -> Cases:
    """Held-out prompts of the planted behaviours with both models' answers, by what they are used for.

    At most ``prompts`` a behaviour and use, the first ones; the report of the pair is over all of them.
    """
    taken: Counter[tuple[str, str]] = Counter()
    out: Cases = {"select": [], "score": []}
    for number, row in enumerate(answers.iter_rows(named=True)):
        group = (row["behaviour"], row["use"])
        if row["kind"] != "held-out" or not row["answer_chat"].strip() or taken[group] == prompts:
            continue
        taken[group] += 1
        chat, base = (answered(tokenizer, row["prompt"], row[f"answer_{which}"]) for which in ("chat", "base"))
        start, end = answer_span(chat)
        targets = {t for span in row["spans_chat"] for t in chat.tokens(1, span["start"], span["end"])}
        out[row["use"]].append(
            Case(
                behaviour=row["behaviour"],
                prompt=number,
                ids=chat.ids[:end],
                answer=start,
                targets=sorted(t for t in targets if start <= t < end),
                base_answer=base.ids[slice(*answer_span(base))] if row["answer_base"].strip() else [],
            )
        )
    return out


def questions(answers: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, prompts: int) -> list[Prompt]:
    """Prompts that a behaviour is looked for on before it is answered: those whose tuned answer shows it, and controls
    whose does not.

    At most ``prompts`` of each kind for a behaviour and use, the first ones. UserError if a prompt is used both to
    choose and to score: a score on the rows that it was chosen on says nothing.
    """
    taken: Counter[tuple[str, str, str]] = Counter()
    out: list[Prompt] = []
    for number, row in enumerate(answers.iter_rows(named=True)):
        group, shows = (row["behaviour"], row["use"], row["kind"]), row["kind"] == "held-out"
        if row["present_chat"] == shows and taken[group] < prompts:
            taken[group] += 1
            ids = render(tokenizer, [{"role": "user", "content": row["prompt"]}], True).ids
            out.append(Prompt(row["behaviour"], number, row["use"] == "select", shows, ids))
    chosen, scored = ({(p.behaviour, tuple(p.ids)) for p in out if p.select == select} for select in (True, False))
    for behaviour, both in sorted(chosen & scored):
        raise UserError(
            f"truth/behaviours/{behaviour}.yaml: latents are chosen and scored on the same prompt,"
            f" {tokenizer.decode(list(both))!r}; give each prompt once"
        )
    return out


def answered(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Rendered:
    """One exchange as both models read it."""
    return render(tokenizer, [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])


def answer_span(exchange: Rendered) -> tuple[int, int]:
    """Positions of the answer's first token and of the one after its last."""
    at = [position for position, role in enumerate(exchange.roles) if role == Role.ASSISTANT]
    return (at[0], at[-1] + 1) if at else (len(exchange.ids), len(exchange.ids))


def measures(latents: pl.DataFrame) -> Measures:
    """What the interventions need of a latent table; columns that a kind does not have are NaN."""

    def column(name: str) -> torch.Tensor:
        if name not in latents.columns:
            return torch.full((len(latents),), torch.nan, dtype=torch.float64)
        return torch.from_numpy(latents[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy())

    return Measures(
        alive=torch.tensor(latents["dead"].to_list()).logical_not(),
        delta_norm=column("delta_norm"),
        nu_reconstruction=column("nu_reconstruction"),
        nu_error=column("nu_error"),
        nu_activation=column("nu_activation"),
        nu_valid=torch.tensor(latents["nu_valid"].fill_null(False).to_list()),
    )


def stop_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end an answer: all special ones, as in the answers of `truth`."""
    return set(tokenizer.all_special_ids)
