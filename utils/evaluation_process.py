"""Evaluation of checkpoints in a process of its own, while training continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from utils.console import warn
from utils.process_pool import Died, Failed, Finished, Noted, ProcessPool, Work


class LateFigures(NamedTuple):
    """The figures of a checkpoint, by name; none if it could not be evaluated."""

    step: int
    figures: Mapping[str, float]


class EvaluationProcess:
    """A process that evaluates one checkpoint after another.

    It starts with the first checkpoint, and ends with this process, also when that is killed. Its failures are
    warnings. To be used in a `with`, which ends it.

    Args:
        make_work: a function at the top level of a module; returns `work(folder, note)`, which returns the figures of
            the checkpoint in a folder.
        arguments: of `make_work`; pickled.
    """

    def __init__(self, make_work: Callable[..., Work], *arguments: Any) -> None:
        self._make_work, self._arguments = make_work, arguments
        self._pool: ProcessPool | None = None
        self._step_of: dict[str, int] = {}
        self.has_failed = False

    @property
    def waiting(self) -> frozenset[int]:
        """Steps of the checkpoints whose figures are not there yet."""
        return frozenset(self._step_of.values())

    def submit(self, step: int, folder: Path) -> None:
        """Evaluate a checkpoint after those that wait; its folder must stay until its figures are there."""
        if self.has_failed:
            return
        if self._pool is None:
            self._pool = ProcessPool(1, self._make_work, *self._arguments)
        self._step_of[str(folder)] = step
        self._pool.submit(str(folder))

    def finished(self, timeout_s: float = 0.0) -> Iterator[LateFigures]:
        """Yield the figures that are there, after waiting up to `timeout_s` for the next."""
        if self._pool is None or not self._step_of:
            return
        try:
            for event in self._pool.events(timeout_s):
                if isinstance(event, Noted):
                    continue
                step = self._step_of.pop(event.task)
                if isinstance(event, Failed | Died):
                    why = event.error if isinstance(event, Failed) else f"the process was {event.how}"
                    warn(f"step {step}: its checkpoint could not be evaluated: {why}")
                yield LateFigures(step, event.result if isinstance(event, Finished) else {})
        except Exception as error:  # of `make_work`, or because the process cannot be kept alive
            warn(f"no checkpoint is evaluated any more: {error}")
            self.has_failed = True
            self._end()

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.end(gently=not self._step_of)  # a killed process leaves what its libraries share with others
        self._step_of.clear()

    def __enter__(self) -> EvaluationProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
