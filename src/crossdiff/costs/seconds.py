"""Seconds of each kind of work: arithmetic over the rate of products, plus bytes over the bandwidth of the memory.

The constants below are the shares of those two that a kind of work reaches, and guesses of what no setting tells.

Symbols: n tokens, D width, L models, I = L·D, F latents, k active latents a token, B tokens a step, V vocabulary.
"""

from crossdiff.costs.sizes import MOMENT_BYTES, Machine, Model, Work
from crossdiff.dictionaries.recipe import Recipe

GEMM = 0.9
"""Share of the measured product rate that the encoder product reaches."""
EIGHT = 0.5
"""Time of a product of 8-bit numbers over that of bf16 ones, where a CPU has both."""
STREAM = 0.95
"""Share of the bandwidth that Adam, casts and gathers reach."""
FORWARD = 0.82
"""Share of the bf16 product rate that a model's forward reaches on rows of a few hundred tokens."""
TUNE = 0.6
"""The same of a tuning step on short conversations."""
GENERATE = 0.36
"""The same of generation, which multiplies thin matrices."""
REGENERATED = 0.5
"""Share of an edited answer that is generated: it is read first, and written anew only from where it differs."""
DENSE_STEPS = 0.25
"""Share of an L1 dictionary's steps whose codes are dense enough for dense products: its first ones."""
DRAW = 0.003
"""Seconds of a synthetic step beside its products: drawing a batch, and what a step costs at any size."""
STARTUP = 8.0
"""Seconds until a step has imported its libraries and read its inputs."""
L1_ACTIVE = 64
"""Active latents a token of an L1 dictionary, which no setting tells."""
CONVERSATION, PROMPTS = 48, 16
"""Tokens of a conversation, or of a prompt and its answer; held-out prompts of a behaviour, and as many controls."""


def weights(recipe: Recipe, width: int) -> float:
    """Parameters of encoder and decoder, 2·F·I."""
    return 2.0 * recipe.latents * recipe.models * width


def step_seconds(recipe: Recipe, width: int, machine: Machine) -> float:
    """One training step.

    2·B·I·F / bf16 for the encoder product, half of that if it is screened in 8 bits (five products where codes are
    dense or the path is the eager one); bytes: the weights' gradients written and fed to Adam, with the encoder's
    copies, (23 + 4m) a weight, m bytes a moment; scores written, compared and gathered, 6·B·F, or 8·B·F as sums of
    8-bit numbers; four passes over the chosen rows, 16·B·k·I.
    """
    wide = recipe.models * width
    product = 2.0 * recipe.batch * wide * recipe.latents
    active = recipe.k if recipe.sparsity == "batchtopk" else min(L1_ACTIVE, recipe.latents)
    dense = 1.0 if recipe.path == "eager" else DENSE_STEPS if recipe.sparsity == "l1" else 0.0
    rate = machine.bf16 if recipe.matmul == "bfloat16" and recipe.path != "eager" else machine.fp32
    moment = MOMENT_BYTES[recipe.moments]
    screened = machine.eight and recipe.screenable
    if screened:
        product *= EIGHT
    moved = weights(recipe, width) * (23 + 4 * moment)
    moved += recipe.batch * recipe.latents * ((8 if screened else 6) + 24 * dense)
    moved += 16.0 * recipe.batch * active * wide * (1 - dense)
    return product * (1 + 4 * dense) / (GEMM * rate) + moved / (STREAM * machine.bandwidth)


def forward_seconds(model: Model, blocks: int, tokens: float, context: float, machine: Machine) -> float:
    """A forward of so many blocks: 2 a parameter and token, and 4·T·D a block and token for attention."""
    work = tokens * (2 * model.blocks(blocks) + 4 * context * model.width * blocks)
    return work / (FORWARD * machine.bf16)


def tuning_seconds(model: Model, tokens: float, machine: Machine) -> float:
    """4 a parameter and token: adapters need no gradient of the frozen weights."""
    return 4 * model.parameters * tokens / (TUNE * machine.bf16)


def generation_seconds(parameters: float, tokens: float, machine: Machine) -> float:
    """2 a parameter and token."""
    return 2 * parameters * tokens / (GENERATE * machine.bf16)


def attribution_seconds(recipe: Recipe, width: int, tokens: int, machine: Machine) -> float:
    """2·n·I·F in float32, and of each active entry the rows it decodes to and the four series it is summed over."""
    wide = recipe.models * width
    active = recipe.k if recipe.sparsity == "batchtopk" else min(L1_ACTIVE, recipe.latents)
    moved = tokens * (16.0 * recipe.latents + active * 4.0 * (wide + 4 * width) * 2)
    return 2.0 * tokens * wide * recipe.latents / (GEMM * machine.fp32) + moved / (STREAM * machine.bandwidth)


def promoted_seconds(recipe: Recipe, model: Model, machine: Machine) -> float:
    """2·F·D·V in float32 for each model's head."""
    return 2 * 2.0 * recipe.latents * model.width * model.vocabulary / (GEMM * machine.fp32)


def examples_seconds(recipe: Recipe, width: int, tokens: int, latents: int, machine: Machine) -> float:
    """2·n·I a shown latent in float32, and its activity on each token written and read once."""
    shown = min(latents, recipe.latents)
    return tokens * shown * (2.0 * recipe.models * width / (GEMM * machine.fp32) + 8.0 / (STREAM * machine.bandwidth))


def evidence_seconds(work: Work, streams: int, machine: Machine, shared: bool = False) -> float:
    """KL: the chat model above the site for each stream, the head at predicted positions; behaviours: answers read and
    generated under each edit. What is ``shared``, by one job: both models up to the site on all texts, and gradients.
    """
    model, above = work.model, work.model.layers - work.layer - 1
    length = min(work.context, work.answer_tokens + CONVERSATION)
    rows = work.conversations
    seconds = (streams + 1) * forward_seconds(model, above, rows * length, length, machine)
    head = 2.0 * model.vocabulary * model.width * rows * work.answer_tokens * (streams + 1)
    answers = 2 * work.behaviours * work.behaviour_prompts
    if shared:
        texts = rows * length + 3 * answers * CONVERSATION
        seconds += 2 * forward_seconds(model, work.layer + 1, texts, length, machine)
    read = answers * (1 + work.random_sets) * CONVERSATION
    answered = work.behaviours * (work.behaviour_prompts + min(work.added_answers, work.behaviour_prompts))
    made = answered * (1 + work.generated_sets) * work.new_tokens
    upper = model.blocks(above) + model.vocabulary * model.width
    whole = model.parameters + model.blocks(work.layer + 1)  # the base model's lower blocks run as well
    seconds += (head + 2 * upper * read) / (FORWARD * machine.bf16)
    return STARTUP + seconds + generation_seconds(whole, REGENERATED * made, machine)


def sweep_seconds(work: Work, machine: Machine) -> float:
    """After each block of the sweep five streams through the blocks above: chat's own twice, two edited ones, and
    chat's through the base's; the head at predicted positions of each."""
    model, rows = work.model, work.conversations
    length = min(work.context, work.answer_tokens + CONVERSATION)
    seconds = 2 * forward_seconds(model, max(work.swept) + 1, rows * length, length, machine)
    for block in work.swept:
        seconds += 5 * forward_seconds(model, model.layers - block - 1, rows * length, length, machine)
    head = 2.0 * model.vocabulary * model.width * rows * work.answer_tokens * 5 * len(work.swept)
    return STARTUP + seconds + head / (FORWARD * machine.bf16)


def prompts_seconds(work: Work, machine: Machine) -> float:
    """The chat model's answers to the prompts of the KL experiment."""
    return STARTUP + generation_seconds(work.model.parameters, work.conversations * work.prompt_tokens, machine)


def steering_seconds(work: Work, machine: Machine) -> float:
    """Answers under a dictionary's latents; the other model's lower blocks run as well."""
    whole = work.model.parameters + work.model.blocks(work.layer + 1)
    return STARTUP + generation_seconds(whole, work.steered_answers * work.new_tokens, machine)
