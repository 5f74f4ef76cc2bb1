"""TensorBoard's files of an experiment: written by a training, read for its pictures and sounds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from utils.task import Samples

RUNS = ("train", "valid", "test")
"""Runs beside the experiment's own; a term has the same tag in all, so that one chart shows them together."""


class Board:
    """Writer of TensorBoard's files.

    `train/network/loss`, `valid/loss` and `test/loss` become the tag `network/loss` of three runs, which are
    sub-folders; all else is in the folder itself.

    Args:
        folder: `tensorboard/` of the experiment.
        after_step: the step that the run resumes from; what later steps have left is hidden.
    """

    def __init__(self, folder: Path, after_step: int) -> None:
        self._folder, self._after_step = folder, after_step
        self._writers: dict[str, SummaryWriter] = {}
        self._terms: dict[str, set[str]] = {}  # of training, by network
        # TensorBoard's writer thread hands its errors to the next call here; its own traceback would repeat them.
        threading.excepthook = _ignore_tensorboard_errors
        for run in ("", *(run for run in RUNS if (folder / run).exists())):
            self._writer(run)

    def _writer(self, run: str) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        if run not in self._writers:
            folder = self._folder / run
            purge_step = self._after_step + 1 if folder.exists() else None
            self._writers[run] = SummaryWriter(str(folder), purge_step=purge_step)
        return self._writers[run]

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by their names in the logbook."""
        for name in values:
            kind, _, rest = name.partition("/")
            if kind == "train":
                network, _, term = rest.rpartition("/")
                self._terms.setdefault(network, set()).add(term)
        network = validated_network(self._terms, {name.partition("/")[2] for name in values})
        for name, value in values.items():
            kind, _, rest = name.partition("/")
            if kind not in RUNS:
                self._writer("").add_scalar(name, value, step)
            else:
                tag = rest if kind == "train" or not network else f"{network}/{rest}"
                self._writer(kind).add_scalar(tag, value, step)

    def text(self, step: int, name: str, text: str) -> None:
        """Write a text as Markdown."""
        self._writer("").add_text(name, text, step)

    def samples(self, step: int, samples: Samples) -> None:
        """Write images, audio and texts."""
        import torch

        writer = self._writer("")
        for name, image in samples.images.items():
            writer.add_image(name, image, step, dataformats="HWC")
        for name, waveform in samples.audio.items():
            waveform = np.clip(np.asarray(waveform, dtype=np.float32), -1.0, 1.0)  # int16 would wrap beyond
            writer.add_audio(name, torch.from_numpy(waveform)[None], step, sample_rate=samples.sample_rate)
        for name, text in samples.texts.items():
            writer.add_text(name, text, step)
        writer.flush()

    def close(self) -> None:
        """Flush and close all files."""
        for writer in self._writers.values():
            writer.close()


def validated_network(training: Mapping[str, Collection[str]], validation: Collection[str]) -> str:
    """Return the network that validation measures: whose terms in training it has the most of; the last of several.

    Args:
        training: names of terms, by network.
        validation: names of terms.
    """
    names = sorted(training, key=lambda name: len(set(training[name]) & set(validation)))
    return names[-1] if names else "network"


class LoggedSample(NamedTuple):
    """A picture (PNG) or a sound (WAV) that a training has logged."""

    step: int
    content: bytes


class BoardReader:
    """Reader of the pictures and sounds in TensorBoard's files; files that grow are read on.

    Args:
        folder: `tensorboard/` of the experiment.
        sounds: of each name, so many steps at most are kept, evenly drawn, the latest among them.
    """

    def __init__(self, folder: Path, sounds: int) -> None:
        from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
            EventAccumulator,
        )

        sizes = {"scalars": 1, "images": 1, "audio": sounds, "tensors": 1, "histograms": 1, "compressedHistograms": 1}
        logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it announces files of resumed runs
        self._events = EventAccumulator(str(folder), size_guidance=sizes)

    def read(self) -> tuple[dict[str, LoggedSample], dict[str, list[LoggedSample]]]:
        """Return the latest picture of each name, and the sounds of each name in the order of their steps."""
        self._events.Reload()
        tags = self._events.Tags()
        pictures = {tag: self._events.Images(tag)[-1] for tag in tags["images"]}
        sounds = {tag: self._events.Audio(tag) for tag in tags["audio"]}
        return (
            {tag: LoggedSample(each.step, each.encoded_image_string) for tag, each in pictures.items()},
            {tag: [LoggedSample(each.step, each.encoded_audio_string) for each in sounds[tag]] for tag in sounds},
        )


def _ignore_tensorboard_errors(arguments: threading.ExceptHookArgs) -> None:
    if not (issubclass(arguments.exc_type, OSError) and type(arguments.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(arguments)
