"""Metrics of synthesised speech, of which many compare it with its recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch

from processors.audio.audio_file import resample
from processors.audio.mel import MelSpectrogram
from processors.audio.pitch import extract_pitch
from processors.audio.stft_distance import StftDistance, multi_resolution_stft
from processors.audio.time_warping import warp
from processors.evaluation.distill_mos import distillmos
from processors.evaluation.perception import dnsmos, is_installed, pesq, stoi
from processors.evaluation.sharpness import Sharpness, sharpness
from processors.evaluation.transcriber import Transcriber
from processors.evaluation.word_errors import WordErrors, count_word_errors

# HiFi-GAN's at 22.05 kHz; frames of other rates are about as long.
_RATE, _N_FFT, _HOP_SIZE, _N_MEL, _FMAX = 22050, 1024, 256, 80, 8000.0
_F0_MIN, _F0_MAX = 60.0, 600.0
_CENTS_PER_OCTAVE = 1200
# Over fewer frames a correlation is meaningless.
_MIN_VOICED = 10


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
        transcriber: Transcriber | None = None,
    ) -> None:
        self.sample_rate, self.has_equal_timing = sample_rate, has_equal_timing and recording is not None
        self.text, self._language, self._transcriber = text, language, transcriber
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
    def has(self) -> frozenset[str]:
        """Inputs besides the speech that metrics can take, as in `Metric.takes`."""
        given = {
            "recording": self.recording is not None,
            "equal timing": self.has_equal_timing,
            "text": bool(self.text) and self._transcriber is not None,
        }
        return frozenset(name for name, is_given in given.items() if is_given)

    @cached_property
    def stft_distance(self) -> StftDistance:
        """Distance of the spectra, for two metrics."""
        with torch.inference_mode():
            return multi_resolution_stft(torch.from_numpy(self.degraded)[None], torch.from_numpy(self.reference)[None])

    @cached_property
    def transcript(self) -> str:
        """The words recognised in the synthesised speech."""
        assert self._transcriber is not None, "metrics of the text are measured with a transcriber alone"
        return self._transcriber.transcribe(self.degraded, self.sample_rate, self._language)

    @cached_property
    def word_errors(self) -> WordErrors:
        """Word errors of the transcript."""
        return count_word_errors(self.text, self.transcript, self._language)

    @cached_property
    def mel(self) -> np.ndarray | None:
        """(80, T_mel) log-mel of the synthesised speech up to 8 kHz, frames of 11.6 ms; None if too short."""
        return _log_mel(self.degraded, self.sample_rate)

    @cached_property
    def sharpness(self) -> Sharpness | None:
        """Sharpness of that mel; None if too short."""
        return None if self.mel is None else sharpness(torch.from_numpy(self.mel))

    @cached_property
    def log_f0(self) -> tuple[np.ndarray, np.ndarray] | None:
        """F0 of recording and synthesised speech in octaves, (N,) each, where both are voiced.

        Of free speech, frame by frame after dynamic time warping of the mels. None for too few frames.
        """
        target_mel = _log_mel(self.reference, self.sample_rate)
        if target_mel is None or self.mel is None:
            return None
        target, predicted = (_f0_hz(waveform, self.sample_rate) for waveform in (self.reference, self.degraded))
        if not self.has_equal_timing:
            target_frames, frames = warp(target_mel, self.mel)
            target, predicted = target[target_frames], predicted[frames]
        is_voiced = (target > 0) & (predicted > 0)
        if np.count_nonzero(is_voiced) < _MIN_VOICED:
            return None
        return np.log2(target[is_voiced]), np.log2(predicted[is_voiced])


def f0_rmse(pair: Pair) -> float | None:
    """Return the root mean square error of F0 in cents."""
    if pair.log_f0 is None:
        return None
    target, predicted = pair.log_f0
    return float(_CENTS_PER_OCTAVE * np.sqrt(np.mean((predicted - target) ** 2)))


def f0_correlation(pair: Pair) -> float | None:
    """Return the correlation of log F0; None of a constant pitch."""
    if pair.log_f0 is None or not all(np.ptp(each) for each in pair.log_f0):
        return None
    return float(np.corrcoef(*pair.log_f0)[0, 1])


def word_error_rate(pair: Pair) -> float | None:
    """Return the word errors in percent of the words; None for a text without words."""
    errors, words = pair.word_errors
    return 100 * errors / words if words else None


class Measurement(NamedTuple):
    """The value of a metric for one recording, and its weight in the mean over recordings."""

    value: float
    weight: float


def weighted_mean(figures: Sequence[Measurement]) -> float:
    """Return the mean over recordings."""
    return sum(value * weight for value, weight in figures) / sum(weight for _, weight in figures)


@dataclass(frozen=True)
class Metric:
    """A metric of synthesised speech.

    Attributes:
        name: its key in reports.
        meaning: what it measures, for the reader of a table.
        better: which values are better; `near`: those near to the recordings' own.
        measure: returns the value of a pair; None if it is undefined.
        takes: what of a pair it needs beside the synthesised speech: "recording", "equal timing" (speech that is a
            copy of the recording frame for frame, not free speech), "text".
        needs: metric of `processors.evaluation.perception` whose packages must be installed.
        weight: of a pair in the mean over recordings.
    """

    name: str
    meaning: str
    better: Literal["less", "more", "near"]
    measure: Callable[[Pair], float | None]
    takes: tuple[Literal["recording", "equal timing", "text"], ...] = ()
    needs: Literal["pesq", "stoi", "dnsmos", "distillmos", "wer"] | None = None
    weight: Callable[[Pair], float] = lambda pair: 1.0

    @property
    def needs_equal_timing(self) -> bool:
        """Return whether it is meaningless for free speech."""
        return "equal timing" in self.takes

    @property
    def is_installed(self) -> bool:
        """Return whether the packages that it needs are installed."""
        return self.needs is None or is_installed(self.needs)


METRICS = (
    Metric(
        "mel",
        "mean absolute error of the log-mel, full band",
        "less",
        lambda pair: mel_error(*pair.signals),
        takes=("equal timing",),
    ),
    Metric(
        "spectral_convergence",
        "difference of the spectra, as a share",
        "less",
        lambda pair: float(pair.stft_distance.spectral_convergence),
        takes=("equal timing",),
    ),
    Metric(
        "log_magnitude",
        "difference of the spectra's logarithms",
        "less",
        lambda pair: float(pair.stft_distance.log_magnitude),
        takes=("equal timing",),
    ),
    Metric(
        "pesq",
        "wide-band PESQ, 1 to 4.64",
        "more",
        lambda pair: pesq(*pair.signals),
        takes=("equal timing",),
        needs="pesq",
    ),
    Metric(
        "stoi",
        "intelligibility, up to 1",
        "more",
        lambda pair: stoi(*pair.signals),
        takes=("equal timing",),
        needs="stoi",
    ),
    Metric(
        "distillmos",
        "mean opinion score predicted by DistillMOS, 1 to 5",
        "more",
        lambda pair: distillmos(pair.degraded, pair.sample_rate),
        needs="distillmos",
    ),
    Metric(
        "wer",
        "word errors of a transcript by Whisper, in percent",
        "less",
        word_error_rate,
        takes=("text",),
        needs="wer",
        weight=lambda pair: float(pair.word_errors.words),
    ),
    Metric(
        "dnsmos",
        "mean opinion score predicted by DNSMOS, 1 to 5",
        "more",
        lambda pair: dnsmos(pair.degraded, pair.sample_rate),
        needs="dnsmos",
    ),
    Metric(
        "reference_dnsmos",
        "the same of the recordings",
        "more",
        lambda pair: None if pair.recording is None else dnsmos(pair.recording, pair.sample_rate),
        takes=("recording",),
        needs="dnsmos",
    ),
    Metric("f0_rmse", "error of F0 where both are voiced, in cents", "less", f0_rmse, takes=("recording",)),
    Metric("f0_correlation", "correlation of log F0, likewise", "more", f0_correlation, takes=("recording",)),
    Metric(
        "mel_deviation",
        "sharpness of the mel: each band's standard deviation over time",
        "near",
        lambda pair: None if pair.sharpness is None else pair.sharpness.deviation,
    ),
    Metric(
        "mel_change",
        "likewise: mean change from frame to frame",
        "near",
        lambda pair: None if pair.sharpness is None else pair.sharpness.change,
    ),
    Metric(
        "mel_curvature",
        "likewise: mean second difference from band to band",
        "near",
        lambda pair: None if pair.sharpness is None else pair.sharpness.curvature,
    ),
)


def measure_pair(pair: Pair, metrics: Collection[Metric] = METRICS) -> dict[str, Measurement]:
    """Compute the metrics of a pair, without those that are undefined or need what it does not have."""
    if not pair.is_comparable:
        return {}
    values = {metric: metric.measure(pair) for metric in metrics if pair.has.issuperset(metric.takes)}
    return {
        metric.name: Measurement(value, metric.weight(pair)) for metric, value in values.items() if value is not None
    }


def _log_mel(waveform: np.ndarray, sample_rate: int) -> np.ndarray | None:
    resampled = resample(waveform, sample_rate, _RATE)
    if len(resampled) < _HOP_SIZE:
        return None
    with torch.inference_mode():
        return np.asarray(_mel(_RATE, _FMAX)(torch.from_numpy(resampled)))


def _f0_hz(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    resampled = resample(waveform, sample_rate, _RATE)
    return extract_pitch(resampled, sample_rate=_RATE, hop_size=_HOP_SIZE, f0_min=_F0_MIN, f0_max=_F0_MAX)


def mel_error(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the mean absolute difference of the log-mels of two waveforms, of 80 bins over the full band.

    Frames last about 46 ms and begin every 12 ms.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,); both are compared over the length of the shorter.
        sample_rate: of both, in Hz.

    Returns:
        None if there is no frame, or a waveform holds NaN.
    """
    mel = _mel(sample_rate, sample_rate / 2)
    n_samples = min(len(reference), len(degraded))
    if n_samples < mel.hop_size:
        return None
    with torch.inference_mode():
        predicted, target = (
            mel(torch.from_numpy(np.asarray(waveform[:n_samples], dtype=np.float32)))
            for waveform in (degraded, reference)
        )
        error = float((predicted - target).abs().mean())
    return error if np.isfinite(error) else None


@lru_cache(maxsize=4)
def _mel(sample_rate: int, fmax: float) -> MelSpectrogram:
    scale = 2.0 ** round(np.log2(sample_rate / _RATE))
    return MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=int(_N_FFT * scale),
        hop_size=int(_HOP_SIZE * scale),
        win_size=int(_N_FFT * scale),
        n_mel=_N_MEL,
        fmin=0.0,
        fmax=fmax,
    )
