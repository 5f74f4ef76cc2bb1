"""The aligners that settings can name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, AlignmentError
from processors.alignment.textgrid import read_textgrid
from processors.text.phone_extractor import Token


class Aligner(Protocol):
    """What finds the words and phones of a recording."""

    def align(
        self,
        utterance_id: str,
        waveform: npt.NDArray[np.float32],
        sample_rate: int,
        tokens: Sequence[Token],
        speaker: str = "",
    ) -> Alignment:
        """Give the alignment of one recording, from its first to its last moment.

        Args:
            utterance_id: names the recording in errors, and its TextGrid.
            waveform: (T_wav,) in [-1, 1).
            sample_rate: its samples per second.
            tokens: words and pauses of the text.
            speaker: names the folder of the TextGrid.

        Raises:
            AlignmentError: there is no alignment to be had; it names the recording or the file.
        """
        ...


def make_aligner(name: str, *, textgrid_dir: Path | str = "", language: str = "en") -> Aligner:
    """Make the aligner that the settings name.

    Args:
        name: `textgrid` reads what others aligned, `pocketsphinx` aligns English, and `auto` reads
            TextGrids where they are and aligns the other recordings.
        textgrid_dir: folder of `<speaker>/<id>.TextGrid` or `<id>.TextGrid`.
        language: of the recordings, such as `en` or `en-us`.

    Raises:
        AlignmentError: the name is unknown, or the aligner does not know the language.
    """
    if name not in _ALIGNERS:
        raise AlignmentError(f"alignment {name!r} is unknown; known: {', '.join(_ALIGNERS)}")
    return _ALIGNERS[name](Path(textgrid_dir), language)


class TextGridAligner:
    """Gives the alignments that lie in a folder as TextGrids.

    Args:
        folder: of `<speaker>/<id>.TextGrid` or `<id>.TextGrid`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, utterance_id: str, speaker: str = "") -> Path | None:
        """The TextGrid of a recording, if there is one."""
        places = (self._folder / speaker / f"{utterance_id}.TextGrid", self._folder / f"{utterance_id}.TextGrid")
        return next((place for place in places if place.is_file()), None)

    def align(
        self,
        utterance_id: str,
        waveform: npt.NDArray[np.float32],
        sample_rate: int,
        tokens: Sequence[Token],
        speaker: str = "",
    ) -> Alignment:
        """Read the TextGrid of a recording; see `Aligner.align`."""
        path = self.find(utterance_id, speaker)
        if path is None:
            raise AlignmentError(f"{utterance_id}: has no TextGrid in {self._folder / speaker}; put it there")
        return read_textgrid(path, speaker).fitted_to(len(waveform) / sample_rate, where=str(path))


class AutoAligner:
    """Takes TextGrids where they are, and aligns by pocketsphinx what is English.

    Args:
        folder: of the TextGrids.
        language: of the recordings.
    """

    def __init__(self, folder: Path, language: str) -> None:
        self._textgrids = TextGridAligner(folder)
        self._others = _make_pocketsphinx(folder, language) if _is_english(language) else self._textgrids

    def align(
        self,
        utterance_id: str,
        waveform: npt.NDArray[np.float32],
        sample_rate: int,
        tokens: Sequence[Token],
        speaker: str = "",
    ) -> Alignment:
        """Read or find the alignment of a recording; see `Aligner.align`."""
        aligner = self._textgrids if self._textgrids.find(utterance_id, speaker) else self._others
        return aligner.align(utterance_id, waveform, sample_rate, tokens, speaker)


def _is_english(language: str) -> bool:
    return re.split("[-_]", language.casefold())[0] == "en"


def _make_pocketsphinx(folder: Path, language: str) -> Aligner:
    if not _is_english(language):
        raise AlignmentError(f"alignment 'pocketsphinx' knows English (en) only, not language {language!r}")
    # Loaded on demand, so that reading TextGrids does not need pocketsphinx.
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner

    return PocketsphinxAligner()


_ALIGNERS: dict[str, Callable[[Path, str], Aligner]] = {
    "auto": AutoAligner,
    "pocketsphinx": _make_pocketsphinx,
    "textgrid": lambda folder, language: TextGridAligner(folder),
}
