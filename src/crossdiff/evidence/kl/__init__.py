"""How much of the two models' KL divergence an edit closes."""
