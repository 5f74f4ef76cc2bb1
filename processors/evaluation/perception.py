"""Perceptual metrics of optional packages (`sh env.sh evaluate` installs them)."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

from processors.audio.audio_file import resample

_PACKAGES_OF = {
    "pesq": ("pesq",),
    "stoi": ("pystoi",),
    "dnsmos": ("speechmos", "onnxruntime", "requests"),
    "distillmos": ("distillmos", "xls_r_sqa"),
    "wer": ("faster_whisper",),
}
_RATE = 16000
# The reference code supports a limited number of utterances, which long recordings would exceed.
_MAX_PESQ_S = 20
_SILENT_PEAK = 1e-3


def is_installed(measure: str) -> bool:
    """Return whether the packages of `pesq`, `stoi`, `dnsmos`, `distillmos` or `wer` are installed."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES_OF[measure])


def pesq(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the wide-band PESQ (ITU-T P.862.2), from 1 to 4.64, at 16 kHz.

    Of a long recording it is the mean over segments, which departs from the recommendation.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Returns:
        None if the package is missing, or finds no speech to compare.
    """
    if not is_installed("pesq"):
        return None
    from pesq import PesqError
    from pesq import pesq as measure

    resampled = [at_16_khz(waveform, sample_rate) for waveform in (reference, degraded)]
    n_segments = max(1, -(-len(resampled[0]) // (_MAX_PESQ_S * _RATE)))
    scores = []
    for clean, noisy in zip(*(np.array_split(waveform, n_segments) for waveform in resampled), strict=True):
        if not (is_audible(clean) and is_audible(noisy)):
            continue
        try:
            scores.append(float(measure(_RATE, clean, noisy, "wb")))
        except (PesqError, ValueError):  # too short, or without speech
            continue
    return finite(float(np.mean(scores))) if scores else None


def stoi(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float | None:
    """Compute the short-time objective intelligibility (Taal and others, 2011), up to 1, at the waveforms' rate.

    Args:
        reference: (T_wav,) in [-1, 1].
        degraded: (T_wav,).
        sample_rate: of both, in Hz.

    Returns:
        None if the package is missing, or the reference holds too little speech.
    """
    if not is_installed("stoi") or not is_audible(reference):
        return None
    from pystoi import stoi as measure

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of meaningless values
        try:
            return finite(measure(reference.astype(np.float64), degraded.astype(np.float64), sample_rate))
        except (RuntimeWarning, ValueError, IndexError):
            return None


def dnsmos(waveform: np.ndarray, sample_rate: int) -> float | None:
    """Predict the overall mean opinion score, from 1 to 5, by DNSMOS P.835 (arXiv:2110.01763).

    Args:
        waveform: (T_wav,) in [-1, 1]; there is no reference.
        sample_rate: in Hz; resampled to 16 kHz.

    Returns:
        None if a package is missing, or the waveform is silent.
    """
    if not is_installed("dnsmos") or not is_audible(waveform):
        return None
    from speechmos import dnsmos as networks

    return finite(networks.run(at_16_khz(waveform, sample_rate), _RATE)["ovrl_mos"])


def at_16_khz(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resample a waveform to the rate of the metrics' networks."""
    return resample(np.asarray(waveform, dtype=np.float32), sample_rate, _RATE)


def is_audible(waveform: np.ndarray) -> bool:
    """Return whether a waveform holds more than silence."""
    return bool(len(waveform)) and float(np.abs(waveform).max()) >= _SILENT_PEAK


def finite(value: float) -> float | None:
    """Return a score as a float; None if it is not finite."""
    return float(value) if np.isfinite(value) else None
