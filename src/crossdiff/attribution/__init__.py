"""One row a latent: norms, scaling, use and description."""
