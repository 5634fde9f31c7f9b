"""All stages of a study: their jobs, and what each takes."""

from dataclasses import replace

from crossdiff.costs.seconds import (
    DRAW,
    PROMPTS,
    STARTUP,
    attribution_seconds,
    evidence_seconds,
    examples_seconds,
    forward_seconds,
    generation_seconds,
    promoted_seconds,
    prompts_seconds,
    steering_seconds,
    step_seconds,
    sweep_seconds,
    tuning_seconds,
    weights,
)
from crossdiff.costs.sizes import MOMENT_BYTES, Machine, Stage, Work
from crossdiff.dictionaries.recipe import Recipe
from crossdiff.truth.synthetic.presets import Preset

RUNTIME = 0.7e9
"""Bytes of a process that has imported torch and transformers."""
STREAMS = {
    "crosscoder": {"whole": 3, "halves": 4, "additive": 4, "thresholds": 3, "bias": 2},
    "diff-sae": {"whole": 3, "halves": 2, "thresholds": 3, "bias": 3, "opposite": 1},
    "chat-sae": {"halves": 2, "thresholds": 3, "opposite": 1},
}
"""Streams of each group of interventions, by kind of dictionary (`crossdiff.evidence.kl.interventions`)."""
BASELINES = 6
"""Streams without a dictionary."""
TUNED_BYTES = 140
"""Bytes held for the gradients of a tuning step, an entry of each block's stream."""


def stages(work: Work, machine: Machine) -> list[Stage]:
    """All stages in the order they run."""
    tuned = [tokens for tokens in (work.planted_tokens if work.behaviours else 0, work.null_tokens) if tokens]
    planting = [_planting(work, machine, tuned)] if tuned else []
    planting += [_answers(work, machine)] if work.behaviours else []
    prepare = Stage("models, corpus", [STARTUP] * 3, RUNTIME, 2 * work.model.parameters * work.models_made)
    benchmark = [_synthetic(work, machine, work.synthetic)] if work.synthetic and work.dictionaries else []
    dictionaries = [_training(work, machine), _attribution(work, machine), _evidence(work, machine)]
    dictionaries += [_examples(work, machine)]
    dictionaries += [_null(work, machine)] if work.null_seeds else []
    report = Stage("report", [2 * STARTUP], RUNTIME)
    return [prepare, *benchmark, *planting, _activations(work, machine), *dictionaries, report]


def _planting(work: Work, machine: Machine, tuned: list[int]) -> Stage:
    """The chat model and the null tune, by the tokens each is tuned on."""
    own, model = machine.part(work.threads_tuning), work.model
    each = [STARTUP + tuning_seconds(model, tokens, own) for tokens in tuned]
    memory = RUNTIME + 10 * model.parameters + TUNED_BYTES * work.tuning_batch * model.layers * model.width
    beside = min(len(each), machine.beside(work.threads_tuning))
    return Stage("plant", each, memory, 2 * model.parameters * (work.null_tokens > 0), beside, rough=True)


def _answers(work: Work, machine: Machine) -> Stage:
    own = machine.part(work.threads_models)
    answers = 2 * work.behaviours * 2 * PROMPTS  # both models; held-out prompts and controls
    seconds = STARTUP + generation_seconds(work.model.parameters, answers * work.new_tokens, own)
    return Stage("truth", [seconds], RUNTIME + 4 * work.model.parameters, rough=True)


def _synthetic(work: Work, machine: Machine, preset: Preset) -> Stage:
    """A job a dictionary; each seed has a pair and its null."""
    own, steps = machine.part(work.threads_dictionaries), 2 * work.synthetic_seeds * preset.steps
    recipes = [preset.shrink(recipe) for recipe in work.dictionaries]
    each = [STARTUP + steps * (DRAW + step_seconds(recipe, preset.design.width, own)) for recipe in recipes]
    held = max(held_bytes(recipe, preset.design.width) for recipe in recipes)
    return Stage("synthetic", each, RUNTIME + held, 0.0, machine.beside(work.threads_dictionaries))


def _activations(work: Work, machine: Machine) -> Stage:
    own, model = machine.part(work.threads_models), work.model
    seconds = 2 * forward_seconds(model, work.layer + 1, work.tokens, work.context / 2, own)
    memory = RUNTIME + 4 * model.parameters + work.bytes(min(work.shard_tokens, work.tokens))
    readers = 1 if machine.gpu else work.threads_models  # on a CPU each thread reads a batch of its own
    memory += readers * work.batch_tokens * model.width * 2 * 24  # what a block's forward holds at once
    return Stage("activations", [STARTUP + seconds], memory, work.bytes(work.tokens), mapped=work.bytes(work.tokens))


def held_bytes(recipe: Recipe, width: int) -> float:
    """Weights, gradients and moments, (8 + 2m)·2·F·I; scores and batch."""
    state = 8 + 2 * MOMENT_BYTES[recipe.moments]
    return weights(recipe, width) * state + recipe.batch * (6.0 * recipe.latents + 24.0 * recipe.models * width)


def _training(work: Work, machine: Machine) -> Stage:
    own, width = machine.part(work.threads_dictionaries), work.model.width
    each = [STARTUP + recipe.steps * step_seconds(recipe, width, own) for recipe in work.dictionaries]
    held = [held_bytes(recipe, width) for recipe in work.dictionaries]
    disk = work.seeds * sum(4 * weights(recipe, width) for recipe in work.dictionaries)
    if work.streams:  # one job, and one pass over the models for all
        read = max((recipe.steps * recipe.batch for recipe in work.dictionaries), default=0)
        pass_ = 2 * forward_seconds(work.model, work.layer + 1, read, work.context / 2, machine)
        return Stage("dictionaries", [sum(each) * work.seeds + pass_], RUNTIME + sum(held) * work.seeds, disk)
    beside = machine.beside(work.threads_dictionaries)
    return Stage(
        "dictionaries", each * work.seeds, RUNTIME + max(held, default=0.0), disk, beside, work.bytes(work.train_tokens)
    )


def _attribution(work: Work, machine: Machine) -> Stage:
    own, width = machine.part(work.threads_dictionaries), work.model.width
    each = [
        STARTUP
        + attribution_seconds(recipe, width, work.attribution_tokens, own)
        + promoted_seconds(recipe, work.model, own)
        for recipe in work.dictionaries
    ]
    largest = max(
        (8 * weights(r, width) + 8.0 * r.batch * r.latents + 16.0 * r.latents * width for r in work.dictionaries),
        default=0.0,
    )
    mapped, beside = work.bytes(work.attribution_tokens), machine.beside(work.threads_dictionaries)
    return Stage("attribution", each * work.seeds, RUNTIME + largest, 0.0, beside, mapped)


def _examples(work: Work, machine: Machine) -> Stage:
    own, width, tokens = machine.part(work.threads_dictionaries), work.model.width, work.attribution_tokens
    each = [
        STARTUP + examples_seconds(recipe, width, tokens, work.example_latents, own) for recipe in work.dictionaries
    ]
    held = max((4 * weights(recipe, width) for recipe in work.dictionaries), default=0.0)
    mapped, beside = work.bytes(tokens), machine.beside(work.threads_dictionaries)
    return Stage("examples", each * work.seeds, RUNTIME + held, 0.0, beside, mapped, rough=True)


def _evidence(work: Work, machine: Machine) -> Stage:
    own = machine.part(work.threads_dictionaries)
    each = [evidence_seconds(work, _streams(recipe.kind, work), own) for recipe in work.dictionaries]
    model = work.model
    largest = max((4 * weights(recipe, model.width) for recipe in work.dictionaries), default=0.0)
    logits = 8.0 * work.answer_tokens * model.vocabulary * 4
    memory = RUNTIME + 4 * model.parameters + 2 * largest + logits
    jobs = [evidence_seconds(work, BASELINES, own, shared=True), *each * work.seeds]
    jobs += [sweep_seconds(work, own)] if work.swept else []
    jobs += [prompts_seconds(work, own)] if work.prompt_tokens else []
    jobs += [steering_seconds(work, own)] * len(each) * work.seeds if work.steered_answers else []
    return Stage("evidence", jobs, memory, 0.0, machine.beside(work.threads_dictionaries), rough=True)


def _null(work: Work, machine: Machine) -> Stage:
    """Read the null tune alone (the base's streams are there), train and measure: what the pair's own stages take."""
    own = replace(work, seeds=work.null_seeds)
    read, train, measure = _activations(own, machine), _training(own, machine), _attribution(own, machine)
    seconds = [STARTUP + (read.wall - STARTUP) / 2, train.wall, measure.wall]
    disk = read.disk + train.disk
    memory = max(part.memory * part.beside for part in (read, train, measure))
    return Stage("null", [sum(seconds)], memory, disk, mapped=read.mapped, rough=True)


def _streams(kind: str, work: Work) -> int:
    """Edited streams a conversation."""
    groups = STREAMS.get(kind, {})
    return sum(groups.get(group, 0) for group in work.interventions) + (work.random_sets if groups else 0)
