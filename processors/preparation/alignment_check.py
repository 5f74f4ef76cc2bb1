"""Anomalies of alignments: phones of unusual duration, silence inside speech, low scores."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from processors.alignment.intervals import Alignment
from processors.text.tokens import PAUSES, SPOKEN_NOISE
from processors.utterance import Utterance

SPREADS = 4.0
"""Greatest distance of a phone's log duration, or a score, from the median, in spreads."""
MAX_SILENCE_S = 0.2
"""Longest silence without a marked pause; closures of stops are shorter."""

# With fewer examples of a phone, the median of all phones stands in for its own.
_FEWEST = 20
_LEAST_SPREAD = math.log(1.3)
# For phones of few frames, a difference of one frame is large as a logarithm.
_LEAST_DIFFERENCE_S = 0.06
_MIN_FRAMES = 0.5  # in place of a phone of no frames
_QUIET_DB, _ABOVE_FLOOR_DB, _FARTHEST_DB = 40.0, 6.0, 25.0


@dataclass(frozen=True)
class Anomaly:
    """An improbable part of an alignment.

    Attributes:
        utterance_id: of the recording.
        kind: `length`, `silence` or `score`.
        size: relative to the limit; more than 1.
        description: in words.
    """

    utterance_id: str
    kind: str
    size: float
    description: str


class AlignmentCheck:
    """Collects statistics of a corpus's alignments, and finds outliers.

    Args:
        seconds_per_frame: hop_size / sample_rate.
    """

    def __init__(self, seconds_per_frame: float) -> None:
        self._seconds_per_frame = seconds_per_frame
        self._numbers: dict[str, int] = {}
        self._counts: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._spoken: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
        self._silences: list[Anomaly] = []
        self.scores: list[tuple[float, str]] = []
        """Score and id of each utterance whose aligner returned a score."""

    def add(
        self,
        utterance: Utterance,
        *,
        energy: np.ndarray | None = None,
        score: float | None = None,
        silence_in_words_s: float = 0.0,
    ) -> None:
        """Add one completed utterance.

        Args:
            utterance: with phones and, unless they are learned, durations.
            energy: (T_mel,) of its frames.
            score: of its aligner.
            silence_in_words_s: see `longest_silence_in_words`.
        """
        if score is not None:
            self.scores.append((score, utterance.id))
        if silence_in_words_s:
            self._silences.append(_anomalous_silence(utterance.id, silence_in_words_s, "inside a word"))
        if not utterance.durations:
            return
        durations = np.array(utterance.durations, dtype=np.int32)
        starts = np.cumsum(durations) - durations
        is_pause = np.array([phone in PAUSES for phone in utterance.phones])
        is_counted = ~is_pause & np.array([phone != SPOKEN_NOISE for phone in utterance.phones])
        numbers = np.array([self._numbers.setdefault(phone, len(self._numbers)) for phone in utterance.phones])
        for number, duration in zip(numbers[is_counted].tolist(), durations[is_counted].tolist(), strict=True):
            self._counts[number][duration] += 1
        self._spoken.append(
            (
                utterance.id,
                numbers[is_counted].astype(np.uint16),
                durations[is_counted],
                starts[is_counted].astype(np.int32),
            )
        )
        if energy is not None and len(energy) == durations.sum():
            n_frames, first = longest_silence(energy, np.repeat(is_pause, durations))
            seconds = n_frames * self._seconds_per_frame
            if seconds > MAX_SILENCE_S:
                place = f"at {first * self._seconds_per_frame:.2f} s, where no pause is marked"
                self._silences.append(_anomalous_silence(utterance.id, seconds, place))

    @property
    def n_checked(self) -> int:
        """Number of utterances with durations."""
        return len(self._spoken)

    def anomalies(self) -> list[Anomaly]:
        """Return all anomalies, the worst first."""
        found = [*self._of_lengths(), *self._silences, *self._of_scores()]
        return sorted(found, key=lambda anomaly: (-anomaly.size, anomaly.utterance_id))

    def _of_lengths(self) -> Iterator[Anomaly]:
        names = {number: name for name, number in self._numbers.items()}
        of_all: Counter[int] = sum(self._counts.values(), Counter())
        if of_all.total() < _FEWEST:
            return
        median, spread = np.zeros(len(names)), np.zeros(len(names))
        for number, counts in self._counts.items():
            median[number], spread[number] = _median_and_spread(counts if counts.total() >= _FEWEST else of_all)
        median_ms = np.exp(median) * self._seconds_per_frame * 1000
        least = _LEAST_DIFFERENCE_S / self._seconds_per_frame
        for utterance_id, numbers, durations, starts in self._spoken:
            logs = np.log(np.maximum(durations, _MIN_FRAMES))
            sizes = np.abs(logs - median[numbers]) / (SPREADS * spread[numbers])
            is_odd = (sizes > 1.0) & (np.abs(durations - np.exp(median[numbers])) >= least)
            for index in np.flatnonzero(is_odd).tolist():
                number = int(numbers[index])
                description = (
                    f"{names[number]} at {starts[index] * self._seconds_per_frame:.2f} s lasts "
                    f"{durations[index] * self._seconds_per_frame * 1000:.0f} ms (median {median_ms[number]:.0f} ms)"
                )
                yield Anomaly(utterance_id, "length", float(sizes[index]), description)

    def _of_scores(self) -> Iterator[Anomaly]:
        if len(self.scores) < _FEWEST:
            return
        low, median, high = np.percentile([score for score, _ in self.scores], [16, 50, 84])
        limit = SPREADS * max((high - low) / 2, 1e-3)
        for score, utterance_id in self.scores:
            if median - score > limit:
                description = f"score {score:.2f} (median {median:.2f})"
                yield Anomaly(utterance_id, "score", float((median - score) / limit), description)


def _anomalous_silence(utterance_id: str, seconds: float, place: str) -> Anomaly:
    return Anomaly(utterance_id, "silence", seconds / MAX_SILENCE_S, f"{seconds * 1000:.0f} ms of silence {place}")


def longest_silence(energy: np.ndarray, is_pause: np.ndarray) -> tuple[int, int]:
    """Return the longest run of frames near the noise floor outside marked pauses.

    A frame is quiet if it is 40 dB below the loud frames (the 90 % quantile) or, in a noisier recording, within 6 dB of
    the quietest (the 2 % quantile); but never less than 25 dB below the loud ones.

    Args:
        energy: (T_mel,) linear.
        is_pause: (T_mel,) frames of pauses.

    Returns:
        Its number of frames, and its first frame; (0, 0) if there is none.
    """
    level = 20.0 * np.log10(np.maximum(energy, 1e-9))
    floor, loud = np.percentile(level, [2, 90])
    limit = min(max(loud - _QUIET_DB, floor + _ABOVE_FLOOR_DB), loud - _FARTHEST_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], (level < limit) & ~is_pause, [False]]).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(stops - starts))
    return int(stops[longest] - starts[longest]), int(starts[longest])


def longest_silence_in_words(alignment: Alignment) -> float:
    """Return the seconds of the longest silence between two phones of one word; 0.0 if there is none."""
    words = [word for word in alignment.words if word.label]
    phones = alignment.phones
    longest, index = 0.0, 0
    for previous, silence, following in zip(phones, phones[1:], phones[2:], strict=False):
        if not silence.is_silence or previous.is_silence or following.is_silence:
            continue
        while index < len(words) and words[index].end_s <= silence.start_s:
            index += 1
        if index < len(words) and words[index].start_s < silence.start_s and words[index].end_s > silence.end_s:
            longest = max(longest, silence.end_s - silence.start_s)
    return longest


def _median_and_spread(counts: Counter[int]) -> tuple[float, float]:
    """Return the median of log lengths, and their spread: half the width of the middle 68 %."""
    lengths = sorted(counts)
    shares = np.cumsum([counts[length] for length in lengths]) / counts.total()
    low, median, high = (
        math.log(max(lengths[int(np.searchsorted(shares, share))], _MIN_FRAMES)) for share in (0.16, 0.5, 0.84)
    )
    return median, max((high - low) / 2, _LEAST_SPREAD)


def worst_of_each(anomalies: Iterable[Anomaly]) -> Iterator[Anomaly]:
    """Yield only the first anomaly of each utterance, in their order."""
    seen: set[str] = set()
    for anomaly in anomalies:
        if anomaly.utterance_id not in seen:
            seen.add(anomaly.utterance_id)
            yield anomaly
