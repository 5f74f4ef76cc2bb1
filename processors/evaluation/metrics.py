"""Metrics of synthesised speech against its recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch

from processors.audio.mel import MelSpectrogram
from processors.audio.stft_distance import StftDistance, multi_resolution_stft
from processors.evaluation.perception import pesq, predicted_mos, stoi

# HiFi-GAN's at 22.05 kHz; frames of other rates are about as long.
_RATE, _N_FFT, _HOP_SIZE, _N_MEL = 22050, 1024, 256, 80


class Pair:
    """A recording and the synthesised speech to compare with it.

    Args:
        recording: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Attributes:
        recording: as given; `reference` and `degraded` are cut to the length of the shorter.
        is_comparable: whether both hold samples, all of them finite.
    """

    def __init__(self, recording: np.ndarray, degraded: np.ndarray, sample_rate: int) -> None:
        self.recording, self.sample_rate = recording, sample_rate
        n_samples = min(len(recording), len(degraded))
        self.reference, self.degraded = (
            np.asarray(waveform[:n_samples], dtype=np.float32) for waveform in (recording, degraded)
        )
        self.is_comparable = bool(n_samples and np.isfinite(self.reference).all() and np.isfinite(self.degraded).all())

    @property
    def signals(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Reference, degraded and their sample rate, as measures take them."""
        return self.reference, self.degraded, self.sample_rate

    @cached_property
    def stft_distance(self) -> StftDistance:
        """Distance of the spectra, for two metrics."""
        with torch.inference_mode():
            return multi_resolution_stft(torch.from_numpy(self.degraded)[None], torch.from_numpy(self.reference)[None])


@dataclass(frozen=True)
class Metric:
    """A metric of a pair of recordings.

    Attributes:
        name: its key in reports.
        meaning: what it measures, for the reader of a table.
        better: which values are better.
        measure: returns the value of a pair; None if it is undefined.
        needs: metric of `processors.evaluation.perception` whose packages must be installed.
    """

    name: str
    meaning: str
    better: Literal["less", "more"]
    measure: Callable[[Pair], float | None]
    needs: Literal["pesq", "stoi", "mos"] | None = None


METRICS = (
    Metric("mel", "mean absolute error of the log-mel, full band", "less", lambda pair: mel_error(*pair.signals)),
    Metric(
        "spectral_convergence",
        "difference of the spectra, as a share",
        "less",
        lambda pair: float(pair.stft_distance.spectral_convergence),
    ),
    Metric(
        "log_magnitude",
        "difference of the spectra's logarithms",
        "less",
        lambda pair: float(pair.stft_distance.log_magnitude),
    ),
    Metric("pesq", "wide-band PESQ, 1 to 4.64", "more", lambda pair: pesq(*pair.signals), needs="pesq"),
    Metric("stoi", "intelligibility, up to 1", "more", lambda pair: stoi(*pair.signals), needs="stoi"),
    Metric(
        "mos",
        "predicted mean opinion score of the synthesised speech, 1 to 5",
        "more",
        lambda pair: predicted_mos(pair.degraded, pair.sample_rate),
        needs="mos",
    ),
    Metric(
        "reference_mos",
        "predicted mean opinion score of the recordings",
        "more",
        lambda pair: predicted_mos(pair.recording, pair.sample_rate),
        needs="mos",
    ),
)


def compare(recording: np.ndarray, degraded: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Compute the metrics of synthesised speech against its recording, without those that are undefined.

    Args:
        recording: (T_wav,) in [-1, 1].
        degraded: (T_wav,); most metrics compare over the length of the shorter.
        sample_rate: of both, in Hz.
    """
    pair = Pair(recording, degraded, sample_rate)
    if not pair.is_comparable:
        return {}
    figures = {metric.name: metric.measure(pair) for metric in METRICS}
    return {name: figure for name, figure in figures.items() if figure is not None}


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
    mel = _full_band(sample_rate)
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
def _full_band(sample_rate: int) -> MelSpectrogram:
    scale = 2.0 ** round(np.log2(sample_rate / _RATE))
    return MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=int(_N_FFT * scale),
        hop_size=int(_HOP_SIZE * scale),
        win_size=int(_N_FFT * scale),
        n_mel=_N_MEL,
        fmin=0.0,
        fmax=sample_rate / 2,
    )
