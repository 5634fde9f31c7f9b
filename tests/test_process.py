"""Setting a process up: the GPU that was asked for is the current one, and only CPUs get their products widened."""

import pytest
import torch

from crossdiff import process
from crossdiff.errors import UserError


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", ["widen"]), ("cuda", ["GPU 0"]), ("cuda:0", ["GPU 0"]), ("cuda:3", ["GPU 3"])]
)
def test_the_device_asked_for_is_the_one_that_is_used(
    device: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: done.append(f"GPU {number}"))
    monkeypatch.setattr(process.products, "widen", lambda: done.append("widen"))
    threads = torch.get_num_threads()
    process.prepare(threads, device)
    assert done == expected
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("threads", "device", "said"),
    [
        (0, "cpu", "--threads 0: give 1 or more"),
        (-2, "cpu", "--threads -2"),
        (1, "gpu", "--device gpu: give cpu, cuda, or one GPU"),
        (1, "cuda:x", "--device cuda:x: give cpu"),
        (1, "cuda:", "--device cuda:: give cpu"),
        (1, "cpu:0", "--device cpu:0: give cpu"),
        (1, "", "--device : give cpu"),
        (1, "cuda:2", "--device cuda:2: torch sees 2 GPUs here; give a lower number"),
    ],
)
def test_what_there_is_not_is_told(threads: int, device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"^{said}"):
        process.prepare(threads, device)


def test_without_any_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="--device cuda: torch sees no GPUs here; give cpu"):
        process.prepare(1, "cuda")
