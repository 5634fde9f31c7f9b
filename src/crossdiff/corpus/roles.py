"""What a token is in its row."""

from enum import IntEnum


class Role(IntEnum):
    """Role of a token; stored as one byte."""

    BOS = 0
    TEMPLATE = 1
    """Written by the chat template: headers, turn marks, default system prompts."""
    USER = 2
    """Content of a user or system message."""
    ASSISTANT = 3
    TEXT = 4
    """A row of plain text."""


SPEAKER = {"system": Role.USER, "user": Role.USER, "assistant": Role.ASSISTANT}
"""Role of a message's content by the message's ``role``."""
