"""What both models say when a latent's direction is added or removed."""
