"""Further training utterances made from those of a corpus: phrases cut out of them, and pairs of them joined.

Corpora of single sentences have neither single words nor pauses between sentences: models trained on them speak both
badly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from processors.datasets.acoustic_example import AcousticExample
from processors.features import Level
from processors.text.tokens import PAUSES, SILENCE
from processors.utterance import Utterance

WordPlaces = Callable[[int], tuple[Collection[int], Collection[int]]]
"""Returns the first phones of an utterance's words, and those of them that begin at a quiet moment."""

_MIN_PAUSE_S = 0.058
"""A shorter pause may be a stop consonant's closure: no phrase ends there."""
_EDGE_S = 0.1
"""Silence that a phrase keeps of the pauses around it, at most."""
_SHORTEST_SILENCE_S, _LONGEST_SILENCE_S = 0.3, 0.7
_WORDS_AMONG_PHRASES = 0.25
_MIN_WORD_S = 0.25
"""A shorter word, such as an unstressed "it", is not like one spoken alone."""
_MIN_SOURCE_S = 0.09
"""A shorter pause is no source of silence: too much of it is the decay of speech."""


@dataclass(frozen=True)
class FurtherSettings:
    """How many further utterances to make, and what they look like.

    Attributes:
        phrases_share: phrases and single words, over the number of whole utterances; as many as there are, if that is
            fewer.
        joined_share: joined pairs, likewise.
        frame_s: seconds per frame.
        max_duration_s: no pair is longer.
        textgrid_dirs: dataset to the user's TextGrids of it, if any; stage 1's own need not be named.
    """

    phrases_share: float
    joined_share: float
    frame_s: float
    max_duration_s: float
    textgrid_dirs: Mapping[str, Path] = field(default_factory=dict)


class FurtherUtterance(Protocol):
    """A recipe for one further utterance.

    Attributes:
        origin: index of the utterance whose corpus and speaker it has.
        frames: its length.
    """

    @property
    def origin(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def make(
        self,
        read: Callable[[int], AcousticExample],
        levels: Mapping[str, Level | None],
        symbol_ids: Mapping[str, int],
    ) -> AcousticExample:
        """Make it.

        Args:
            read: returns a whole utterance by its index.
            levels: of its `pitch` and `energy`.
            symbol_ids: number of each pause symbol.
        """


@dataclass(frozen=True)
class Phrase:
    """The phones between two pauses of an utterance, or the last word there, and a little of the pauses.

    Attributes:
        origin: index of the utterance.
        first, last: indices of the pauses among its phones; `first` is the phone before a word cut off from another.
        edges: frames that are kept of each; none of a phone.
        end: symbol of the last pause.
        frames: see `FurtherUtterance`.
    """

    origin: int
    first: int
    last: int
    edges: tuple[int, int]
    end: str
    frames: int

    def make(
        self,
        read: Callable[[int], AcousticExample],
        levels: Mapping[str, Level | None],
        symbol_ids: Mapping[str, int],
    ) -> AcousticExample:
        whole = read(self.origin)
        stops = np.cumsum(whole.durations)
        before, after = self.edges
        frames = np.arange(stops[self.first] - before, stops[self.last - 1] + after)
        cut = _selected(whole, slice(self.first, self.last + 1), frames, levels)
        if before == 0 < cut.durations[0]:
            cut = _with_empty_first(cut, levels)
        ids, durations = cut.phoneme_ids.copy(), cut.durations.copy()
        ids[0], ids[-1] = symbol_ids[SILENCE], symbol_ids[self.end]
        durations[0], durations[-1] = before, after
        return replace(cut, id=f"{whole.id}[{self.first}:{self.last}]", phoneme_ids=ids, durations=durations)


@dataclass(frozen=True)
class JoinedPair:
    """Two utterances of one speaker with a silence between them.

    Attributes:
        origin: index of the first.
        second: index of the second.
        source: index of the utterance, and of the pause among its phones, from which the silence comes.
        silence: its frames; what the two have at the seam is part of it.
        kept: frames of the seam's pauses that stay, of the first and of the second.
        frames: see `FurtherUtterance`.
    """

    origin: int
    second: int
    source: tuple[int, int]
    silence: int
    kept: tuple[int, int]
    frames: int

    def make(
        self,
        read: Callable[[int], AcousticExample],
        levels: Mapping[str, Level | None],
        symbol_ids: Mapping[str, int],
    ) -> AcousticExample:
        first, second, source = read(self.origin), read(self.second), read(self.source[0])
        spoken = len(first.mel) - int(first.durations[-1])
        head = _selected(first, slice(None), np.arange(spoken + self.kept[0]), levels)
        start = int(second.durations[0])
        tail = _selected(second, slice(1, None), np.arange(start - self.kept[1], len(second.mel)), levels)
        pause = self.source[1]
        stop = int(np.cumsum(source.durations)[pause])
        source_frames = np.arange(stop - int(source.durations[pause]), stop)
        filling = _back_and_forth(source_frames, self.silence - sum(self.kept))
        gap = _selected(source, slice(0, 0), filling, levels)
        durations = np.concatenate([head.durations, tail.durations])
        durations[len(head.durations) - 1] = self.silence
        parts = (head, gap, tail)
        return AcousticExample(
            id=f"{first.id}+{second.id}",
            speaker_id=first.speaker_id,
            phoneme_ids=np.concatenate([part.phoneme_ids for part in parts]),
            durations=durations,
            mel=np.concatenate([part.mel for part in parts]),
            pitch=_concatenated([part.pitch for part in parts]),
            energy=_concatenated([part.energy for part in parts]),
        )


def further_utterances(
    utterances: Sequence[Utterance], settings: FurtherSettings, words: WordPlaces | None = None
) -> list[FurtherUtterance]:
    """Choose phrases, single words and pairs; the same for the same utterances and settings.

    Args:
        utterances: of the training split, with phones and durations.
        settings: how many of each.
        words: of the utterances, by index; None for no words cut off from others.
    """
    phrases = list(_phrases(utterances, settings.frame_s))
    generator = np.random.default_rng(len(utterances))
    count = round(settings.phrases_share * len(utterances))
    found = _words(utterances, words, settings.frame_s) if words is not None else iter(())
    single = list(islice(found, round(_WORDS_AMONG_PHRASES * count)))
    chosen = [phrases[index] for index in sorted(generator.permutation(len(phrases))[: count - len(single)])]
    return [*chosen, *single, *_pairs(utterances, settings, generator)]


def _phrases(utterances: Sequence[Utterance], frame_s: float) -> Iterator[Phrase]:
    """Yield the stretches between pauses of utterances that have a pause inside."""
    for index, utterance in enumerate(utterances):
        stretches = _stretches(utterance, frame_s)
        if len(stretches) > 1:
            yield from (_phrase(index, utterance, first, last, frame_s) for first, last in stretches)


def _words(utterances: Sequence[Utterance], words: WordPlaces, frame_s: float) -> Iterator[Phrase]:
    """Yield words at the end of a stretch, which are spoken most like single ones, of utterances drawn at random."""
    for index in np.random.default_rng((len(utterances), 1)).permutation(len(utterances)).tolist():
        utterance = utterances[index]
        starts, quiet = words(index)
        for first, last in _stretches(utterance, frame_s):
            start = max((start for start in starts if first < start < last), default=0)
            is_long = sum(utterance.durations[start:last]) * frame_s >= _MIN_WORD_S
            if start > first + 1 and start in quiet and is_long:
                yield _phrase(index, utterance, start - 1, last, frame_s)


def _stretches(utterance: Utterance, frame_s: float) -> list[tuple[int, int]]:
    """Return the indices of the pauses before and after each stretch of speech."""
    min_pause, end = round(_MIN_PAUSE_S / frame_s), len(utterance.phones) - 1
    inner = [
        place
        for place in range(1, end)
        if utterance.phones[place] in PAUSES and utterance.durations[place] >= min_pause
    ]
    return [(first, last) for first, last in pairwise([0, *inner, end]) if last - first > 1]


def _phrase(index: int, utterance: Utterance, first: int, last: int, frame_s: float) -> Phrase:
    phones, durations, edge = utterance.phones, utterance.durations, round(_EDGE_S / frame_s)
    edges = min(durations[first], edge) if phones[first] in PAUSES else 0, min(durations[last], edge)
    end = phones[last] if phones[last] not in (SILENCE, "sp") else ","
    return Phrase(index, first, last, edges, end, sum(durations[first + 1 : last]) + sum(edges))


def _pairs(
    utterances: Sequence[Utterance], settings: FurtherSettings, generator: np.random.Generator
) -> list[JoinedPair]:
    """Return pairs of utterances drawn at random, each speaker's as often as it has utterances."""
    count, frame_s = round(settings.joined_share * len(utterances)), settings.frame_s
    if not count:
        return []
    of_speaker: dict[str, list[int]] = {}
    for index, utterance in enumerate(utterances):
        of_speaker.setdefault(utterance.speaker, []).append(index)
    sources = {speaker: _sources(utterances, members, frame_s) for speaker, members in of_speaker.items()}
    shortest, longest = round(_SHORTEST_SILENCE_S / frame_s), round(_LONGEST_SILENCE_S / frame_s)
    most_frames = settings.max_duration_s / frame_s
    pairs: list[JoinedPair] = []
    for _ in range(count):
        first = int(generator.integers(len(utterances)))
        speaker = utterances[first].speaker
        second = int(generator.choice(of_speaker[speaker]))
        silence = int(generator.integers(shortest, longest + 1))
        place = int(generator.integers(2**31))
        if not sources[speaker] or first == second:
            continue
        durations, others = utterances[first].durations, utterances[second].durations
        kept = min(durations[-1], silence // 3), min(others[0], silence // 3)
        frames = sum(durations[:-1]) + silence + sum(others[1:])
        if frames <= most_frames:
            source = sources[speaker][place % len(sources[speaker])]
            pairs.append(JoinedPair(first, second, source, silence, kept, frames))
    return pairs


def _sources(utterances: Sequence[Utterance], members: Sequence[int], frame_s: float) -> list[tuple[int, int]]:
    """Return the pauses, as (utterance, phone), that are long enough to take silence from."""
    min_source = round(_MIN_SOURCE_S / frame_s)
    return [
        (index, place)
        for index in members
        for place, (phone, duration) in enumerate(
            zip(utterances[index].phones, utterances[index].durations, strict=True)
        )
        if phone in PAUSES and duration >= min_source
    ]


def _selected(
    example: AcousticExample, phones: slice, frames: np.ndarray, levels: Mapping[str, Level | None]
) -> AcousticExample:
    """Return an example with these phones and these frames; durations are not adapted to the frames."""

    def chosen(values: np.ndarray | None, level: Level | None) -> np.ndarray | None:
        if values is None:
            return None
        return values[phones] if level == "phone" else values[frames]

    return replace(
        example,
        phoneme_ids=example.phoneme_ids[phones],
        durations=example.durations[phones],
        mel=example.mel[frames],
        pitch=chosen(example.pitch, levels["pitch"]),
        energy=chosen(example.energy, levels["energy"]),
    )


def _with_empty_first(example: AcousticExample, levels: Mapping[str, Level | None]) -> AcousticExample:
    """Return an example whose first phone has the prosody of the next, as any phone of no frames."""

    def filled(values: np.ndarray | None, level: Level | None) -> np.ndarray | None:
        return np.concatenate([values[1:2], values[1:]]) if values is not None and level == "phone" else values

    pitch, energy = filled(example.pitch, levels["pitch"]), filled(example.energy, levels["energy"])
    return replace(example, pitch=pitch, energy=energy)


def _back_and_forth(frames: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of these frames, from first to last, back again, and so on, without a jump."""
    steps = np.arange(count) % (2 * len(frames))
    return frames[np.minimum(steps, 2 * len(frames) - 1 - steps)]


def _concatenated(values: Sequence[Any]) -> np.ndarray | None:
    return None if values[0] is None else np.concatenate(values)
