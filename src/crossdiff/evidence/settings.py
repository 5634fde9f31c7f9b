"""The part of a study's config on what is asked of the models themselves."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crossdiff.fields import Count, Seed, Share
from crossdiff.parts import Part
from crossdiff.parts.corpus import Rows

Group = Literal["whole", "halves", "additive", "thresholds", "bias", "opposite"]


class Prompts(Rows):
    """Prompts that the chat model answers: the first user message of each row; others are passed over."""

    prompt_tokens: Count = 896
    """Longest prompt as the models read it; longer ones are passed over."""
    new_tokens: Count = 128
    """Longest answer (the study: prompt and answer together at most 1,024 tokens)."""

    @property
    def where(self) -> str:
        return "evidence.prompts"


class Steering(Part):
    """Answers while one latent's direction is added to a model's stream, at the latent's largest activation times a
    scale; kept side by side with the unsteered answer."""

    latents: Count = 3
    """Latents of each dictionary: those called chat-specific, then the most chat-specific ones by ν."""
    scales: Annotated[tuple[float, ...], Field(min_length=1)] = (0.25, 1.0)
    """Multiples of the largest activation."""
    models: Annotated[tuple[Literal["base", "chat"], ...], Field(min_length=1)] = ("base", "chat")
    """Models that are steered."""
    prompts: tuple[str, ...] = ("Who are you?", "What is the best way to learn a language?", "Tell me about the sea.")
    """What is asked."""
    controls: Annotated[int, Field(ge=0)] = 1
    """Control prompts of each planted behaviour that are asked too; unsteered answers should not show it."""

    @model_validator(mode="after")
    def _once(self) -> "Steering":
        if 0 in self.scales or len(set(self.scales)) != len(self.scales):
            raise ValueError("scales: each once, and not 0, which is asked anyway")
        return self


class Evidence(Part):
    """What is asked of the models themselves."""

    conversations: Count = 32
    """Held-out conversations for the KL experiment."""
    prompts: Prompts | None = None
    """Prompts whose greedy answers by the chat model are the conversations of the KL experiment, in place of the
    corpus's validation rows (the study: 512 of UltraChat). Choose prompts that no dictionary was trained on."""
    answer_tokens: Count = 32
    """Prediction positions of a conversation, at most; it is cut after them (the study: all, of 1024 tokens)."""
    interventions: Annotated[tuple[Group, ...], Field(min_length=1)] = ("whole", "halves")
    """What of a dictionary is patched, beside random sets. `whole`: all latents, their error. `halves`: best and worst
    candidates, by Δ_norm and by ν. `additive`: a crosscoder's halves again, base keeping what it has of them.
    `thresholds`: all latents beyond a limit of Δ_norm or ν. `bias`: the constant part added and taken away, and a
    diff-SAE's halves with it. `opposite`: an SAE's latents of highest |ν|."""
    candidates: Share = 0.1
    """Latents that the halves are taken from, the most chat-like live ones, as a share of all."""
    candidate_latents: Count | None = None
    """Candidates by the study's rule instead, whose number is 3,176: of so many latents with the highest Δ_norm, or an
    SAE's with the lowest |ν|, those that are live."""
    candidate_nu: tuple[float, float] = (-0.1, 2.0)
    """Range of ν_r and ν_ε of a crosscoder's candidates; those outside are left out."""
    components: Annotated[int, Field(ge=0)] = 32
    """Principal components of chat − base, fitted to training tokens, that are added to base beside the dictionaries:
    with as many as these have active latents, what a dictionary must beat. 0 leaves them out."""
    layer_sweep: Literal["all"] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Blocks after which the two models are joined without a dictionary, beside the site: their numbers, or `all`."""
    random_sets: Count = 2
    """Random sets of latents beside each chosen one."""
    generated_sets: Annotated[int, Field(ge=0)] = 1
    """Random sets whose answers are generated too; the log-probability is measured for all `random_sets`."""
    added_answers: Annotated[int, Field(ge=0)] = 2
    """Prompts of a behaviour, the first ones, whose answers are generated under additions too, to be read beside the
    unedited ones; the log-probability is measured for all. Removals are answered on every prompt."""
    behaviour_prompts: Count = 6
    """Held-out prompts of a behaviour on which its latents are chosen, and as many others on which they are scored; of
    controls likewise."""
    behaviour_latents: Count = 5
    """Latents a dictionary may use for one behaviour."""
    new_tokens: Count = 40
    """Longest generated answer in the behaviour experiment and under steering."""
    collateral_conversations: Annotated[int, Field(ge=0)] = 4
    """Held-out conversations on which an edit made for a behaviour is looked at; 0 leaves that out."""
    steering: Steering | None = None
    """Answers under single latents of each dictionary; null leaves them out."""
    resamples: Count = 2000
    """Bootstrap resamples of conversations."""
    seed: Seed = 0
    """Seed of random sets and bootstrap."""

    @model_validator(mode="after")
    def _ascending(self) -> "Evidence":
        if self.candidate_nu[0] >= self.candidate_nu[1]:
            raise ValueError(f"candidate_nu: no ν lies between {self.candidate_nu[0]:g} and {self.candidate_nu[1]:g}")
        return self
