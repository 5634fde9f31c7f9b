"""The texts that show when a latent is active, of every called latent and of some others."""
