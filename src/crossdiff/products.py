"""bf16 matrix products on a CPU that has no instructions for them.

Without AVX512 torch multiplies bf16 matrices an entry at a time, an order of magnitude slower than fp32 ones (a step of
planting the packaged pair took 161 s). There such products are taken in fp32 and rounded, which is what hardware with
bf16 does: it sums in fp32, too, in another order. So precision stays what the config says, and only speed changes.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten
PRODUCTS = {
    aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default, aten.mv.default, aten.addmv.default,
    aten.dot.default, aten.linear.default, aten.matmul.default,
}  # fmt: skip
"""What others come down to; `linear` and `matmul` arrive whole where no gradient is taken."""


class Widened(TorchDispatchMode):
    """Within it, products of bf16 tensors on the CPU are taken in fp32 and rounded to bf16."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Leaves all else as it is."""
        if func in PRODUCTS and all(narrow(tensor) for tensor in args if isinstance(tensor, torch.Tensor)):
            return func(*tree_map(wide, args), **(kwargs or {})).bfloat16()
        return func(*args, **(kwargs or {}))


def narrow(tensor: torch.Tensor) -> bool:
    """Whether it is bf16 and on the CPU."""
    return tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu"


def wide(value: Any) -> Any:
    """A tensor in fp32; anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) else value


def linear(input_BI: torch.Tensor, weight_FI: torch.Tensor, bias_F: torch.Tensor) -> torch.Tensor:
    """x·Wᵀ + b [B, F]; bf16 goes to the CPU's own product at once: torch's `linear` takes up to a tenth longer over the
    bias, for the same bits."""
    if narrow(input_BI) and not lacking():
        return torch.ops.mkldnn._linear_pointwise(input_BI, weight_FI, bias_F, "none", [], "")
    return torch.nn.functional.linear(input_BI, weight_FI, bias_F)


@cache
def lacking() -> bool:
    """Whether this CPU multiplies bf16 matrices an entry at a time."""
    return not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def widened() -> AbstractContextManager[object]:
    """The mode where this CPU needs it, else nothing."""
    return Widened() if lacking() else nullcontext()


_kept: list[AbstractContextManager[object]] = []


def widen() -> None:
    """Enter `widened` for the rest of this process; modes are a thread's own, so call it in the one that computes."""
    if not _kept:
        _kept.append(widened())
        _kept[0].__enter__()
