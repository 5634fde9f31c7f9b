"""What the models themselves say about a dictionary: KL patching and causal effects on planted behaviours."""
