"""Statistics of pitch and energy per speaker, and normalisation by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from utils.bundle_file import read_text
from utils.errors import RecitalError
from utils.files import write_atomically

# Histograms are over logarithms, so that one bin width suits quiet and loud speech, a small and a large n_fft.
_N_BINS = 1024
_LOG_F0_RANGE = (float(np.log(20.0)), float(np.log(5000.0)))  # bins of 0.5 %
_LOG_ENERGY_RANGE = (float(np.log(1e-4)), float(np.log(1e5)))  # bins of 2 %
# One frame in 200 beyond each bound: octave errors and clicks rather than prosody.
_OUTLIER_SHARE = 0.005
# Log-pitch further than this many interquartile ranges beyond the quartiles is an octave error as well, however many
# there are; of a normal distribution, one value in 1300 lies there.
_FENCE = 2.0
# Smaller spreads are a single bin or a synthetic tone, not speech.
_LEAST_PITCH_STD = 0.01
_LEAST_RELATIVE_ENERGY_STD = 0.05


STATISTICS_FILE = "statistics.json"
PitchScale = Literal["log", "hz"]


class StatisticsError(RecitalError):
    """A statistics file that is missing or damaged, or lacks a speaker."""


@dataclass(frozen=True)
class Spread:
    """Distribution of one quantity of one speaker, with outliers clipped to `low` and `high`."""

    mean: float
    std: float
    low: float
    high: float
    n_frames: int

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Clip outliers to the bounds, then subtract the mean and divide by the standard deviation."""
        deviations: np.ndarray = (np.clip(values, self.low, self.high) - self.mean) / self.std
        return deviations.astype(np.float32)


@dataclass(frozen=True)
class SpeakerStatistics:
    """A speaker's pitch over voiced frames, and energy over all frames.

    Attributes:
        pitch: of the natural logarithm of Hz, or of Hz itself.
        energy: linear.
        pitch_scale: which of the two pitch is.
    """

    pitch: Spread
    energy: Spread
    pitch_scale: PitchScale = "log"

    def normalize_pitch(self, f0_hz: np.ndarray) -> np.ndarray:
        """Convert Hz, 0 where unvoiced, to normalised pitch, 0 (the mean) where unvoiced; float32."""
        is_voiced = f0_hz > 0
        voiced_hz = np.where(is_voiced, f0_hz, 1.0)
        pitch = self.pitch.normalize(np.log(voiced_hz) if self.pitch_scale == "log" else voiced_hz)
        return np.where(is_voiced, pitch, np.float32(0.0))

    def normalize_energy(self, energy: np.ndarray) -> np.ndarray:
        """Convert energy to normalised energy; float32."""
        return self.energy.normalize(energy)


class StatisticsCollector:
    """Accumulates the pitch and energy of any number of utterances in a few kilobytes per speaker.

    It counts in histograms, so the result is the same to the bit in whatever order utterances are added. It takes the
    training split only.

    Args:
        pitch_scale: whether the spread of pitch is that of its logarithm, or of Hz.
        of_corpus: whether every speaker gets the pitch of all speakers together.
    """

    def __init__(self, pitch_scale: PitchScale = "log", *, of_corpus: bool = False) -> None:
        self._pitch_scale, self._of_corpus = pitch_scale, of_corpus
        self._pitch_counts: dict[str, np.ndarray] = {}
        self._energy_counts: dict[str, np.ndarray] = {}

    def add(self, speaker: str, f0_hz: np.ndarray, energy: np.ndarray) -> None:
        """Count one utterance: (T_mel,) Hz, 0 where unvoiced, and (T_mel,) energy."""
        for counts, values, log_range in (
            (self._pitch_counts, f0_hz[f0_hz > 0], _LOG_F0_RANGE),
            (self._energy_counts, energy, _LOG_ENERGY_RANGE),
        ):
            held = counts.setdefault(speaker, np.zeros(_N_BINS, dtype=np.int64))
            held += _histogram(values, log_range)

    def statistics(self) -> dict[str, SpeakerStatistics]:
        """Return the statistics of every speaker, in alphabetical order.

        A speaker without voiced frames gets the pitch of all speakers together.
        """
        if not self._pitch_counts:
            return {}
        everyones_pitch = np.sum(list(self._pitch_counts.values()), axis=0)
        return {
            speaker: SpeakerStatistics(
                pitch=_pitch_spread(
                    everyones_pitch if self._of_corpus else self._pitch_counts[speaker],
                    everyones_pitch,
                    self._pitch_scale,
                ),
                energy=_energy_spread(self._energy_counts[speaker]),
                pitch_scale=self._pitch_scale,
            )
            for speaker in sorted(self._pitch_counts)
        }


def _histogram(values: np.ndarray, log_range: tuple[float, float]) -> np.ndarray:
    low, high = log_range
    with np.errstate(divide="ignore"):
        index = (np.log(values) - low) * (_N_BINS / (high - low))
    # Clipped as floats: the logarithm of 0 has no integer.
    return np.bincount(np.clip(index, 0, _N_BINS - 1).astype(np.int64), minlength=_N_BINS)


def _pitch_spread(counts: np.ndarray, everyones_counts: np.ndarray, scale: PitchScale) -> Spread:
    as_scaled = np.exp if scale == "hz" else np.asarray
    n_frames = int(counts.sum())
    if n_frames == 0:
        counts = everyones_counts
    if not counts.any():  # no voiced frame of any speaker; a pitch between men's and women's
        if scale == "hz":
            return Spread(mean=160.0, std=40.0, low=20.0, high=5000.0, n_frames=0)
        return Spread(mean=float(np.log(160.0)), std=0.25, low=_LOG_F0_RANGE[0], high=_LOG_F0_RANGE[1], n_frames=0)
    low, first_quartile, third_quartile, high = _quantiles(
        counts, _LOG_F0_RANGE, (_OUTLIER_SHARE, 0.25, 0.75, 1.0 - _OUTLIER_SHARE)
    )
    reach = _FENCE * (third_quartile - first_quartile)
    low, high = max(low, first_quartile - reach), min(high, third_quartile + reach)
    mean, std = _mean_and_std(counts, as_scaled(np.clip(_bin_centres(_LOG_F0_RANGE), low, high)))
    least = _LEAST_PITCH_STD * (mean if scale == "hz" else 1.0)
    return Spread(mean, max(std, least), float(as_scaled(low)), float(as_scaled(high)), n_frames)


def _energy_spread(counts: np.ndarray) -> Spread:
    if not counts.any():
        return Spread(mean=0.0, std=1.0, low=0.0, high=float(np.exp(_LOG_ENERGY_RANGE[1])), n_frames=0)
    shares = (_OUTLIER_SHARE, 1.0 - _OUTLIER_SHARE)
    low, high = (float(np.exp(bound)) for bound in _quantiles(counts, _LOG_ENERGY_RANGE, shares))
    mean, std = _mean_and_std(counts, np.clip(np.exp(_bin_centres(_LOG_ENERGY_RANGE)), low, high))
    return Spread(mean, max(std, _LEAST_RELATIVE_ENERGY_STD * mean), low, high, int(counts.sum()))


def _bin_centres(log_range: tuple[float, float]) -> np.ndarray:
    low, high = log_range
    return low + (np.arange(_N_BINS) + 0.5) * ((high - low) / _N_BINS)


def _quantiles(counts: np.ndarray, log_range: tuple[float, float], shares: tuple[float, ...]) -> list[float]:
    """Return the quantiles at these shares of the counts, interpolated within a bin."""
    low, high = log_range
    width = (high - low) / _N_BINS
    n_up_to = np.cumsum(counts)
    quantiles = []
    for share in shares:
        wanted = share * n_up_to[-1]
        index = int(np.searchsorted(n_up_to, wanted))  # the first bin that reaches it, never an empty one
        inside = (wanted - (n_up_to[index] - counts[index])) / counts[index]
        quantiles.append(low + (index + float(inside)) * width)
    return quantiles


def _mean_and_std(counts: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    mean = float(np.average(values, weights=counts))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))


def save_statistics(path: Path | str, statistics: Mapping[str, SpeakerStatistics]) -> None:
    """Write the statistics of all speakers as JSON."""
    by_speaker = {speaker: asdict(of_speaker) for speaker, of_speaker in statistics.items()}
    for of_speaker in by_speaker.values():
        if of_speaker["pitch_scale"] == "log":  # as in all files from before there was another
            del of_speaker["pitch_scale"]
    write_atomically(path, json.dumps(by_speaker, indent=2, ensure_ascii=False) + "\n")


def open_statistics(path: Path | str) -> dict[str, SpeakerStatistics]:
    """Read what `save_statistics` wrote: each speaker's statistics by name.

    Raises:
        StatisticsError: the file is missing or damaged.
    """
    try:
        by_speaker = json.loads(read_text(Path(path)))
        return {
            speaker: SpeakerStatistics(
                Spread(**spreads["pitch"]), Spread(**spreads["energy"]), spreads.get("pitch_scale", "log")
            )
            for speaker, spreads in by_speaker.items()
        }
    except FileNotFoundError:
        raise StatisticsError(f"{path}: no such file; run stage 1 first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StatisticsError(f"{path}: damaged; run stage 1 again") from None
