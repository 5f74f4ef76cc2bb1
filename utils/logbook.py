"""What a run tells of itself: scalars as JSON lines and in TensorBoard, pictures and sounds in TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from utils.files import atomic_file
from utils.task import Samples


class Logbook:
    """The logbook of one experiment: `logbook.jsonl` and `tensorboard/` in its folder.

    Args:
        folder: of the experiment.
        after_step: the step that the run goes on from; what a killed run told of later steps is dropped.
    """

    def __init__(self, folder: Path | str, after_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = Path(folder) / "logbook.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(self.path, after_step)
        self._lines = self.path.open("a", encoding="utf-8")
        purge_step = after_step + 1 if (Path(folder) / "tensorboard").exists() else None
        # Its thread leaves an error for the next call to raise, and need not print it as well.
        threading.excepthook = _pass_over_tensorboard
        self._board = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=purge_step)

    def scalars(self, step: int, values: Mapping[str, float], **notes: Any) -> None:
        """Note numbers by name at a step; `notes` stand only in the JSON line, e.g. the epoch."""
        line = {"step": step, **notes, **{name: _as_json(value) for name, value in values.items()}}
        # One write and a flush: a kill leaves whole lines, but for the last at most.
        self._lines.write(json.dumps(line, allow_nan=False) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def changes(self, step: int, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Note settings, from their old values to their new ones, with which a step is the first to be taken."""
        line = {"step": step, "changed": {name: list(values) for name, values in changed.items()}}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        told = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in changed.items())
        self._board.add_text("settings", told, step)

    def samples(self, step: int, samples: Samples) -> None:
        """Show pictures, sounds and texts at a step."""
        for name, picture in samples.pictures.items():
            self._board.add_image(name, picture, step, dataformats="HWC")
        for name, waveform in samples.audio.items():
            waveform = np.clip(np.asarray(waveform, dtype=np.float32), -1.0, 1.0)  # beyond, 16 bits wrap to a click
            self._board.add_audio(name, torch.from_numpy(waveform)[None], step, sample_rate=samples.sample_rate)
        for name, text in samples.texts.items():
            self._board.add_text(name, text, step)
        self._board.flush()

    def close(self) -> None:
        """Write out what is still on its way."""
        self._lines.close()
        self._board.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error what is still on its way may meet a disk that is full: the first error says more.
        with contextlib.suppress(OSError) if kind is not None else contextlib.nullcontext():
            self.close()


def read_logbook(path: Path | str) -> list[dict[str, Any]]:
    """Give the lines of a `logbook.jsonl`, leaving out one that a kill cut in half."""
    return list(_whole_lines(Path(path)))


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and isinstance(told.get("step"), int):
                yield told


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    with atomic_file(path) as kept, kept.open("w", encoding="utf-8") as lines:
        for told in _whole_lines(path):
            if told["step"] <= step:
                lines.write(json.dumps(told) + "\n")


def _pass_over_tensorboard(arguments: threading.ExceptHookArgs) -> None:
    if not (issubclass(arguments.exc_type, OSError) and type(arguments.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(arguments)


def _as_json(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON knows no NaN
