"""How well an explanation of a latent tells on which texts it fires, judged by language models."""
