"""Where tests of kernels run: in Triton's interpreter if TRITON_INTERPRET=1 (on the CPU), else on a CUDA device.

Triton reads that variable when it is imported, so `test_kernels_interpreted` runs these tests in a process of its own.
"""

import os

import pytest
import torch

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
MARKS = [] if INTERPRETED else [pytest.mark.gpu, NO_GPU]
EXAMPLES = 12 if INTERPRETED else 150
"""For hypothesis; the interpreter takes milliseconds a program."""
