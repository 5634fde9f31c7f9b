"""The sizes of a study, from its config and its models' own configs; and the estimate in words."""

import re
from pathlib import Path

from crossdiff.amounts import duration, size
from crossdiff.config import Config
from crossdiff.contents import text_config
from crossdiff.costs.sizes import Machine, Model, Stage, Work
from crossdiff.errors import UserError
from crossdiff.evidence.settings import Steering
from crossdiff.parts.pair import Planting, Source
from crossdiff.truth.synthetic.presets import PRESETS
from crossdiff.workflow import made, model, sides

BEHAVIOURS = Path(__file__).parents[1] / "truth" / "behaviours"


def work(study: Config, shape: Model | None = None) -> Work | None:
    """Sizes of the study, with models of this ``shape`` if it is known; None if nothing tells how large they are."""
    shape = shape or model_shape(study)
    if shape is None:
        return None
    planted, null = study.pair.chat.planted, study.null_pair
    behaviours = 0
    if planted:
        behaviours = len(list(BEHAVIOURS.glob("*.yaml")) if planted.behaviours is None else planted.behaviours)
    corpus, evidence = study.corpus, study.evidence
    measured = {"train": corpus.train_tokens, "validation": corpus.validation_tokens}[study.attribution.split]
    return Work(
        model=shape,
        layer=study.activations.layer,
        train_tokens=corpus.train_tokens,
        validation_tokens=corpus.validation_tokens,
        context=corpus.context,
        dictionaries=list(study.trained.values()),
        seeds=len(study.seeds),
        stored_bytes={"int8": 1, "bfloat16": 2, "float32": 4}[study.activations.dtype],
        stored_tokens=_stored(study),
        batch_tokens=study.activations.batch_tokens,
        shard_tokens=study.activations.shard_tokens,
        attribution_tokens=measured,
        example_latents=study.examples.latents,
        conversations=evidence.conversations,
        answer_tokens=evidence.answer_tokens,
        interventions=tuple(evidence.interventions),
        swept=tuple(range(shape.layers)) if evidence.layer_sweep == "all" else tuple(evidence.layer_sweep or ()),
        prompt_tokens=evidence.prompts.new_tokens if evidence.prompts else 0,
        steered_answers=_steered(evidence.steering, behaviours) if evidence.steering else 0,
        random_sets=evidence.random_sets,
        generated_sets=evidence.generated_sets,
        added_answers=evidence.added_answers,
        behaviours=behaviours,
        behaviour_prompts=evidence.behaviour_prompts,
        new_tokens=evidence.new_tokens,
        planted_tokens=_tuned(planted),
        null_seeds=len(study.calibration.null_seeds) if null else 0,
        null_tokens=_tuned(null.chat.planted) if null else 0,
        models_made=sum(made(study, side) for side in sides(study)),
        synthetic=PRESETS[study.synthetic.preset] if study.synthetic else None,
        synthetic_seeds=len(study.synthetic.seeds) if study.synthetic else 0,
        threads_models=study.compute.threads.models,
        threads_tuning=study.compute.threads.tuning,
        tuning_batch=max((each.batch_tokens for each in (planted, null and null.chat.planted) if each), default=0),
        threads_dictionaries=study.compute.threads.dictionaries,
    )


def _tuned(planting: Planting | None) -> int:
    """Tokens of all steps of a tune made here, at most; 0 if there is none."""
    return planting.steps * planting.batch_tokens if planting else 0


def _stored(study: Config) -> int:
    """Training tokens that lie on disk."""
    sample = study.activations.sample_tokens if study.activations.store == "stream" else study.corpus.train_tokens
    return min(sample, study.corpus.train_tokens)


def model_shape(study: Config) -> Model | None:
    """The base model's sizes: from its config.json where there is one, else guessed from the size in its name."""
    try:
        facts = text_config(model(study, "base").path)
        return of_config(facts) if facts else of_name(study.pair.base)
    except (UserError, KeyError):
        return of_name(study.pair.base)


def of_config(facts: dict[str, int]) -> Model:
    """From the keys of a transformers config.json, for a gated MLP and grouped heads."""
    layers, width, vocabulary = (facts[key] for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
    heads = facts["num_attention_heads"]
    head = facts.get("head_dim") or width // heads
    attention = 2 * width * head * (heads + facts.get("num_key_value_heads", heads))
    block = attention + 3 * width * facts["intermediate_size"]
    return Model(layers, width, vocabulary, layers * block + vocabulary * width)


def of_name(source: Source) -> Model | None:
    """From a size such as 135M or 2b in a name: width as models of that size have it, D = 2304·(N / 2.6e9)^0.47."""
    name = source.package.file if source.package else " ".join(filter(None, (source.path, source.gguf)))
    found = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", name.rpartition("/")[2], re.IGNORECASE)
    if not found:
        return None
    parameters = float(found[1]) * (1e6 if found[2].lower() == "m" else 1e9)
    width = max(64, round(2304 * (parameters / 2.6e9) ** 0.47 / 64) * 64)
    vocabulary = 49_152 if parameters < 1e9 else 128_256
    layers = max(4, round((parameters - vocabulary * width) / (12 * width**2)))
    return Model(layers, width, vocabulary, parameters)


def known(study: Config) -> bool:
    """Whether the base model's config.json is there."""
    return Path(model(study, "base").path, "config.json").is_file()


def lines(stages: list[Stage], machine: Machine | None) -> list[str]:
    """The estimate as a table, one line a stage; without times where the machine is not known."""
    out = [f"  {'stage':<16}{'jobs':>5}{'time':>9}{'memory':>10}{'disk':>10}"]
    for stage in stages:
        time = ("~" if stage.rough else "") + duration(stage.wall) if machine else "?"
        disk = size(stage.disk) if stage.disk else ""
        out.append(f"  {stage.name:<16}{len(stage.seconds):>5}{time:>9}{size(stage.memory):>10}{disk:>10}")
    wall = duration(sum(stage.wall for stage in stages)) if machine else "?"
    memory = size(max(stage.memory * stage.beside for stage in stages))
    disk = size(sum(stage.disk for stage in stages))
    return [*out, f"  {'all':<16}{'':>5}{wall:>9}{memory:>10}{disk:>10}"]


def _steered(steering: Steering, behaviours: int) -> int:
    """Answers under steering, a dictionary."""
    asked = len(steering.prompts) + behaviours * steering.controls
    return asked * len(steering.models) * (1 + steering.latents * len(steering.scales))
