"""Text and conversations become rows of token ids with a role for every token."""
