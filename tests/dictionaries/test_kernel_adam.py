"""Adam by the kernel against its plain statement: the same bits stored, but for rounding of the last digit on a GPU."""

import kernel_device
import pytest
import torch
from kernel_device import DEVICE, INTERPRETED

from crossdiff.dictionaries import adam
from crossdiff.dictionaries.kernels import adam as kernel

pytestmark = kernel_device.MARKS


@pytest.mark.parametrize("entries", [1, 255, 256, 257, 1024, 5001])
@pytest.mark.parametrize("form", adam.DTYPES)
def test_equals_the_plain_statement(form, entries):
    g = torch.Generator().manual_seed(entries)
    parameter = torch.randn(entries, generator=g)
    state = [parameter, torch.zeros(entries, dtype=adam.DTYPES[form]), torch.zeros(entries, dtype=adam.DTYPES[form])]
    if form == "float8":
        state.append(adam.no_exponents(parameter))
    twin = [tensor.clone().to(DEVICE) for tensor in state]
    for step in range(4):
        gradient = torch.randn(entries, generator=g) * torch.randn(entries, generator=g).exp() ** 3
        gradient[torch.rand(entries, generator=g) < 0.3] = 0
        factor = torch.tensor(0.7) if step % 2 else None
        for update, (weights, mean, square, *exponents), device in (
            (adam.update, state, "cpu"),
            (kernel.update, twin, DEVICE),
        ):
            rule = adam.rule(1e-3, (0.9, 0.999), step, None if factor is None else factor.to(device))
            update(weights, gradient.to(device), mean, square, exponents[0] if exponents else None, rule, 2)
    torch.testing.assert_close(twin[0].cpu(), state[0], rtol=1e-6, atol=1e-6 if INTERPRETED else 1e-5)
    for mine, other in zip(twin[1:], state[1:], strict=True):
        if INTERPRETED:
            torch.testing.assert_close(mine.cpu(), other, rtol=1e-6, atol=0)
        else:  # a product contracted into a sum may round to the next number now and then
            assert float((mine.cpu() != other).float().mean()) < 0.02 or form == "float32"
            torch.testing.assert_close(mine.cpu().float(), other.float(), rtol=2**-6, atol=1)
