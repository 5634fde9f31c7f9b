"""Runs the tests of kernels on this CPU, in Triton's interpreter, and compiles the kernels for their GPUs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
FILES = sorted(str(file) for file in Path(__file__).parent.glob("test_kernel_*.py"))


def test_in_the_interpreter():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", *FILES]
    environment = kept | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in FILES:
        assert re.search(rf"{Path(file).name}::\S.* PASSED", done.stdout), f"nothing of {file} was run:\n{done.stdout}"


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from crossdiff.dictionaries.kernels import adam, decode, gradients, rows, select

KINDS = {
    "fp32": "pre_BF weight_F value_N score_N decoder_FI bias_I x_BI error_BI delta_BI input_BI code_N encoder_FI bias_F"
    " encoder_SI bias_S decoder_SI parameter_M gradient_M factor gradient_FI unit_FI matrix_FI squares_CX squares_SX",
    "i32": "span_3 counts_H least_1 ahead_BT tied_BT start_BT token_N latent_N start_B latent_C start_F chunk_F spill_F"
    " latent_S",
    "i64": "room_1", "u8": "mean_top_K square_top_K",
}
POINTERS = {name: "*" + kind for kind, names in KINDS.items() for name in names.split()}
FLOATS = dict.fromkeys("rate root mean_gain square_decay square_gain".split(), "fp32")
WHOLE = dict.fromkeys("latents width entries step number".split(), "i32")

def build(kernel, constants, **types):
    types = POINTERS | FLOATS | WHOLE | types
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature, {(kernel.arg_names.index(n),): value for n, value in constants.items()})
    for capability in (80, 90):
        assert triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]

for pre in ("*bf16", "*fp32"):
    build(select._add_to_histogram, {"SHIFT": select.LOW_BITS, "TILE": select.TILE}, pre_BF=pre)
    build(select._count_tiles, {"TILE": select.PART}, pre_BF=pre)
    build(select._write, {"TILE": select.PART}, pre_BF=pre)
build(decode._error, {"ENTRIES": decode.ENTRIES, "COLUMNS": decode.COLUMNS})
sizes = {"CHUNK": gradients.CHUNK, "COLUMNS": gradients.COLUMNS}
for operand in ("*bf16", "*fp32"):
    build(gradients._code_gradients, sizes | {"ENTRIES": gradients.ENTRIES}, delta_BI=operand)
    build(gradients._sum_chunks, sizes, delta_BI=operand, input_BI=operand)
for kernel in (rows._remove_parallel, rows._to_unit):
    build(kernel, {"COLUMNS": rows.COLUMNS})
build(gradients._sum_spill, {"COLUMNS": gradients.COLUMNS})
for bits, kind in ((32, "*fp32"), (16, "*i16"), (8, "*u8")):
    build(adam._move, {"BITS": bits, "CLIPPED": True}, mean_M=kind, square_M=kind)
"""


def test_kernels_compile_for_ampere_and_hopper(tmp_path):
    """To machine code; no GPU is needed for that."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment = kept | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
