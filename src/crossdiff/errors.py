"""The error a user can mend."""


class UserError(Exception):
    """A mistake of the user's, told in one message that names the key, row or file and what to change."""
