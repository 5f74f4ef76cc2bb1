"""Fundamental frequency (F0), one value per mel frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from utils.errors import RecitalError


class PitchError(RecitalError):
    """A pitch extractor that does not exist, or settings that it cannot use."""


def extract_pitch(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    hop_size: int,
    f0_min: float,
    f0_max: float,
    extractor: str = "parselmouth",
) -> np.ndarray:
    """Extract F0 at the centre of each mel frame, sample (i + 0.5) * hop_size.

    Args:
        waveform: (T_wav,) in [-1, 1]; may be silent or very short.
        sample_rate: in Hz.
        hop_size: samples per frame.
        f0_min: lowest frequency in Hz; values below it become unvoiced.
        f0_max: highest frequency in Hz; likewise.
        extractor: one of `PITCH_EXTRACTORS`.

    Returns:
        (T_wav // hop_size,) float32 in Hz, 0 where unvoiced.

    Raises:
        PitchError: the extractor is unknown, or f0_min and f0_max are not a range below half of `sample_rate`.
    """
    if extractor not in PITCH_EXTRACTORS:
        raise PitchError(f"pitch_extractor: no {extractor!r}; known are {', '.join(PITCH_EXTRACTORS)}")
    if not 0 < f0_min < f0_max < sample_rate / 2:
        raise PitchError(f"f0_min {f0_min} and f0_max {f0_max} must be 0 < f0_min < f0_max < {sample_rate / 2} Hz")
    n_frames = len(waveform) // hop_size
    if n_frames == 0:
        return np.zeros(0, dtype=np.float32)
    samples = np.asarray(waveform[: n_frames * hop_size], dtype=np.float64)
    if not samples.any():
        return np.zeros(n_frames, dtype=np.float32)
    f0_hz = PITCH_EXTRACTORS[extractor](samples, sample_rate, hop_size, f0_min, f0_max)
    in_range = (f0_hz >= f0_min) & (f0_hz <= f0_max)
    return np.where(in_range, f0_hz, 0.0).astype(np.float32)


def _praat(samples: np.ndarray, sample_rate: int, hop_size: int, f0_min: float, f0_max: float) -> np.ndarray:
    """Track F0 by Boersma's autocorrelation method with Praat's thresholds (IFA Proceedings 17, 1993).

    Praat uses as many threads as there are cores, which cannot be changed.
    """
    import parselmouth

    n_frames = len(samples) // hop_size
    # Praat fits as many whole frames as possible into the sound, less one window of three periods, and centres them.
    # With half a hop to spare these are n_frames, and the padding aligns their centres with the mel's frames.
    window = 3.0 * sample_rate / f0_min
    padding = max(0, round((window - 0.5 * hop_size) / 2))
    sound = parselmouth.Sound(np.pad(samples, padding), sampling_frequency=sample_rate)
    pitch = sound.to_pitch_ac(time_step=hop_size / sample_rate, pitch_floor=f0_min, pitch_ceiling=f0_max)
    f0_hz: np.ndarray = pitch.selected_array["frequency"]
    assert len(f0_hz) == n_frames
    return f0_hz


def _dio(samples: np.ndarray, sample_rate: int, hop_size: int, f0_min: float, f0_max: float) -> np.ndarray:
    """Track F0 by DIO refined by StoneMask, of the WORLD vocoder (Morise et al., IEICE Trans. E99-D, 2016)."""
    import pyworld

    padded, first, period_ms = _for_world(samples, sample_rate, hop_size)
    f0_hz, times = pyworld.dio(padded, sample_rate, f0_floor=f0_min, f0_ceil=f0_max, frame_period=period_ms)
    f0_hz = pyworld.stonemask(padded, f0_hz, times, sample_rate)
    return f0_hz[first : first + len(samples) // hop_size]


def _harvest(samples: np.ndarray, sample_rate: int, hop_size: int, f0_min: float, f0_max: float) -> np.ndarray:
    """Track F0 by Harvest, of the WORLD vocoder (Morise, Interspeech 2017): slow, with few unvoiced frames."""
    import pyworld

    padded, first, period_ms = _for_world(samples, sample_rate, hop_size)
    f0_hz, _ = pyworld.harvest(padded, sample_rate, f0_floor=f0_min, f0_ceil=f0_max, frame_period=period_ms)
    return f0_hz[first : first + len(samples) // hop_size]


def _for_world(samples: np.ndarray, sample_rate: int, hop_size: int) -> tuple[np.ndarray, int, float]:
    """Pad so that WORLD, whose frame k is centred at k * hop_size, has a frame at the centre of each mel frame.

    Returns:
        The padded samples, the number of WORLD's frame that is the first mel frame, and the frame period in ms.
    """
    # WORLD's filters need some context even round a single frame.
    first = 1 + math.ceil(0.1 * sample_rate / hop_size)
    padded = np.pad(samples, (first * hop_size - hop_size // 2, (first + 1) * hop_size))
    return padded, first, 1000.0 * hop_size / sample_rate


def _pyin(samples: np.ndarray, sample_rate: int, hop_size: int, f0_min: float, f0_max: float) -> np.ndarray:
    """Probabilistic YIN (Mauch and Dixon, ICASSP 2014): very slow, smooth."""
    import librosa  # imports slowly, and only here is it needed

    # Half of a frame must hold two of the longest periods.
    frame_length = 2 ** math.ceil(math.log2(4.0 * sample_rate / f0_min))
    left = (frame_length - hop_size) // 2
    padded = np.pad(samples, (left, frame_length - left))
    f0_hz, is_voiced, _ = librosa.pyin(
        padded,
        fmin=f0_min,
        fmax=f0_max,
        sr=sample_rate,
        frame_length=frame_length,
        hop_length=hop_size,
        center=False,
    )
    return np.where(is_voiced, f0_hz, 0.0)[: len(samples) // hop_size]


PITCH_EXTRACTORS: Mapping[str, Callable[[np.ndarray, int, int, float, float], np.ndarray]] = {
    "parselmouth": _praat,
    "dio": _dio,
    "harvest": _harvest,
    "pyin": _pyin,
}
"""Extractors by their names in `preprocess.pitch_extractor`."""
