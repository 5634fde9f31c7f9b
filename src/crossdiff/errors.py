"""The error a user can mend."""


class UserError(Exception):
    """A mistake of the user's, told in one message that names the key, row or file and what to change."""


def first_line(error: Exception) -> str:
    """The first line of another package's error, or its name: what a message of ours quotes of it."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
