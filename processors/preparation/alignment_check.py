"""What looks wrong in where an aligner has found the phones: phones of improbable length, and silence inside speech."""

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
"""How many spreads from the usual a phone's length, as a logarithm, or a score may lie."""
LONGEST_SILENCE_S = 0.2
"""What may be silent where no pause is marked: closures of stops are shorter."""

# Fewer examples of a phone do not show how long it usually is; all phones together do.
_FEWEST = 20
_LEAST_SPREAD = math.log(1.3)
# Where one frame more or less is a great part of a phone, its logarithm alone says little.
_LEAST_DIFFERENCE_S = 0.06
_SHORTEST_FRAMES = 0.5  # stands for a phone that lasts no frame
_QUIET_DB, _ABOVE_FLOOR_DB, _FARTHEST_DB = 40.0, 6.0, 25.0


@dataclass(frozen=True)
class Doubt:
    """Something that looks wrong in an alignment.

    Attributes:
        utterance_id: of the recording.
        kind: `length`, `silence` or `score`.
        size: how far it goes, of what is usual; more than 1 is improbable.
        told: in words.
    """

    utterance_id: str
    kind: str
    size: float
    told: str


class AlignmentCheck:
    """Collects what a corpus's alignments look like, a few numbers per phone, to find those that are unlike the others.

    Args:
        seconds_per_frame: hop_size / sample_rate.
    """

    def __init__(self, seconds_per_frame: float) -> None:
        self._seconds_per_frame = seconds_per_frame
        self._numbers: dict[str, int] = {}
        self._counts: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._spoken: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
        self._silences: list[Doubt] = []
        self.scores: list[tuple[float, str]] = []
        """How well text and recording suit each other and id, of each utterance whose aligner says so."""

    def add(
        self,
        utterance: Utterance,
        *,
        energy: np.ndarray | None = None,
        score: float | None = None,
        silence_in_words_s: float = 0.0,
    ) -> None:
        """Take in one completed utterance.

        Args:
            utterance: with phones and durations.
            energy: (T_mel,) of its frames.
            score: of its aligner.
            silence_in_words_s: see `longest_silence_in_words`.
        """
        if score is not None:
            self.scores.append((score, utterance.id))
        if silence_in_words_s:
            self._silences.append(_doubt_of_silence(utterance.id, silence_in_words_s, "inside a word"))
        if not utterance.phones:
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
            if seconds > LONGEST_SILENCE_S:
                place = f"at {first * self._seconds_per_frame:.2f} s, where no pause is marked"
                self._silences.append(_doubt_of_silence(utterance.id, seconds, place))

    @property
    def n_checked(self) -> int:
        """How many utterances have phones."""
        return len(self._spoken)

    def doubts(self) -> list[Doubt]:
        """Give all that is improbable, the worst first."""
        found = [*self._of_lengths(), *self._silences, *self._of_scores()]
        return sorted(found, key=lambda doubt: (-doubt.size, doubt.utterance_id))

    def _of_lengths(self) -> Iterator[Doubt]:
        names = {number: name for name, number in self._numbers.items()}
        together: Counter[int] = sum(self._counts.values(), Counter())
        if together.total() < _FEWEST:
            return
        middle, spread = np.zeros(len(names)), np.zeros(len(names))
        for number, counts in self._counts.items():
            middle[number], spread[number] = _usual(counts if counts.total() >= _FEWEST else together)
        usual_ms = np.exp(middle) * self._seconds_per_frame * 1000
        least = _LEAST_DIFFERENCE_S / self._seconds_per_frame
        for utterance_id, numbers, durations, starts in self._spoken:
            logs = np.log(np.maximum(durations, _SHORTEST_FRAMES))
            sizes = np.abs(logs - middle[numbers]) / (SPREADS * spread[numbers])
            is_odd = (sizes > 1.0) & (np.abs(durations - np.exp(middle[numbers])) >= least)
            for place in np.flatnonzero(is_odd).tolist():
                number = int(numbers[place])
                told = (
                    f"{names[number]} at {starts[place] * self._seconds_per_frame:.2f} s lasts "
                    f"{durations[place] * self._seconds_per_frame * 1000:.0f} ms, {usual_ms[number]:.0f} ms is usual"
                )
                yield Doubt(utterance_id, "length", float(sizes[place]), told)

    def _of_scores(self) -> Iterator[Doubt]:
        if len(self.scores) < _FEWEST:
            return
        low, middle, high = np.percentile([score for score, _ in self.scores], [16, 50, 84])
        limit = SPREADS * max((high - low) / 2, 1e-3)
        for score, utterance_id in self.scores:
            if middle - score > limit:
                told = f"score {score:.2f}, {middle:.2f} is usual"
                yield Doubt(utterance_id, "score", float((middle - score) / limit), told)


def _doubt_of_silence(utterance_id: str, seconds: float, place: str) -> Doubt:
    return Doubt(utterance_id, "silence", seconds / LONGEST_SILENCE_S, f"{seconds * 1000:.0f} ms of silence {place}")


def longest_silence(energy: np.ndarray, is_pause: np.ndarray) -> tuple[int, int]:
    """Find the longest run of frames near the noise floor outside of marked pauses.

    Quiet is what lies 40 dB below the loud frames (their 90 % quantile), or, in a noisier recording, within 6 dB of the
    quietest (the 2 % quantile); but nothing less than 25 dB below the loud ones.

    Args:
        energy: (T_mel,) linear.
        is_pause: (T_mel,) frames of pauses.

    Returns:
        Its frames, and the first of them; (0, 0) where there is none.
    """
    level = 20.0 * np.log10(np.maximum(energy, 1e-9))
    floor, loud = np.percentile(level, [2, 90])
    limit = min(max(loud - _QUIET_DB, floor + _ABOVE_FLOOR_DB), loud - _FARTHEST_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], (level < limit) & ~is_pause, [False]]).astype(np.int8)))
    firsts, behinds = edges[::2], edges[1::2]
    if not len(firsts):
        return 0, 0
    longest = int(np.argmax(behinds - firsts))
    return int(behinds[longest] - firsts[longest]), int(firsts[longest])


def longest_silence_in_words(alignment: Alignment) -> float:
    """Give the seconds of the longest silence that an alignment has between two phones of one word; 0.0 for none."""
    words = [word for word in alignment.words if word.label]
    phones = alignment.phones
    longest, place = 0.0, 0
    for before, silence, behind in zip(phones, phones[1:], phones[2:], strict=False):
        if not silence.is_silence or before.is_silence or behind.is_silence:
            continue
        while place < len(words) and words[place].end_s <= silence.start_s:
            place += 1
        if place < len(words) and words[place].start_s < silence.start_s and words[place].end_s > silence.end_s:
            longest = max(longest, silence.end_s - silence.start_s)
    return longest


def _usual(counts: Counter[int]) -> tuple[float, float]:
    """Give the middle and the spread of the logarithm of lengths: half of where the middle 68 % lie."""
    lengths = sorted(counts)
    places = np.cumsum([counts[length] for length in lengths]) / counts.total()
    low, middle, high = (
        math.log(max(lengths[int(np.searchsorted(places, share))], _SHORTEST_FRAMES)) for share in (0.16, 0.5, 0.84)
    )
    return middle, max((high - low) / 2, _LEAST_SPREAD)


def worst_of_each(doubts: Iterable[Doubt]) -> Iterator[Doubt]:
    """Give each utterance's first doubt alone, in their order."""
    seen: set[str] = set()
    for doubt in doubts:
        if doubt.utterance_id not in seen:
            seen.add(doubt.utterance_id)
            yield doubt
