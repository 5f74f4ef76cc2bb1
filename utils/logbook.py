"""Logbook of a training run: scalars as JSON lines, in TensorBoard and elsewhere; images and audio in TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from utils.board import Board
from utils.files import atomic_file

if TYPE_CHECKING:
    from utils.task import Samples


class LogWriter(Protocol):
    """A further place for the scalars of a logbook."""

    def scalars(self, step: int, values: Mapping[str, float], place: Sequence[int]) -> None:
        """Write numbers by name at a step.

        Args:
            step: that they belong to; for an evaluation that ends late, an earlier one.
            values: finite or not.
            place: epoch, step within it, both from 1, and steps per epoch; of the training as it is now.
        """

    def close(self) -> None:
        """Write what is left."""


class Logbook:
    """The logbook of one experiment: `logbook.jsonl` and `tensorboard/` in its folder.

    Args:
        folder: of the experiment.
        after_step: the step that the run resumes from; lines of later steps, left by a killed run, are dropped.
        writers: further places, closed with it.
    """

    def __init__(self, folder: Path | str, after_step: int = 0, writers: Sequence[LogWriter] = ()) -> None:
        self.path = Path(folder) / "logbook.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(self.path, after_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._board, self._writers = Board(Path(folder) / "tensorboard", after_step), writers

    def scalars(self, step: int, values: Mapping[str, float], place: Sequence[int] = (), **notes: Any) -> None:
        """Log numbers by name at a step; `notes` are written to the JSON line only, `place` to the writers only."""
        line = {"step": step, **notes, **{name: _as_json(value) for name, value in values.items()}}
        # One write and a flush: a kill can cut only the last line.
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        self._board.scalars(step, values)
        for writer in self._writers:
            writer.scalars(step, values, place)

    def settings(self, step: int, settings: Mapping[str, Any]) -> None:
        """Show all settings of the experiment in TensorBoard."""
        lines = json.dumps(settings, indent=2, ensure_ascii=False).splitlines()
        self._board.text(step, "settings", "\n".join(f"    {line}" for line in lines))  # Markdown's code

    def changes(self, step: int, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Log settings, old and new values, that changed for the steps from `step` on."""
        line = {"step": step, "changed": {name: list(values) for name, values in changed.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        text = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in changed.items())
        self._board.text(step, "settings", text)

    def samples(self, step: int, samples: Samples) -> None:
        """Log images, audio and texts at a step."""
        self._board.samples(step, samples)

    def close(self) -> None:
        """Flush and close the JSON lines, TensorBoard's files and the writers."""
        self._file.close()
        self._board.close()
        for writer in self._writers:
            writer.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Flushing after an error may find the disk full; the first error is more informative.
        with contextlib.suppress(OSError) if kind is not None else contextlib.nullcontext():
            self.close()


def read_logbook(path: Path | str) -> list[dict[str, Any]]:
    """Return the lines of a `logbook.jsonl`, without one that a kill cut in half."""
    return list(_whole_lines(Path(path)))


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                yield entry


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    with atomic_file(path) as kept, kept.open("w", encoding="utf-8") as lines:
        for entry in _whole_lines(path):
            if entry["step"] <= step:
                lines.write(json.dumps(entry) + "\n")


def _as_json(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
