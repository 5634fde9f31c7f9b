"""Setting a process up: the GPU that was asked for is the current one, and only CPUs get their products widened."""

import pytest
import torch

from crossdiff import process


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", ["widen"]), ("cuda", ["GPU 0"]), ("cuda:0", ["GPU 0"]), ("cuda:3", ["GPU 3"])]
)
def test_the_device_asked_for_is_the_one_that_is_used(
    device: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: done.append(f"GPU {number}"))
    monkeypatch.setattr(process.products, "widen", lambda: done.append("widen"))
    threads = torch.get_num_threads()
    process.prepare(threads, device)
    assert done == expected
    assert torch.get_num_threads() == threads
