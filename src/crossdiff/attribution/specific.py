"""The study's thresholds of ν: when a latent counts as one model's alone (study_spec §1.7). One place for all steps.

    crosscoder   |ν_r| < 0.5 and |ν_ε| < 0.2   (the paper's rule)
    SAE          |ν| < 0.3                     (the post's rule)

The paper writes its rule without the bars, and its figures count with them (study_spec §3.2). They are needed: where
the other model follows the direction with the opposite sign, ν is far below 0, and the latent is not one model's alone.

The functions take NumPy arrays and Polars expressions alike; NaN is below nothing.
"""

from typing import Any

NU_RECONSTRUCTION, NU_ERROR = 0.5, 0.2
"""Of ν_r and ν_ε, of a crosscoder."""
NU_ACTIVATION = 0.3
"""Of ν of the activation."""


def by_pair(nu_reconstruction: Any, nu_error: Any) -> Any:
    """Mask of the latents whose ν_r and ν_ε are both near 0."""
    return (abs(nu_reconstruction) < NU_RECONSTRUCTION) & (abs(nu_error) < NU_ERROR)
