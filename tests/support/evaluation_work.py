"""A stand-in for the evaluation of checkpoints, made in its process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from utils.errors import RecitalError


def make_stand_in(pause_s: float = 0.0, fault: str = "", scores: tuple[float, ...] = ()):
    """Return work that takes `pause_s` and scores a checkpoint by its step; `fault` says how it fails."""
    if fault == "cannot begin":
        raise RecitalError("the vocoder is missing")

    def work(folder, note):
        place = Path(folder)
        step = int(place.name.removeprefix("step-"))
        (place.parent.parent / f"evaluated-by-{os.getpid()}").touch()
        if fault == "raises":
            raise RecitalError("the text is empty")
        if fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(pause_s)
        is_there = (place / "checkpoint.json").is_file() and (place / "network.safetensors").is_file()
        return {"distillmos": scores[step // 4 - 1] if scores else 1.0 + step, "is_there": float(is_there)}

    return work
