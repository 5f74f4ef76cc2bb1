"""Preparation of waveforms for metrics: sample rate, level, and silence at the edges."""

from __future__ import annotations

import numpy as np

from processors.audio.audio_file import resample
from processors.audio.speech_level import HOP_S, frame_levels, is_speech

NETWORK_RATE = 16000
"""Sample rate, in Hz, of PESQ, STOI and the networks."""
_SILENT_PEAK = 1e-3
_EDGE_S = 0.1  # of silence that stays before and after the speech


def at_16_khz(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resample a waveform to the rate of the metrics' networks."""
    return resample(np.asarray(waveform, dtype=np.float32), sample_rate, NETWORK_RATE)


def is_audible(waveform: np.ndarray) -> bool:
    """Return whether a waveform holds more than silence."""
    return bool(len(waveform)) and float(np.abs(waveform).max()) >= _SILENT_PEAK


def finite(value: float) -> float | None:
    """Return a score as a float; None if it is not finite."""
    return float(value) if np.isfinite(value) else None


def speech_frames(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return which frames of 10 ms are about as loud as speech; see `processors.audio.speech_level`."""
    samples = np.asarray(waveform, dtype=np.float64)
    return is_speech(frame_levels(samples - samples.mean(), sample_rate))


def speech_span(waveform: np.ndarray, sample_rate: int) -> slice:
    """Return the samples from the first to the last speech, with 0.1 s of silence around; all if there is none."""
    found = np.flatnonzero(speech_frames(waveform, sample_rate)) if len(waveform) else np.zeros(0, dtype=int)
    if not len(found):
        return slice(0, len(waveform))
    edge = int(_EDGE_S * sample_rate)
    first, last = (int(place * HOP_S * sample_rate) for place in (found[0], found[-1] + 1))
    return slice(max(first - edge, 0), min(last + edge, len(waveform)))


def comparable_at_16_khz(
    reference: np.ndarray, degraded: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a recording and its copy at 16 kHz, without the recording's silence at the edges, at the same level.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,), of equal timing; it is scaled to the recording's root mean square.
        sample_rate: of both, in Hz.
    """
    clean, noisy = (at_16_khz(waveform, sample_rate) for waveform in (reference, degraded))
    span = speech_span(clean, NETWORK_RATE)
    clean, noisy = clean[span], noisy[span]
    levels = [
        float(np.sqrt(np.mean(np.square(each, dtype=np.float64)))) if len(each) else 0.0 for each in (clean, noisy)
    ]
    if all(level > 0 for level in levels):
        noisy = (noisy * (levels[0] / levels[1])).astype(np.float32)
    return clean, noisy
