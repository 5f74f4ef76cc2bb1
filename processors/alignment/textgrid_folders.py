"""Folders of TextGrids: the user's and those that stage 1 writes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from processors.alignment.textgrid import textgrid_origin
from processors.utterance import Utterance


class TextGrids:
    """Finds the TextGrid of an utterance among the user's and stage 1's own.

    Args:
        given: folder of the user's files, searched with its sub-folders; may be missing.
        own: folder of the files that stage 1 writes, `<speaker>/<id>.TextGrid`; users may put files there too.
    """

    def __init__(self, given: Path | None, own: Path) -> None:
        self._own = own
        self._own_files = _textgrids_in([own])
        self._given_files = _textgrids_in([given]) if given is not None and given != own else {}

    def given(self, utterance: Utterance) -> Path | None:
        """Return the file of an utterance in the user's folder, by the utterance's id or its recording's name."""
        return _find(self._given_files, utterance)

    def own(self, utterance: Utterance) -> Path:
        """Return the path of stage 1's file of an utterance, or of the user's file there under a similar name."""
        found = _find(self._own_files, utterance)
        # A file of stage 1 under the recording's name belongs to another utterance, which has that name as its id.
        if found is None or (found.stem != utterance.id and textgrid_origin(found)):
            return self._own / utterance.speaker / f"{utterance.id}.TextGrid"
        return found


def _textgrids_in(folders: Iterable[Path]) -> Mapping[str, list[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for folder in folders for path in _files_below(folder)):
        if path.suffix.lower() == ".textgrid" and not path.name.startswith("."):
            found[path.stem].append(path)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its sub-folders, links among them, each folder once."""
    visited: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in visited:
            folders.clear()
        else:
            yield from (Path(place, name) for name in names)
        visited.add(real)


def _find(files: Mapping[str, list[Path]], utterance: Utterance) -> Path | None:
    for name in (utterance.id, utterance.audio_path.stem):
        candidates = files.get(name, ())
        of_speaker = [path for path in candidates if path.parent.name == utterance.speaker]
        if of_speaker:
            return of_speaker[0]
        # Several speakers may use the same file names: only a unique name can be trusted.
        if len(candidates) == 1 and (name == utterance.id or utterance.speaker == utterance.dataset):
            return candidates[0]
    return None
