"""Checks that the requested GPUs exist."""

from __future__ import annotations

import os

from utils.errors import RecitalError


class GpuError(RecitalError):
    """Missing GPUs."""


def require_gpus(gpus: str) -> None:
    """Raise a `GpuError` if torch finds fewer GPUs than a list such as `0,1` names."""
    import torch

    asked, found = len(gpus.split(",")), torch.cuda.device_count()
    if found < asked:
        raise GpuError(
            f"--gpu {gpus}: asks for {asked} GPU{'s' if asked > 1 else ''}, torch finds {found}; "
            'omit the flag to use those, or pass "" for the CPU'
        )


def require_gpu_per_process() -> None:
    """Raise a `GpuError` if more processes were launched here than there are GPUs, unless there are none."""
    import torch

    launched, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if 0 < found < launched:
        raise GpuError(
            f"{launched} processes were launched on a machine where torch finds {found} GPU{'s' if found > 1 else ''}; "
            f"launch {found}"
        )
