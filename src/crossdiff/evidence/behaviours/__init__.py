"""What a dictionary's latents do to the planted behaviours, and whether they announce them."""
