"""A judge behind an OpenAI-compatible API: POST <base_url>/chat/completions."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from crossdiff.errors import UserError
from crossdiff.evidence.interpretation.prompts import Message
from crossdiff.evidence.interpretation.settings import Judge

INTERPRETATION = "evidence.interpretation"
"""Where the config names the judges."""

RETRIES = 5
BACKOFF = 1.0
"""Seconds before the second try; doubled with each one after it. A Retry-After of the server goes before."""
PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that may be gone on the next try."""
TIMEOUT = 120
"""Seconds without a byte."""
SHOWN = 200
"""Characters of an answer that are quoted in an error."""


class Endpoint:
    """One model of one API. Messages of errors start with the config's key ``where``."""

    def __init__(self, base_url: str, model: str, key: str | None, parallel: int, where: str):
        self.url, self.model, self.parallel, self.where = base_url.rstrip("/"), model, parallel, where
        self.name = f"{self.url} {model}"
        self._key = None if key is None else os.environ.get(key)
        if key is not None and not self._key:
            raise UserError(
                f"{where}.key: the environment variable {key} is not set; export it, name another one,"
                " or give null if the endpoint asks for no key"
            )
        self._retry = Retry(
            total=RETRIES, backoff_factor=BACKOFF, status_forcelist=PASSING, allowed_methods=None, raise_on_status=False
        )
        self._local = threading.local()

    def ask(self, messages: Sequence[Message], tokens: int, verdicts: int = 0) -> str:
        """The model's reply at temperature 0, in whatever form it comes; UserError names the config's key at fault."""
        body: Any = {"model": self.model, "messages": list(messages), "temperature": 0, "max_tokens": tokens}
        try:
            answer = self._session().post(f"{self.url}/chat/completions", json=body, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise UserError(
                f"{self.where}.base_url: {self.url} does not answer ({type(error).__name__}); see that it runs and is"
                " reachable from here, then start the step again: replies that came are kept"
            ) from error
        return self._content(answer)

    def _session(self) -> requests.Session:
        """The calling thread's own session."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=self._retry))
            if self._key:
                session.headers["Authorization"] = f"Bearer {self._key}"
            self._local.session = session
        return self._local.session

    def _content(self, answer: requests.Response) -> str:
        if answer.status_code in (401, 403):
            raise UserError(f"{self.where}.key: {self.url} refuses the key ({answer.status_code}); give a valid one")
        if not answer.ok:
            key = "model" if answer.status_code in (400, 404) else "base_url"
            raise UserError(
                f"{self.where}.{key}: {self.url} answers {answer.status_code} for the model {self.model}:"
                f" {answer.text[:SHOWN]!r}"
            )
        try:
            content: Any = answer.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise UserError(
                f"{self.where}.base_url: {self.url} does not answer as an OpenAI-compatible API:"
                f" {answer.text[:SHOWN]!r}"
            ) from None
        return content if isinstance(content, str) else ""


def endpoint(judge: Judge, where: str) -> Endpoint:
    """The judge that the config names at ``where`` by its address; UserError if its key is not set."""
    assert judge.base_url is not None
    assert judge.model is not None
    return Endpoint(judge.base_url, judge.model, judge.key, judge.parallel, where)
