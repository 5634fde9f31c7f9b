"""Activations of both models at the site: read once, stored in shards, sampled in shuffled batches."""
