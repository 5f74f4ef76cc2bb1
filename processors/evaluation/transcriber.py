"""Speech recognition by Whisper (arXiv:2212.04356), through faster-whisper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from processors.evaluation.packages import are_installed
from processors.evaluation.signals import at_16_khz
from processors.text.language_codes import is_english, primary_language
from utils.errors import RecitalError


class TranscriptionError(RecitalError):
    """A model that cannot be opened, or a language that it does not have."""


class Transcribes(Protocol):
    """Speech recognition, for word errors."""

    def transcribe(self, waveform: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """Return the words of a recording; see `Transcriber.transcribe`."""


class TranscriberFunction:
    """Speech recognition by a function of the user.

    Args:
        function: takes (T,) float32 at 16 kHz in [-1, 1] and the language as a code, and returns the words.
    """

    def __init__(self, function: Callable[[np.ndarray, str], str]) -> None:
        self._function = function

    def transcribe(self, waveform: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """Return the words of a recording; see `Transcriber.transcribe`.

        Raises:
            TranscriptionError: the function fails, or returns no text.
        """
        try:
            words = self._function(at_16_khz(waveform, sample_rate), language)
        except Exception as error:  # of the user's
            raise TranscriptionError(f"--transcriber: {type(error).__name__}: {error}") from error
        if not isinstance(words, str):
            raise TranscriptionError(f"--transcriber: returned {type(words).__name__}, expected the words as a str")
        return words


class Transcriber:
    """A Whisper model on the CPU, in float32 and with a beam of 5.

    Args:
        model: a folder in CTranslate2's format, which needs no network; or a name such as `base.en`, whose files
            are downloaded once.
        num_threads: threads to compute on.

    Raises:
        TranscriptionError: faster-whisper is not installed, or the model cannot be opened.
    """

    def __init__(self, model: str, num_threads: int = 1) -> None:
        if not are_installed(("faster_whisper",)):
            raise TranscriptionError("faster-whisper is not installed; sh env.sh evaluate installs it")
        from faster_whisper import WhisperModel

        try:
            self._model = WhisperModel(model, device="cpu", compute_type="float32", cpu_threads=num_threads)
        except Exception as error:  # of several libraries, without a common class
            raise TranscriptionError(
                f"Whisper model {model}: cannot be opened ({str(error).splitlines()[0]}); name a folder with model.bin "
                "in CTranslate2's format, or a size such as base.en"
            ) from error
        self._name, self._num_threads = model, num_threads

    def __reduce__(self) -> tuple[type[Transcriber], tuple[str, int]]:
        # Other machines open the model by its name.
        return Transcriber, (self._name, self._num_threads)

    def transcribe(self, waveform: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """Return the words of a recording.

        Args:
            waveform: (T_wav,) in [-1, 1].
            sample_rate: in Hz; resampled to 16 kHz.
            language: what is spoken, as a code.

        Raises:
            TranscriptionError: the model does not have the language.
        """
        return " ".join(segment.text.strip() for segment in self._segments(waveform, sample_rate, language))

    def timed_words(
        self, waveform: np.ndarray, sample_rate: int, language: str = "en"
    ) -> list[tuple[str, float, float]]:
        """Return the words of a recording, each with the space before it, and when it starts and ends in seconds.

        By the attention of the decoder (`word_timestamps` of faster-whisper); the arguments are those of `transcribe`.
        """
        segments = self._segments(waveform, sample_rate, language, word_timestamps=True)
        return [(word.word, word.start, word.end) for segment in segments for word in segment.words or ()]

    def _segments(self, waveform: np.ndarray, sample_rate: int, language: str, **options: bool) -> list[Any]:
        if not self._model.model.is_multilingual and not is_english(language):
            raise TranscriptionError(f"Whisper model {self._name}: is for English alone, not for language {language}")
        try:
            segments, _ = self._model.transcribe(
                at_16_khz(waveform, sample_rate),
                language=primary_language(language),
                temperature=0.0,  # without it, what it is unsure of is sampled
                condition_on_previous_text=False,
                **options,
            )
            return list(segments)  # recognised on the way
        except ValueError as error:
            raise TranscriptionError(f"Whisper model {self._name}: {error}") from error


def default_model(languages: Iterable[str]) -> str:
    """Return the name of the Whisper model for texts: `base.en` if all are English, else the multilingual `base`."""
    return "base.en" if all(is_english(language) for language in languages) else "base"
