"""What the features of an utterance were made from, so that a change of it is noticed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.alignment.textgrid import textgrid_origin
from processors.utterance import Utterance

SOURCE = "source"
"""The feature of a store that tells what an utterance's other features were made from."""

_STAMP_BYTES = 8
NOTHING = bytes(_STAMP_BYTES)


def stamp(*values: object) -> bytes:
    """Give a short mark that differs where any of the values differs."""
    return hashlib.blake2b(json.dumps(values, ensure_ascii=False).encode(), digest_size=_STAMP_BYTES).digest()


def stamp_of_file(path: Path | None) -> bytes:
    """Mark a file by size and time of change; `NOTHING` where there is none."""
    if path is None:
        return NOTHING
    try:
        status = path.stat()
    except OSError:
        return NOTHING
    return stamp(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Source:
    """What one utterance is made from, as marks.

    Attributes:
        audio: the recording.
        text: the text and the user's lexicon; `NOTHING` where features need no text.
        textgrid: the file that the durations come from; `NOTHING` where there is none (yet).
        limits: what counts as too short or too long; only for recordings that were left out.
    """

    audio: bytes
    text: bytes = NOTHING
    textgrid: bytes = NOTHING
    limits: bytes = NOTHING

    def as_array(self) -> np.ndarray:
        """Give the marks as a feature, (4, 8) uint8, that is stored beside what was made."""
        marks = b"".join((self.audio, self.text, self.textgrid, self.limits))
        return np.frombuffer(marks, dtype=np.uint8).reshape(4, _STAMP_BYTES)

    @classmethod
    def from_array(cls, marks: np.ndarray) -> Source:
        """Read what `as_array` gave."""
        return cls(*(row.tobytes() for row in marks))

    def makes(self, other: Source, *, with_text: bool) -> bool:
        """Whether features made from `other` are what would be made from this source."""
        if self.audio != other.audio:
            return False
        return not with_text or (self.text, self.textgrid) == (other.text, other.textgrid)


class TextGrids:
    """Finds the TextGrid of an utterance among a user's and stage 1's own.

    Args:
        given: folder of the user's files, searched with its sub-folders; may lack.
        own: folder of the files that stage 1 writes, `<speaker>/<id>.TextGrid`; a user may put files there too.
    """

    def __init__(self, given: Path | None, own: Path) -> None:
        self._own = own
        self._own_files = _textgrids_in([own])
        self._given_files = _textgrids_in([given]) if given is not None and given != own else {}

    def given(self, utterance: Utterance) -> Path | None:
        """Give the file of an utterance in the user's folder, by the utterance's id or its recording's name."""
        return _find(self._given_files, utterance)

    def own(self, utterance: Utterance) -> Path:
        """Give the place of stage 1's file of an utterance, or the user's file there under a like name."""
        found = _find(self._own_files, utterance)
        # What stage 1 has named as this recording is called is that of another utterance, whose id is this name.
        if found is None or (found.stem != utterance.id and textgrid_origin(found)):
            return self._own / utterance.speaker / f"{utterance.id}.TextGrid"
        return found


def _textgrids_in(folders: Iterable[Path]) -> Mapping[str, list[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*.[tT]ext[gG]rid")):
            if not path.name.startswith("."):
                found[path.stem].append(path)
    return found


def _find(files: Mapping[str, list[Path]], utterance: Utterance) -> Path | None:
    for name in (utterance.id, utterance.audio_path.stem):
        candidates = files.get(name, ())
        of_speaker = [path for path in candidates if path.parent.name == utterance.speaker]
        if of_speaker:
            return of_speaker[0]
        # Several speakers may number their files alike: only a name that is there once can be trusted.
        if len(candidates) == 1 and (name == utterance.id or utterance.speaker == utterance.dataset):
            return candidates[0]
    return None
