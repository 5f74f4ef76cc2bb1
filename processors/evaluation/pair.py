"""Synthesised speech with its recording and text, and the analyses that several metrics share."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch

from processors.audio.audio_file import resample
from processors.audio.mel import MelSpectrogram
from processors.audio.pitch import extract_pitch
from processors.audio.time_warping import warp
from processors.evaluation.transcriber import Transcribes
from processors.speakers.speaker_encoders import SpeakerEncoder, StatisticsEncoder

Input = Literal["recording", "equal timing", "text"]
# HiFi-GAN's at 22.05 kHz; frames of other rates are about as long.
RATE, N_FFT, HOP_SIZE, _N_MEL, _FMAX = 22050, 1024, 256, 80, 8000.0
_F0_MIN, _F0_MAX = 60.0, 600.0


class Frames(NamedTuple):
    """Frames of a recording and of its synthesised speech that belong together, (N,) numbers each."""

    reference: np.ndarray
    degraded: np.ndarray


class Pair:
    """Synthesised speech, with its recording and its text where they are known.

    Args:
        recording: (T_wav,) in [-1, 1]; None if there is none.
        degraded: (T_wav,), synthesised speech.
        sample_rate: of both, in Hz.
        has_equal_timing: whether the speech is a copy of the recording, frame for frame, in contrast to free speech.
        text: what was to be spoken; empty if unknown.
        language: of the text, as a code.
        transcriber: for word errors.
        speaker_encoder: for the speaker's similarity.

    Attributes:
        reference, degraded: cut to the length of the shorter if they have equal timing.
        is_comparable: whether all of them hold samples, all of them finite.
    """

    def __init__(
        self,
        recording: np.ndarray | None,
        degraded: np.ndarray,
        sample_rate: int,
        *,
        has_equal_timing: bool = True,
        text: str = "",
        language: str = "en",
        transcriber: Transcribes | None = None,
        speaker_encoder: SpeakerEncoder | None = None,
    ) -> None:
        self.sample_rate, self.has_equal_timing = sample_rate, has_equal_timing and recording is not None
        self.text, self.language, self._transcriber = text, language, transcriber
        self.speaker_encoder = speaker_encoder or StatisticsEncoder()
        self.recording = None if recording is None else np.asarray(recording, dtype=np.float32)
        self.degraded = np.asarray(degraded, dtype=np.float32)
        self.reference = self.degraded if self.recording is None else self.recording
        if self.has_equal_timing:
            n_samples = min(len(self.reference), len(self.degraded))
            self.reference, self.degraded = self.reference[:n_samples], self.degraded[:n_samples]
        self.is_comparable = all(
            bool(len(waveform)) and bool(np.isfinite(waveform).all()) for waveform in (self.reference, self.degraded)
        )

    @property
    def signals(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Reference, degraded and their sample rate, as measures take them."""
        return self.reference, self.degraded, self.sample_rate

    @property
    def has(self) -> frozenset[Input]:
        """Inputs besides the speech that metrics can take, as in `Metric.takes`."""
        given: dict[Input, bool] = {
            "recording": self.recording is not None,
            "equal timing": self.has_equal_timing,
            "text": bool(self.text) and self._transcriber is not None,
        }
        return frozenset(name for name, is_given in given.items() if is_given)

    @cached_property
    def transcript(self) -> str:
        """The words recognised in the synthesised speech."""
        assert self._transcriber is not None, "metrics of the text are measured with a transcriber alone"
        return self._transcriber.transcribe(self.degraded, self.sample_rate, self.language)

    @cached_property
    def resampled(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and degraded at 22.05 kHz."""
        first, second = (resample(each, self.sample_rate, RATE) for each in (self.reference, self.degraded))
        return first, second

    @cached_property
    def mel(self) -> np.ndarray | None:
        """(80, T_mel) log-mel of the synthesised speech up to 8 kHz, frames of 11.6 ms; None if too short."""
        return _log_mel(self.resampled[1])

    @cached_property
    def target_mel(self) -> np.ndarray | None:
        """The same of the recording."""
        return _log_mel(self.resampled[0])

    @cached_property
    def frames(self) -> Frames | None:
        """The frames that belong together, of free speech by dynamic time warping of the mels; None if too short."""
        if self.mel is None or self.target_mel is None:
            return None
        if self.has_equal_timing:
            same = np.arange(min(self.mel.shape[1], self.target_mel.shape[1]))
            return Frames(same, same)
        return Frames(*warp(self.target_mel, self.mel))

    @cached_property
    def f0_hz(self) -> tuple[np.ndarray, np.ndarray]:
        """F0 of reference and degraded, one value per frame of the mel, 0 where unvoiced."""
        target, predicted = (
            extract_pitch(each, sample_rate=RATE, hop_size=HOP_SIZE, f0_min=_F0_MIN, f0_max=_F0_MAX)
            for each in self.resampled
        )
        return target, predicted


def _log_mel(waveform: np.ndarray) -> np.ndarray | None:
    if len(waveform) < HOP_SIZE:
        return None
    with torch.inference_mode():
        return np.asarray(mel_spectrogram(RATE, _FMAX)(torch.from_numpy(waveform)))


@lru_cache(maxsize=4)
def mel_spectrogram(sample_rate: int, fmax: float) -> MelSpectrogram:
    """Return the log-mel of 80 bins whose frames last about 46 ms and begin every 12 ms."""
    scale = 2.0 ** round(np.log2(sample_rate / RATE))
    return MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=int(N_FFT * scale),
        hop_size=int(HOP_SIZE * scale),
        win_size=int(N_FFT * scale),
        n_mel=_N_MEL,
        fmin=0.0,
        fmax=fmax,
    )
