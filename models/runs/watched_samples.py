"""The pictures and sounds of a training: the same sentences at each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from utils.board import BoardReader, LoggedSample
from utils.sample_folder import ENDING, SampleFolder

_MOST_STEPS = 8
_MOST_SENTENCES = 12
_RECORDED = "recorded"


class Sound(NamedTuple):
    """A sound file: media type and content."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Sentence:
    """A sentence as spoken at several steps.

    Attributes:
        name: of the utterance; empty for a text that no one recorded.
        text: what is spoken; empty if unknown.
        by_step: the speech.
        recording: of a person; None if there is none.
    """

    name: str
    text: str
    by_step: Mapping[int, Sound]
    recording: Sound | None = None


@dataclass(frozen=True)
class Samples:
    """Pictures and sounds of a training.

    Attributes:
        sentences: to be played.
        origin: how they came about.
        pictures: the latest of each name, with its step.
    """

    sentences: list[Sentence] = field(default_factory=list)
    origin: str = ""
    pictures: dict[str, LoggedSample] = field(default_factory=dict)


class SampleReader:
    """Reader of an experiment's samples; files are read on as they grow.

    Args:
        experiment: its folder.
    """

    def __init__(self, experiment: Path) -> None:
        self._folder = SampleFolder(experiment)
        self._board_folder = experiment / "tensorboard"
        self._board: BoardReader | None = None

    def read(self) -> Samples:
        """Return the samples: speech of evaluated checkpoints, or else the sounds in TensorBoard's files."""
        pictures: dict[str, LoggedSample] = {}
        sounds: dict[str, list[LoggedSample]] = {}
        if self._board is None and self._board_folder.is_dir():
            self._board = BoardReader(self._board_folder, _MOST_STEPS)
        if self._board is not None:
            pictures, sounds = self._board.read()
        if sentences := self._spoken():
            return Samples(sentences, "spoken by the evaluated checkpoints", pictures)
        return Samples(_logged(sounds), "logged by the training, every train.sample_every_steps", pictures)

    def _spoken(self) -> list[Sentence]:
        steps = self._folder.steps()[-_MOST_STEPS:]
        described = self._folder.sentences()
        named: dict[str, dict[int, Sound]] = {}
        for step in steps:
            for path in sorted(self._folder.of_step(step).glob(f"*{ENDING}")):
                if (sound := _sound(path)) is not None:
                    named.setdefault(path.stem, {})[step] = sound
        order = [*(stem for stem in described if stem in named), *(stem for stem in named if stem not in described)]
        sentences = []
        for stem in order[:_MOST_SENTENCES]:
            utterance, text = described.get(stem, (stem, ""))
            recording = _sound(self._folder.recorded / f"{stem}{ENDING}") if utterance else None
            sentences.append(Sentence(utterance, text, named[stem], recording))
        return sentences


def _logged(sounds: Mapping[str, list[LoggedSample]]) -> list[Sentence]:
    """Return sounds named `sentence/kind` by their sentence: of the last kind, and the recording."""
    kinds: dict[str, dict[str, list[LoggedSample]]] = {}
    for name, samples in sounds.items():
        sentence, _, kind = name.rpartition("/")
        kinds.setdefault(sentence, {})[kind] = samples
    sentences = []
    for name, by_kind in kinds.items():
        *_, last = (kind for kind in by_kind if kind != _RECORDED or len(by_kind) == 1)
        recorded = by_kind[_RECORDED][-1] if _RECORDED in by_kind and last != _RECORDED else None
        by_step = {sample.step: Sound("audio/wav", sample.content) for sample in by_kind[last]}
        recording = Sound("audio/wav", recorded.content) if recorded is not None else None
        sentences.append(Sentence(f"{name}, {last}", "", by_step, recording))
    return sentences


def _sound(path: Path) -> Sound | None:
    """Return a file's sound; None if it is missing, also where it is being removed at this moment."""
    try:
        return Sound("audio/flac", path.read_bytes())
    except OSError:
        return None
