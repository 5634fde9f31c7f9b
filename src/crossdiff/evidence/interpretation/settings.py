"""What the config says of the interpretation of latents by language models."""

from typing import Annotated

from pydantic import Field, model_validator

from crossdiff.evidence.settings import Evidence
from crossdiff.fields import Count, Seed
from crossdiff.parts import Part


class Judge(Part):
    """A language model that is asked: behind an OpenAI-compatible API (`base_url`, `model`), or run here (`path`)."""

    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Address of the API up to its version, such as https://api.openai.com/v1."""
    model: str | None = None
    """Name of the model there."""
    key: str | None = "OPENAI_API_KEY"
    """Environment variable that holds the API's key; null for an endpoint that asks for none. The key itself stands in
    no file."""
    parallel: Count = 4
    """Requests to the API at once."""
    path: str | None = None
    """Hub id or local folder of a model with a chat template, run on `compute.device`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""

    @model_validator(mode="after")
    def _one_place(self) -> "Judge":
        if (self.base_url is None) == (self.path is None):
            raise ValueError("give exactly one of base_url and path")
        if self.base_url is not None and self.model is None:
            raise ValueError("model: name the model that base_url is asked for")
        return self


class Interpretation(Part):
    """An explainer writes what a latent fires on; a scorer tells by it on which held-out texts the latent fires."""

    explainer: Judge
    """Who writes the explanations."""
    scorer: Judge | None = None
    """Who judges the texts; the explainer by default."""
    latents: Annotated[int, Field(ge=4)] = 40
    """Latents of a dictionary (its first seed), a quarter from each quarter of the order by ν."""
    examples: Count = 4
    """Texts shown to the explainer from each third of the latent's activations."""
    texts: Count = 5
    """Held-out texts judged from each third, and of each kind of texts on which the latent is silent."""
    text_tokens: Annotated[int, Field(ge=4)] = 32
    """Tokens of a text."""
    together: Count = 5
    """Texts judged in one request."""
    new_tokens: Count = 120
    """Longest reply."""
    resamples: Count = 2000
    """Bootstrap resamples of rows and latents."""
    seed: Seed = 0
    """Seed of the choice of latents and texts, and of the bootstrap."""


class Examination(Evidence):
    """What is asked of the models themselves, and of others about the latents."""

    interpretation: Interpretation | None = None
    """Explanations of latents and how well they predict; null asks no one."""

    @property
    def experiments(self) -> Evidence:
        """The part that is asked of the models themselves."""
        return Evidence(**self.model_dump(exclude={"interpretation"}))
