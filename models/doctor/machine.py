"""Checks of the machine: processor, GPUs, memory and disk, against what the settings need."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from config.paths import REPOSITORY
from models.doctor.disk_space import LITTLE_DISK, free_space
from models.doctor.finding import Finding, Subject, size
from utils.machine import available_memory, cpu_flags, describe_machine

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx_vnni", "avx512_vnni", "amx_bf16", "amx_int8")
_LITTLE_SHARED_MEMORY = 2**28


def processor(subject: Subject) -> Iterator[Finding]:
    """Describe the processor: cores, threads, and the instructions that decide over speed."""
    import torch

    from utils.precision import fastest

    machine, flags = describe_machine(), cpu_flags()
    known = ", ".join(flag for flag in _FLAGS if flag in flags)
    yield Finding(f"{machine['processor']}, {machine['cores']} cores, {known or machine['vector_instructions']}")
    if fastest(torch.device("cpu")) == "bf16":
        yield Finding("bf16 in hardware: the fastest precision on this CPU")
    else:
        yield Finding("no bf16 in hardware: on this CPU precision fp32 is faster than bf16, which is emulated")
    limit = f", limited by OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}" if "OMP_NUM_THREADS" in os.environ else ""
    yield Finding(f"torch {torch.__version__}, {torch.get_num_threads()} threads{limit}")


def gpus(subject: Subject) -> Iterator[Finding]:
    """List GPUs, and compare them with those that settings and `--gpu` ask for."""
    import torch

    from utils.gpus import GpuError, require_gpus

    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    build = f"torch {torch.__version__} is built for {built_for}"
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        free, _ = torch.cuda.mem_get_info(number)
        yield Finding(f"GPU {number}: {facts.name}, {size(free)} of {size(facts.total_memory)} free")
    if not torch.cuda.device_count():
        hidden = ", CUDA_VISIBLE_DEVICES hides all" if os.environ.get("CUDA_VISIBLE_DEVICES") == "" else ""
        driver = f", though nvidia-smi is installed; {build}" if shutil.which("nvidia-smi") else ""
        yield Finding(f"torch finds no GPU{hidden}{driver}")
    if subject.gpu:
        try:
            require_gpus(subject.gpu)
        except GpuError as error:
            yield Finding(f"{error}; {build}", "nvidia-smi")


def precision(subject: Subject) -> Iterator[Finding]:
    """Compare `train.precision` with the device that training would take."""
    import torch

    from utils.precision import why_not

    asked = subject.known_settings.train.precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if reason := why_not(asked, device):
        other = "fp32" if device.type == "cpu" else "fp16"
        yield Finding(
            f"train.precision: {asked} {reason}",
            subject.call("bins.doctor", "--set", f"train.precision={other}"),
        )


def memory(subject: Subject) -> Iterator[Finding]:
    """Look at free memory, and at the shared memory that passes batches between processes."""
    free = available_memory()
    yield Finding(f"{size(free)} of memory are free" if free else "free memory is not known on this system")
    shared = Path("/dev/shm")
    if shared.is_dir() and (total := shutil.disk_usage(shared).total) < _LITTLE_SHARED_MEMORY:
        yield Finding(
            f"{size(total)} of shared memory pass batches between processes: with train.num_workers above 0 that may "
            "be too little; docker run --shm-size 1g"
        )


def disk(subject: Subject) -> Iterator[Finding]:
    """Look at the free space for the installation and for temporary files."""
    for folder in dict.fromkeys((REPOSITORY, Path(tempfile.gettempdir()))):
        yield from free_space(folder, LITTLE_DISK)
