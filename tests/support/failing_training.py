"""`bins.train` with a failure: `python -m tests.support.failing_training FAILURE [arguments of bins.train]`.

Of several processes the last one fails, or the first where it is a file that fails.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import sys
from collections.abc import Callable

import torch

from models.fastspeech2.task import FastSpeech2Task
from utils.checkpoint import CheckpointFolder
from utils.task import Term, Update

RANK, WORLD_SIZE = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def bug():
    raise ValueError("a mistake in the program")


def memory():
    torch.empty(2**48)


def killed_worker():
    [worker, *_] = multiprocessing.active_children()
    worker.kill()
    worker.join()


def file_limit(n_bytes: int) -> None:
    """From now on no file may grow beyond this size, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def fail_in_step(number: int, failure: Callable[[], None]) -> None:
    updates = FastSpeech2Task.updates

    def failing(self, batch, step):
        if step + 1 == number and WORLD_SIZE - 1 == RANK:
            failure()
        return updates(self, batch, step)

    FastSpeech2Task.updates = failing


def make_loss_nan() -> None:
    def updates(self, batch, step):
        yield Update("network", {"mel": Term(self.modules["network"](batch).mel.sum() * float("nan"))})

    FastSpeech2Task.updates = updates


def limit_files_within(owner: type, method: str) -> None:
    inner = getattr(owner, method)

    def limited(*arguments, **named):
        file_limit(2000)
        return inner(*arguments, **named)

    setattr(owner, method, limited)


FAILURES = {
    "nan": make_loss_nan,
    "full_bundle": lambda: limit_files_within(FastSpeech2Task, "bundle"),
    "full_checkpoint": lambda: limit_files_within(CheckpointFolder, "save"),
    # Pictures and sounds, which TensorBoard's own thread writes, are larger than that; the logbook's lines are not.
    "full_tensorboard": lambda: limit_files_within(FastSpeech2Task, "samples"),
} | {failure.__name__: lambda failure=failure: fail_in_step(2, failure) for failure in (bug, memory, killed_worker)}

if __name__ == "__main__":
    FAILURES[sys.argv.pop(1)]()
    torch.set_num_threads(1)
    runpy.run_module("bins.train", run_name="__main__")
