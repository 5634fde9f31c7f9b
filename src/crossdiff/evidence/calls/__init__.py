"""What is called, at which error rate, and whether it comes back with other seeds."""
