"""Models on the hub: what is still to be downloaded is told, and what to do where one cannot be had."""

from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from surveyed import look, text, verdicts

from crossdiff.errors import UserError
from crossdiff.pair import check
from crossdiff.parts.pair import Source


class Response:
    status_code, headers, request = 403, {}, None


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (GatedRepoError, "accept its terms at https://huggingface.co/org/model, then log in with `hf auth login`"),
        (RepositoryNotFoundError, "the hub has no such model for you"),
        (LocalEntryNotFoundError, "neither a folder here, nor in the hub cache"),
    ],
)
def test_what_to_do_about_the_hub(kind: type[Exception], advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = kind("no") if kind is LocalEntryNotFoundError else kind("no", response=Response())  # type: ignore[call-arg]

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"^pair\.base\.path: org/model") as raised:
        check.find("pair.base", Source(path="org/model"), None)
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    ("files", "said", "download"),
    [
        ({"a.safetensors": 3_000_000_000, "b.safetensors": 10**9, "x.bin": 7}, "4.00 GB to be downloaded", 4e9),
        ({"x.bin": 7}, "org/chat has no safetensors on the hub", 0),
    ],
)
def test_weights_on_the_hub(
    tiny_study: dict, monkeypatch: pytest.MonkeyPatch, files: dict, said: str, download: float
) -> None:
    """The small files of a hub model are in the cache, its weights are not."""
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in files.items()]

    def absent(*_: object, **__: object) -> None:
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(check, "snapshot_download", lambda *_, **__: "chat")
    monkeypatch.setattr("crossdiff.survey.snapshot_download", absent)
    monkeypatch.setattr("crossdiff.survey.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=siblings))
    found = look(tiny_study, pair={"chat": {"path": "org/chat"}})
    assert verdicts(found)["chat model"] == "ok"
    assert said in text(found, "chat weights")
    assert found.download == download
