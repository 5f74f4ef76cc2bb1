"""Checks that a machine has the GPUs that are asked for."""

from __future__ import annotations

import os

from utils.errors import RecitalError


class GpuError(RecitalError):
    """GPUs that a machine does not have."""


def require_gpus(gpus: str) -> None:
    """Raise a `GpuError` unless torch finds as many GPUs as a list such as `0,1` names."""
    import torch

    asked, found = len(gpus.split(",")), torch.cuda.device_count()
    if found < asked:
        raise GpuError(
            f"--gpu {gpus}: asks for {asked} GPU{'s' if asked > 1 else ''}, torch finds {found}; "
            'leave the flag out to use what there is, or give "" for the CPU'
        )


def require_gpu_per_process() -> None:
    """Raise a `GpuError` if more processes were launched here than there are GPUs; with none, the CPU serves."""
    import torch

    launched, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if 0 < found < launched:
        raise GpuError(
            f"{launched} processes were launched on a machine where torch finds {found} GPU{'s' if found > 1 else ''}; "
            f"launch {found}"
        )
