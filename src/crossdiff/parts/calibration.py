"""When a latent is called, and how often that may be wrong."""

from pydantic import Field, model_validator

from crossdiff.fields import Seeds, Share
from crossdiff.parts import Part
from crossdiff.parts.pair import Source


class Calibration(Part):
    """Which latents are called chat-specific, base-specific, rotated or rescaled, and how often that may be wrong."""

    q: Share = 0.1
    """False discovery rate of the calls."""
    synthetic: bool = True
    """Calibrate on the null of the synthetic benchmark, if the study has one."""
    null_tune: Source | None = None
    """A model tuned from the same base on nothing that is looked for. The dictionaries are trained and measured on base
    and this model too, on the same texts (results/<pair>/null), and calls are upheld if they hold on those latents
    too; without the synthetic null they are calibrated on them. What such a tune adds in truth counts as false, so what
    is upheld errs towards too few. Planted without behaviours, a folder, or a hub id."""
    null_seeds: Seeds = Field(default=[0])
    """Seeds of the dictionaries there."""
    match: Share = 0.7
    """Cosine from which on latents of two seeds count as the same: of their decoders, and of their activities."""

    @model_validator(mode="after")
    def _null_tune(self) -> "Calibration":
        tune = self.null_tune
        if tune is not None and (tune.package or tune.gguf or (tune.path or "").endswith(".gguf")):
            raise ValueError("null_tune: a GGUF file is not converted here; give a saved model's folder, or a hub id")
        if tune is not None and tune.planted and tune.planted.behaviours != []:
            raise ValueError("null_tune.planted.behaviours: a null has none; set it to []")
        return self
