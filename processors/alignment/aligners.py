"""Aligners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from processors.alignment.intervals import Alignment, AlignmentError
from processors.text.language_codes import is_english
from processors.text.tokens import Token


class RecordingAligner(Protocol):
    """An aligner that takes one recording at a time."""

    def align(
        self,
        utterance_id: str,
        waveform: npt.NDArray[np.float32],
        sample_rate: int,
        tokens: Sequence[Token],
        speaker: str = "",
    ) -> Alignment:
        """Align one recording, from its start to its end.

        Args:
            utterance_id: named in errors.
            waveform: (T_wav,) in [-1, 1).
            sample_rate: its samples per second.
            tokens: words and pauses of the text.
            speaker: of the recording.

        Raises:
            AlignmentError: the alignment failed; names the recording or the file.
        """
        ...


def own_aligner(alignment: str, *, language: str, phone_extractor: str, has_textgrids: bool) -> str:
    """Return the aligner of the recordings without a TextGrid.

    Args:
        alignment: the setting: a name, `textgrid`, or `auto`.
        language: of the recordings, such as `en` or `en-us`.
        phone_extractor: of the front end; pocketsphinx has the phones of `lexicon` only.
        has_textgrids: whether the user names a folder of TextGrids.

    Returns:
        `pocketsphinx`, `learned` or `mfa`; empty for none.
    """
    if alignment == "textgrid":
        return ""
    if alignment != "auto":
        return alignment
    if is_english(language) and phone_extractor == "lexicon":
        return "pocketsphinx"
    return "" if has_textgrids else "learned"


def make_aligner(name: str, *, language: str = "en") -> RecordingAligner:
    """Construct an aligner by its name.

    Args:
        name: `pocketsphinx`, for English.
        language: of the recordings, such as `en` or `en-us`.

    Raises:
        AlignmentError: the name is unknown, or the aligner does not support the language.
    """
    if name not in _ALIGNERS:
        raise AlignmentError(f"there is no aligner {name!r}; known: {', '.join(_ALIGNERS)}")
    return _ALIGNERS[name](language)


def _make_pocketsphinx(language: str) -> RecordingAligner:
    if not is_english(language):
        raise AlignmentError(
            f"pocketsphinx aligns English (en) only, not language {language!r}; set preprocess.alignment to learned, "
            "or provide TextGrids"
        )
    # Imported on demand, so that reading TextGrids does not need pocketsphinx.
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner

    return PocketsphinxAligner()


_ALIGNERS: dict[str, Callable[[str], RecordingAligner]] = {"pocketsphinx": _make_pocketsphinx}
