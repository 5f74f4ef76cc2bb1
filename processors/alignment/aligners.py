"""The aligners there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, AlignmentError
from processors.text.language_codes import is_english
from processors.text.tokens import Token


class RecordingAligner(Protocol):
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


def own_aligner(alignment: str, *, language: str, phone_extractor: str, has_textgrids: bool) -> str:
    """Say who aligns the recordings without a TextGrid.

    Args:
        alignment: the setting: a name, `textgrid`, or `auto`.
        language: of the recordings, such as `en` or `en-us`.
        phone_extractor: of the front end; pocketsphinx knows the phones of `lexicon` only.
        has_textgrids: whether the user names a folder of TextGrids.

    Returns:
        `pocketsphinx`, `learned` or `mfa`; empty where there is nobody.
    """
    if alignment == "textgrid":
        return ""
    if alignment != "auto":
        return alignment
    if is_english(language) and phone_extractor == "lexicon":
        return "pocketsphinx"
    return "" if has_textgrids else "learned"


def make_aligner(name: str, *, language: str = "en") -> RecordingAligner:
    """Make the aligner of that name.

    Args:
        name: `pocketsphinx`, which aligns English.
        language: of the recordings, such as `en` or `en-us`.

    Raises:
        AlignmentError: the name is unknown, or the aligner does not know the language.
    """
    if name not in _ALIGNERS:
        raise AlignmentError(f"there is no aligner {name!r}; known: {', '.join(_ALIGNERS)}")
    return _ALIGNERS[name](language)


def _make_pocketsphinx(language: str) -> RecordingAligner:
    if not is_english(language):
        raise AlignmentError(
            f"pocketsphinx aligns English (en) only, not language {language!r}; set preprocess.alignment to learned, "
            "or give TextGrids of your own"
        )
    # Loaded on demand, so that reading TextGrids does not need pocketsphinx.
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner

    return PocketsphinxAligner()


_ALIGNERS: dict[str, Callable[[str], RecordingAligner]] = {"pocketsphinx": _make_pocketsphinx}
