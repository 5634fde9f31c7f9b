"""Whether a study fits this machine: disk, memory and time as findings, and the estimate by stage."""

import shutil
from pathlib import Path

import torch

from crossdiff.amounts import duration, size
from crossdiff.config import Config
from crossdiff.costs.estimate import known, lines, work
from crossdiff.costs.machine import memory
from crossdiff.costs.sizes import Machine, Model, Stage
from crossdiff.costs.stages import stages
from crossdiff.errors import UserError
from crossdiff.finding import Finding, attempt
from crossdiff.hardware import cores

ANY = Machine(1.0, 1.0, 1.0, gpu=True)
"""In place of a machine that is not here: memory and disk do not hang on its rates."""


def table(study: Config, machine: Machine | None, shape: Model | None = None) -> list[str]:
    """The cost model's estimate by stage, in words; ``machine`` None stands for one that has the study's device."""
    sizes = work(study, shape)
    if sizes is None:
        return ["no estimate: nothing tells how large the models are; it needs their config.json, or a size in a name"]
    guessed = "" if shape or known(study) else ", the model's sizes guessed from its name"
    where = "this machine" if machine else f"a machine with {study.compute.device}, which this one lacks"
    first = f"about, on {where}{guessed} (~ depends on texts; memory of all jobs side by side in the last line):"
    unknown = ["imported dictionaries are not in it: nothing tells how large they are before they come"]
    return [first, *lines(stages(sizes, machine or ANY), machine), *(unknown if study.imported else [])]


def findings(study: Config, shape: Model | None, machine: Machine | None, download: float) -> list[Finding]:
    """Device, memory, disk and time; ``download`` is the bytes of weights that are still to come."""
    device = attempt("device", lambda: check_device(study, machine))
    sizes = work(study, shape)
    if sizes is None:
        text = "nothing tells how large the models are"
        return [device, *(Finding(what, "open", text) for what in ("memory", "disk", "time"))]
    parts = stages(sizes, machine or ANY)
    time = Finding("time", "open", f"needs {study.compute.device}")
    if machine:
        time = Finding("time", "ok", f"about {duration(sum(part.wall for part in parts))} on this machine")
    room = Finding("memory", "open", f"{size(max(part.memory for part in parts))} needed at once")
    if machine:
        room = attempt("memory", lambda: _memory(study, parts))
    return [device, room, attempt("disk", lambda: _disk(study, parts, download)), time]


def check_device(study: Config, machine: Machine | None) -> str:
    """The study's device, and what of its threads find no core; UserError if the device is not here."""
    device = study.compute.device
    if machine is None:
        raise UserError(
            f"compute.device: {device}, but PyTorch finds {_gpus()} here; run the study where there is one, or set cpu"
        )
    return "; ".join([device, *crowded(study)])


def _gpus() -> str:
    count = torch.cuda.device_count()
    return f"no GPU beyond cuda:{count - 1}" if count else "no GPU"


def crowded(study: Config) -> list[str]:
    """The numbers of threads that exceed this machine's cores, in words; results do not suffer, only the time does."""
    there, threads = cores(), study.compute.threads
    return [
        f"compute.threads.{name}: {asked} threads would take turns on {there} cores; lower it to {there}"
        for name, asked in threads
        if there is not None and asked > there
    ]


def _memory(study: Config, parts: list[Stage]) -> str:
    """One job at a time must fit; Snakemake can be kept from running more."""
    largest = max(parts, key=lambda part: part.memory)
    there = memory(study.compute.device)
    text = f"{size(largest.memory)} for {largest.name}, the largest job, of {size(there)}"
    if largest.memory > there:
        raise UserError(
            f"{text}; lower dictionaries.*.latents or batch (training), activations.batch_tokens or shard_tokens"
            " (extraction), or use a larger machine"
        )
    beside = max(part.memory * part.beside for part in parts)
    return text if beside <= there else f"{text}; {size(beside)} for jobs side by side: run with fewer --cores"


def _disk(study: Config, parts: list[Stage], download: float) -> str:
    """What is still to be written, against what is free where results go."""
    folder = Path("results", study.pair.name)
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    needed = max(0.0, sum(part.disk for part in parts) - there) + download
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{size(needed)} still needed ({size(download)} of it weights from the hub), {size(free)} free"
    if needed > free:
        raise UserError(
            f"{text}; make room, lower corpus.train_tokens, store activations.dtype: int8, or nothing but a sample"
            " with activations.store: stream"
        )
    return text
