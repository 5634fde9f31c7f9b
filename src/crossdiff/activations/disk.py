"""What a stored token takes. Without torch, for the cost model."""


def bytes_a_token(models: int, width: int, entry_bytes: int) -> int:
    """Bytes of a token with entries of 4, 2 or 1 bytes: streams, a norm of each, row, position, token and role.

    One stored in 8 bits has a scale for each stream besides.
    """
    scales = models * 4 if entry_bytes == 1 else 0
    return models * width * entry_bytes + scales + models * 4 + 3 * 4 + 1
