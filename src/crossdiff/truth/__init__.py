"""Known answers: planted behaviours, and scores against them."""
