"""Replies of a judge kept on disk, so that an interrupted run goes on where it was and a second one costs nothing."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Protocol

from crossdiff.evidence.interpretation.prompts import Message


class Judge(Protocol):
    """A language model that replies to messages, always the same to the same."""

    name: str
    """Which model it is; replies of one are not taken for another's."""
    parallel: int
    """How many may be asked at once."""

    def ask(self, messages: Sequence[Message], tokens: int, verdicts: int = 0) -> str:
        """The reply, of at most ``tokens`` tokens; ``verdicts`` is the number of zeros and ones asked for, if any."""


class Replies:
    """A file of replies, one JSON object {key, reply} a line, written as they come.

    What is left of a line that was cut when a run was killed is passed over.
    """

    def __init__(self, file: Path) -> None:
        self.file, self._lock = file, Lock()
        self._known: dict[str, str] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text(errors="replace") if file.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = entry["reply"]
            except (ValueError, KeyError, TypeError):
                continue
        self._cut = bool(text) and not text.endswith("\n")

    def get(self, key: str) -> str | None:
        """The reply that was kept for a key."""
        return self._known.get(key)

    def put(self, key: str, reply: str) -> None:
        """Keep a reply; it is on disk when this returns."""
        with self._lock, self.file.open("a") as file:
            file.write("\n" * self._cut + json.dumps({"key": key, "reply": reply}) + "\n")
            file.flush()
            os.fsync(file.fileno())
            self._known[key], self._cut = reply, False


class Remembering:
    """A judge that is asked only what it has not replied to before."""

    def __init__(self, judge: Judge, replies: Replies) -> None:
        self.judge, self.replies = judge, replies
        self.name, self.parallel = judge.name, judge.parallel
        self.asked = 0
        """Replies that were not on disk."""
        self._lock = Lock()

    def ask(self, messages: Sequence[Message], tokens: int, verdicts: int = 0) -> str:
        """The kept reply, or a new one, which is kept."""
        key = sha256(json.dumps([self.name, list(messages), tokens, verdicts], sort_keys=True).encode()).hexdigest()
        known = self.replies.get(key)
        if known is not None:
            return known
        reply = self.judge.ask(messages, tokens, verdicts)
        self.replies.put(key, reply)
        with self._lock:
            self.asked += 1
        return reply
