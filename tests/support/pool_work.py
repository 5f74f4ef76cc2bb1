"""Work for a process pool, made in its workers: some of it fails, and some ends the process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from utils.errors import RecitalError


def make_square(offset):
    def square(task, note):
        note(("began", task))
        if task == "explode":
            raise RecitalError("the task exploded")
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "leave":
            os._exit(7)
        return task * task + offset

    return square


def make_nothing():
    raise RecitalError("the lexicon is missing")


def make_corpse():
    os._exit(3)


def make_environment_reader():
    import torch

    return lambda task, note: (os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads())


def make_sleeper(folder):
    def sleep(task, note):
        (Path(folder) / f"{os.getpid()}").touch()
        time.sleep(600)

    return sleep
