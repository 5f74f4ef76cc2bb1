"""Settings of CPU threads: waiting of OpenMP, and denormal numbers."""

from __future__ import annotations

import os

# OpenMP's threads spin while they wait for each other. When other processes use the cores, the thread they wait for may
# not be running, and spinning takes its time: with torch's default a convolutional training step beside eight busy
# processes took 3.1 s, with this 0.8 s, and on a quiet machine 0.14 s either way.
_SPINS_BEFORE_SLEEP = "1000"


def limit_spinning() -> None:
    """Make OpenMP's threads sleep after a short wait, unless the environment sets it.

    Must be called before torch is imported, which reads these variables once.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = _SPINS_BEFORE_SLEEP


def flush_denormals() -> None:
    """Flush denormal numbers to 0, on this thread and those that it starts.

    Denormals are a hundred times as slow: without this, the first steps of a small generator took 3.8 s instead of 0.2.
    """
    import torch

    torch.set_flush_denormal(True)
