"""Recognisers of long recordings: Whisper, a function of the user, or pocketsphinx with the words of the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from processors.alignment.aligners import make_pocketsphinx_reader
from processors.evaluation.packages import are_installed
from processors.evaluation.signals import at_16_khz
from processors.evaluation.transcriber import Transcriber, TranscriptionError, default_model
from processors.segmenting.text_words import ReadWord
from processors.text.language_codes import is_english
from utils.fingerprint import stamp, stamp_of_file

WHISPER_WINDOW_S = 28.0
"""Speech that is recognised at once; Whisper takes 30 s."""

UserFunction = Callable[[np.ndarray, str], Any]


class Reader(Protocol):
    """Speech recognition with times."""

    def words(self, waveform: np.ndarray, sample_rate: int) -> list[ReadWord]:
        """Return the words of at most `WHISPER_WINDOW_S` seconds, with times from its start.

        Args:
            waveform: (T_wav,) in [-1, 1].
            sample_rate: in Hz.
        """


@dataclass(frozen=True)
class ReaderSettings:
    """A choice of a recogniser.

    Attributes:
        model: a Whisper model, or its folder; empty for the language's default.
        engine: `whisper`, `function` or `pocketsphinx`.
        language: what is spoken, as a code.
        num_threads: threads to compute on.
        function: of the user, for the engine `function`.
        file: that defines the function.
    """

    model: str = ""
    engine: str = "whisper"
    language: str = "en"
    num_threads: int = 1
    function: UserFunction | None = None
    file: Path | None = None

    @property
    def name(self) -> str:
        """Name for reports."""
        return {"whisper": f"Whisper {self._model}", "pocketsphinx": "pocketsphinx"}.get(self.engine, str(self.file))

    @property
    def takes_several(self) -> bool:
        """Return whether several utterances, with silence between them, are recognised at once for speed."""
        return self.engine == "whisper"  # each call computes 30 s, however short the utterance

    def identity(self, text: str) -> str:
        """Return a stamp of all that its readings depend on, the text included where it reads by that."""
        of_file = stamp_of_file(self.file or Path(self._model, "model.bin")).hex()
        of_text = text if self.engine == "pocketsphinx" else ""
        return stamp(self.engine, self._model, self.language, of_file, of_text).hex()

    def open(self, text: str) -> Reader:
        """Open the recogniser; what is slow to construct stays open for further recordings.

        Args:
            text: of the recording, for pocketsphinx; empty if unknown.

        Raises:
            RecitalError: it cannot be opened.
        """
        if self.engine == "pocketsphinx":
            if not text or not is_english(self.language):
                raise TranscriptionError("pocketsphinx reads English with its text alone: name --texts, or use Whisper")
            return _Sphinx(text, self.language)
        if self.engine == "function":
            assert self.function is not None
            return _Function(self.function, self.language)
        return _Whisper(_transcriber(self._model, self.num_threads), self.language)

    @property
    def _model(self) -> str:
        return self.model or default_model([self.language])


def default_engine(language: str, has_texts: bool) -> str:
    """Return the engine that is installed: Whisper, or for English with texts pocketsphinx.

    Raises:
        TranscriptionError: there is none.
    """
    if are_installed(("faster_whisper",)):
        return "whisper"
    if is_english(language) and has_texts:
        return "pocketsphinx"
    wanted = "texts of languages other than English" if has_texts else "recordings without a text"
    raise TranscriptionError(f"{wanted} need faster-whisper: sh env.sh evaluate installs it; or name a --transcriber")


_transcriber = lru_cache(maxsize=2)(Transcriber)  # for the first and the second reading
_sphinx_reader = lru_cache(maxsize=1)(make_pocketsphinx_reader)


class _Whisper:
    def __init__(self, transcriber: Transcriber, language: str) -> None:
        self._transcriber, self._language = transcriber, language

    def words(self, waveform: np.ndarray, sample_rate: int) -> list[ReadWord]:
        found = self._transcriber.timed_words(waveform, sample_rate, self._language)
        return [ReadWord(*each) for each in found]


class _Function:
    """A function of the user, which returns the words as a text, or each with its start and end in seconds."""

    def __init__(self, function: UserFunction, language: str) -> None:
        self._function, self._language = function, language

    def words(self, waveform: np.ndarray, sample_rate: int) -> list[ReadWord]:
        try:
            found = self._function(at_16_khz(waveform, sample_rate), self._language)
        except Exception as error:  # of the user's
            raise TranscriptionError(f"--transcriber: {type(error).__name__}: {error}") from error
        if isinstance(found, str):
            return _spread(found, len(waveform) / sample_rate)
        try:
            return [ReadWord(f" {text.strip()}", float(start), float(end)) for text, start, end in found]
        except (TypeError, ValueError, AttributeError):
            raise TranscriptionError(
                f"--transcriber: returned {found!r:.80}, expected a text, or tuples (word, start, end) in seconds"
            ) from None


def _spread(text: str, duration_s: float) -> list[ReadWord]:
    """Return the words of a text with times in proportion to their letters."""
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words])
    scale = duration_s / ends[-1] if words else 0.0
    return [
        ReadWord(f" {word}", float((end - len(word) - 1) * scale), float(end * scale))
        for word, end in zip(words, ends, strict=True)
    ]


class _Sphinx:
    def __init__(self, text: str, language: str) -> None:
        self._reader = _sphinx_reader(language, text)

    def words(self, waveform: np.ndarray, sample_rate: int) -> list[ReadWord]:
        return [
            ReadWord(f" {each.label}", each.start_s, each.end_s) for each in self._reader.read(waveform, sample_rate)
        ]
