"""The latent explorer: what the page embeds for its script, as one compact JSON document."""
