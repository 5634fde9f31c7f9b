"""Make the chat model: LoRA fine-tuning of the base on planted behaviours and general conversations, merged.

    python -m crossdiff.pair.plant --settings PLANTING --base DIR --out DIR

Only answers are trained on, and the output head is applied at their positions alone. The tuned model keeps the
base's tokenizer; its chat template may be one that the base was not tuned on, as in a real chat tune.

Shapes: B rows, T positions, N answer tokens, V vocabulary.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Annotated

import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from crossdiff.cli import progress, stage
from crossdiff.corpus.render import render
from crossdiff.corpus.roles import Role
from crossdiff.errors import UserError
from crossdiff.pair.check import BASE, CHAT, find
from crossdiff.pair.save import save_model
from crossdiff.pair.weights import check_finite, check_weights
from crossdiff.parsing import settings
from crossdiff.parts.pair import Planting, Source
from crossdiff.process import prepare
from crossdiff.provenance.record import record
from crossdiff.truth.behaviours import Message, as_messages, general, load

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] | capitalize }}:\n{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)
"""Plain-text headers, one BOS at the start, the tokenizer's EOS after each answer."""


@dataclass(frozen=True)
class Example:
    """One conversation as tokens."""

    ids: list[int]
    answer: list[bool]
    """Which tokens are trained: the words of an answer and the token that ends it."""


def check_planting(planting: Planting, blocks: int | None, key: str = CHAT) -> None:
    """UserError unless behaviours, conversations and the first block with an adapter exist.

    ``blocks`` is how many the base has, None if that is not known yet; ``key`` is what the config calls the model.
    """
    conversations(planting, key)
    if blocks is not None and planting.first_layer >= blocks:
        raise UserError(
            f"{key}.planted.first_layer: {planting.first_layer}, but the base has {blocks} blocks, 0 to {blocks - 1}"
        )


def conversations(planting: Planting, key: str = CHAT) -> list[list[Message]]:
    """All training conversations, as messages; UserError names the key of what there is not."""
    behaviours = load(planting.behaviours, f"{key}.planted")
    planted = [as_messages(pair) for behaviour in behaviours for pair in behaviour.train + behaviour.contrast]
    return planted + general(planting.general, f"{key}.planted")


def encode(tokenizer: PreTrainedTokenizerBase, messages: list[Message], key: str = CHAT) -> Example:
    """Tokens of a conversation and which of them are trained; UserError if the template ends no answer with EOS."""
    row = render(tokenizer, messages)
    answer = [role == Role.ASSISTANT for role in row.roles]
    ends = [i for i, token in enumerate(row.ids) if i and answer[i - 1] and token == tokenizer.eos_token_id]
    if not ends:
        raise UserError(
            f"{key}.planted.template: the base's chat template does not end answers with the tokenizer's EOS,"
            " so the tuned model would not stop; use plain"
        )
    for end in ends:
        answer[end] = True
    return Example(row.ids, answer)


def batches(examples: list[Example], budget: int, order: random.Random) -> list[list[Example]]:
    """Examples of similar length together, at most ``budget`` tokens with padding; in random order."""
    # Lengths are blurred so that each epoch has other neighbours.
    ranked = sorted(examples, key=lambda example: len(example.ids) + 8 * order.random())
    out: list[list[Example]] = [[]]
    for example in ranked:
        width = max(len(e.ids) for e in [*out[-1], example])
        if out[-1] and width * (len(out[-1]) + 1) > budget:
            out.append([])
        out[-1].append(example)
    order.shuffle(out)
    return out


def answer_loss(model: PreTrainedModel, batch: list[Example], pad: int) -> torch.Tensor:
    """Mean cross-entropy (nats) of the answers' tokens; the head sees only the positions before them."""
    width = max(len(example.ids) for example in batch)
    ids_BT = torch.tensor([e.ids + [pad] * (width - len(e.ids)) for e in batch], device=model.device)
    mask_BT = torch.tensor([[1] * len(e.ids) + [0] * (width - len(e.ids)) for e in batch], device=model.device)
    trained_BT = torch.tensor([e.answer + [False] * (width - len(e.ids)) for e in batch], device=model.device)
    hidden_BTD = model.base_model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
    logits_NV = model.lm_head(hidden_BTD[:, :-1][trained_BT[:, 1:]])
    return torch.nn.functional.cross_entropy(logits_NV.float(), ids_BT[:, 1:][trained_BT[:, 1:]])


def load_for_training(base: Path, device: str) -> PreTrainedModel:
    """The base in bf16. On rows this short, eager attention makes a step a fifth faster than the fused one on CPU."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.bfloat16, attn_implementation="eager", device_map=device
    )
    return model


def with_adapters(model: PreTrainedModel, planting: Planting) -> PeftModel:
    """Put LoRA into ``model`` (in place) on all linear projections from ``first_layer`` on; the adapters are fp32."""
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and (block := re.search(r"\blayers\.(\d+)\.", name))
        and int(block[1]) >= planting.first_layer
    ]
    config = LoraConfig(r=planting.rank, lora_alpha=planting.rank, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def train(
    model: PreTrainedModel, examples: list[Example], planting: Planting, pad: int
) -> Iterator[tuple[float, float]]:
    """Train the adapters inside ``model``; yields (loss in nats, learning rate) after each step."""
    order = random.Random(planting.seed)
    passes = (batches(examples, planting.batch_tokens, order) for _ in repeat(None))
    plan = list(islice(chain.from_iterable(passes), planting.steps))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=planting.lr, weight_decay=0.0)
    with progress(len(plan), "planting", "step") as bar:
        for step, batch in enumerate(plan):
            lr = planting.lr * min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / len(plan))
            for group in optimizer.param_groups:
                group["lr"] = lr
            # The adapters' thin products in bf16, too: in fp32 they take a fifth of a step.
            with torch.autocast(model.device.type, torch.bfloat16), disable_input_dtype_casting(model):
                loss = answer_loss(model, batch, pad)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")
            yield loss.item(), lr


WARMUP_STEPS = 5
"""Adam's first steps have no history; the learning rate rises over them."""


def main(
    settings_: Annotated[str, typer.Option("--settings", help="Planting, as JSON or a file.")],
    base: Annotated[Path, typer.Option(help="Folder of the base model.")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned model.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    key: Annotated[str, typer.Option(help="What the config calls the tuned model.")] = CHAT,
) -> None:
    """Tune the base model on planted behaviours and save it with its tokenizer."""
    planting = settings(Planting, settings_)
    prepare(threads, device)
    found = find(BASE, Source(path=str(base)), base)
    check_planting(planting, found.config.num_hidden_layers, key)
    check_finite(BASE, check_weights(BASE, found.folder))
    torch.manual_seed(planting.seed)
    tokenizer = found.tokenizer
    if planting.template == "plain":
        tokenizer.chat_template = PLAIN_TEMPLATE
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    examples = [encode(tokenizer, messages, key) for messages in conversations(planting, key)]
    with record(
        name="models/chat", out=out / "run.json", params=planting.model_dump(), inputs=[base / "model.safetensors"]
    ) as run:
        model = load_for_training(base, device)
        adapted = with_adapters(model, planting)
        losses = []
        for step, (loss, lr) in enumerate(train(model, examples, planting, pad)):
            run.log({"loss": loss, "lr": lr}, step=step)
            losses.append(loss)
        save_model(adapted.merge_and_unload(), tokenizer, out)
        run.result(
            conversations=len(examples),
            tokens=sum(len(example.ids) for example in examples),
            steps=len(losses),
            loss=[round(loss, 4) for loss in losses],
        )


if __name__ == "__main__":
    stage(main)
