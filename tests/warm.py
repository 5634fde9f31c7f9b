"""Commands that need no time to start: a process with the slow imports done runs each in a fork of itself.

A step of a miniature study computes for a second and imports for seven. `warm` gives a folder to put first on PATH:
its `python -m`, `snakemake`, `dvc` and `crossdiff` are those of this environment, from the working directory, with the
environment and the streams of whoever calls. Only packages are imported beforehand, never crossdiff.
"""

import atexit
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

IMPORTED = (
    "torch", "transformers.models.auto.modeling_auto", "transformers.modeling_utils", "transformers.generation", "peft",
    "datasets", "polars", "scipy.optimize", "scipy.stats", "safetensors.torch", "altair", "vl_convert", "jinja2",
    "pydantic", "typer", "tqdm", "mlflow", "snakemake.cli", "snakemake.api", "dvc.cli",
)  # fmt: skip
CLIENT = """#!{python} -IS
import json, os, socket, sys
module, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if module == "python":
    if arguments[:1] != ["-m"]:
        os.execv({python!r}, [{python!r}, *arguments])
    module, arguments = arguments[1], arguments[2:]
folder, environment = os.getcwd(), dict(os.environ)
text = json.dumps([module, arguments, {tools!r}, folder, environment]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(text).to_bytes(8, "little")], [0, 1, 2])
    server.sendall(text)
    sys.exit(int(server.makefile().read() or 1))
"""


def fresh(hub: Path) -> dict[str, str]:
    """Environment of a fresh shell: no path to this source, no server, nothing from a hub but what lies in ``hub``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "PYTEST", "PYTHONPATH"))}
    return kept | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(hub), "OMP_NUM_THREADS": "1"}


@contextmanager
def warm(environment: Mapping[str, str]) -> Iterator[Path]:
    """A folder of commands, until the end of the block; packages are imported in ``environment``."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        address, tools = f"{folder}/socket", Path(folder, "bin")
        tools.mkdir()
        for name in ("python", "snakemake", "dvc", "crossdiff"):
            (tools / name).write_text(CLIENT.format(python=sys.executable, tools=str(tools), address=address))
            (tools / name).chmod(0o755)
        command = (sys.executable, __file__, address)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n", "the imports failed; see above"
                yield tools
            finally:
                server.terminate()


def main(address: str) -> NoReturn:
    """Import, then run what is asked for."""
    for name in IMPORTED:
        importlib.import_module(name)
    # Caches that each command would fill again: pydantic looks for the docstrings of its models in all files that
    # modules are of, and transformers lists how weights of all its models are renamed.
    inspect.getmodule(compile("", "nowhere", "exec"))
    conversion_mapping = importlib.import_module("transformers.conversion_mapping")
    conversion_mapping.get_checkpoint_conversion_mapping("llama")
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            attend(client)
        client.close()


def attend(client: socket.socket) -> NoReturn:
    """Run what ``client`` asks for in a fork, tell it the exit code, and end; if it goes away, end the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, *_ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as sent:
        job = json.loads(sent.read(int.from_bytes(head, "little")))
    child = os.fork()
    if child == 0:
        client.close()
        run(*job, streams)
    gone, *_ = select.select([client.fileno(), os.pidfd_open(child)], [], [])
    if client.fileno() in gone:
        os.kill(child, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if client.fileno() not in gone:
        client.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def run(
    module: str, arguments: list[str], tools: str, folder: str, environment: dict[str, str], streams: list[int]
) -> NoReturn:
    """Be the interpreter that was asked for."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [folder, *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    sys.argv = [module, *arguments]
    sys.executable = f"{tools}/python"  # of which Snakemake puts the folder first on PATH
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(code: str | int | None) -> NoReturn:
    """End as an interpreter does, but without taking down the imported packages: that takes half a second."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for what is not a daemon
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main(sys.argv[1])
