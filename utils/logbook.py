"""Logbook of a training run: scalars as JSON lines and in TensorBoard, images and audio in TensorBoard."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils.files import atomic_file
from utils.task import Samples


class Logbook:
    """The logbook of one experiment: `logbook.jsonl` and `tensorboard/` in its folder.

    Args:
        folder: of the experiment.
        after_step: the step that the run resumes from; lines of later steps, left by a killed run, are dropped.
    """

    def __init__(self, folder: Path | str, after_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = Path(folder) / "logbook.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(self.path, after_step)
        self._file = self.path.open("a", encoding="utf-8")
        purge_step = after_step + 1 if (Path(folder) / "tensorboard").exists() else None
        # TensorBoard's writer thread hands its errors to the next call here; its own traceback would repeat them.
        threading.excepthook = _ignore_tensorboard_errors
        self._board = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=purge_step)

    def scalars(self, step: int, values: Mapping[str, float], **notes: Any) -> None:
        """Log numbers by name at a step; `notes` are written to the JSON line only, e.g. the epoch."""
        line = {"step": step, **notes, **{name: _as_json(value) for name, value in values.items()}}
        # One write and a flush: a kill can cut only the last line.
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def changes(self, step: int, changed: Mapping[str, tuple[Any, Any]]) -> None:
        """Log settings, old and new values, that changed for the steps from `step` on."""
        line = {"step": step, "changed": {name: list(values) for name, values in changed.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        text = "; ".join(f"{name}: {old} -> {new}" for name, (old, new) in changed.items())
        self._board.add_text("settings", text, step)

    def samples(self, step: int, samples: Samples) -> None:
        """Log images, audio and texts at a step."""
        for name, image in samples.images.items():
            self._board.add_image(name, image, step, dataformats="HWC")
        for name, waveform in samples.audio.items():
            waveform = np.clip(np.asarray(waveform, dtype=np.float32), -1.0, 1.0)  # int16 would wrap beyond
            self._board.add_audio(name, torch.from_numpy(waveform)[None], step, sample_rate=samples.sample_rate)
        for name, text in samples.texts.items():
            self._board.add_text(name, text, step)
        self._board.flush()

    def close(self) -> None:
        """Flush and close the JSON lines and TensorBoard's file."""
        self._file.close()
        self._board.close()

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


def _ignore_tensorboard_errors(arguments: threading.ExceptHookArgs) -> None:
    if not (issubclass(arguments.exc_type, OSError) and type(arguments.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(arguments)


def _as_json(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
