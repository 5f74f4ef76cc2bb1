"""Speech recognition by Whisper (arXiv:2212.04356), through faster-whisper."""

from __future__ import annotations

import numpy as np

from processors.evaluation.perception import at_16_khz, is_installed
from processors.text.language_codes import is_english, primary_language
from utils.errors import RecitalError


class TranscriptionError(RecitalError):
    """A model that cannot be opened, or a language that it does not have."""


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
        if not is_installed("wer"):
            raise TranscriptionError("faster-whisper is not installed; sh env.sh evaluate installs it")
        from faster_whisper import WhisperModel

        try:
            self._model = WhisperModel(model, device="cpu", compute_type="float32", cpu_threads=num_threads)
        except Exception as error:  # of several libraries, without a common class
            raise TranscriptionError(
                f"Whisper model {model}: cannot be opened ({str(error).splitlines()[0]}); name a folder with model.bin "
                "in CTranslate2's format, or a size such as base.en"
            ) from error
        self._name = model

    def transcribe(self, waveform: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """Return the words of a recording.

        Args:
            waveform: (T_wav,) in [-1, 1].
            sample_rate: in Hz; resampled to 16 kHz.
            language: what is spoken, as a code.

        Raises:
            TranscriptionError: the model does not have the language.
        """
        if not self._model.model.is_multilingual and not is_english(language):
            raise TranscriptionError(f"Whisper model {self._name}: is for English alone, not for language {language}")
        try:
            segments, _ = self._model.transcribe(
                at_16_khz(waveform, sample_rate),
                language=primary_language(language),
                temperature=0.0,  # without it, what it is unsure of is sampled
                condition_on_previous_text=False,
            )
        except ValueError as error:
            raise TranscriptionError(f"Whisper model {self._name}: {error}") from error
        return " ".join(segment.text.strip() for segment in segments)
