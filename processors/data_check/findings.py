"""What is wrong with recordings, judged by their measures and by what is usual in their corpus."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from processors.data_check.measures import ClipMeasures
from processors.utterance import Utterance


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one recording.

    Attributes:
        utterance_id: whose.
        kind: as the columns of the table call it.
        told: what was found, for a person.
        severity: how far beyond its limit, to sort by.
        is_grave: whether training is better off without the recording; the others are worth a look.
    """

    utterance_id: str
    kind: str
    told: str
    severity: float
    is_grave: bool = True


# Beyond these a recording is bad anywhere; between them and what is usual in a corpus its own spread decides.
_CLIPPED_SHARE = 2e-4
_DC_OFFSET = 0.01
_LOWEST_SNR_DB = 10.0
_QUIET_ENOUGH_DB = 20.0  # in whatever company
_LONGEST_EDGE_S = 1.0
_LOWEST_LEVEL_DBFS = -45.0
_NARROWER_BAND = 0.85
# Robust deviations (of which one is a standard deviation where values are normal) from the corpus's median.
_FAR = 5.0
_SAME_SOUND = 0.97
_SAME_LENGTH = 0.03
_FEWEST_FOR_SPREAD = 20


def findings_of_sound(clips: Mapping[str, ClipMeasures]) -> Iterator[Finding]:
    """Judge recordings by their sound.

    Args:
        clips: of one corpus, by utterance id.
    """
    usual = {name: _Usual.of([getattr(clip, name) for clip in clips.values()]) for name in ("snr_db", "level_dbfs")}
    median_band = float(np.median([clip.bandwidth_hz for clip in clips.values()])) if clips else 0.0
    for id_, clip in clips.items():
        if clip.clipped_share > _CLIPPED_SHARE:
            yield Finding(
                id_,
                "clipping",
                f"{clip.clipped_share:.2%} of its samples lie on flat tops",
                clip.clipped_share / _CLIPPED_SHARE,
            )
        if abs(clip.dc_offset) > _DC_OFFSET:
            yield Finding(
                id_, "DC offset", f"its mean is {clip.dc_offset:+.3f} of full scale", abs(clip.dc_offset) / _DC_OFFSET
            )
        if clip.snr_db < min(max(_LOWEST_SNR_DB, usual["snr_db"].below), _QUIET_ENOUGH_DB):
            yield Finding(
                id_,
                "noise",
                f"speech is {clip.snr_db:.0f} dB above the noise; {usual['snr_db'].median:.0f} is usual here",
                usual["snr_db"].distance(clip.snr_db),
            )
        level = usual["level_dbfs"]
        if clip.level_dbfs < max(_LOWEST_LEVEL_DBFS, level.below) or clip.level_dbfs > level.above:
            yield Finding(
                id_,
                "level",
                f"speech is at {clip.level_dbfs:.0f} dBFS; {level.median:.0f} is usual here",
                level.distance(clip.level_dbfs),
            )
        for side, silence_s in (("leading", clip.leading_silence_s), ("trailing", clip.trailing_silence_s)):
            if silence_s > _LONGEST_EDGE_S:
                yield Finding(id_, f"{side} silence", f"{silence_s:.1f} s of {side} silence", silence_s, is_grave=False)
        if clip.bandwidth_hz < _NARROWER_BAND * median_band:
            yield Finding(
                id_,
                "bandwidth",
                f"nothing above {clip.bandwidth_hz:.0f} Hz; {median_band:.0f} Hz are usual here",
                median_band / clip.bandwidth_hz,
            )


def findings_of_pace(clips: Mapping[str, ClipMeasures], sizes: Mapping[str, int], unit: str) -> Iterator[Finding]:
    """Judge how fast recordings speak their texts: far too fast or slow, text and recording differ.

    Args:
        clips: of one speaker, by utterance id.
        sizes: the length of each one's text.
        unit: what it counts, such as phones.
    """
    paces = {id_: sizes[id_] / clips[id_].speech_s for id_ in sizes if clips[id_].speech_s > 0 and sizes[id_]}
    if not paces:
        return
    usual = _Usual.of([float(np.log(pace)) for pace in paces.values()])
    for id_, pace in paces.items():
        if not usual.below <= np.log(pace) <= usual.above:
            yield Finding(
                id_,
                "speaking rate",
                f"{pace:.1f} {unit} per second; {np.exp(usual.median):.1f} are usual of this speaker",
                usual.distance(float(np.log(pace))),
            )


def findings_of_repetition(utterances: Sequence[Utterance], clips: Mapping[str, ClipMeasures]) -> Iterator[Finding]:
    """Find recordings and texts that are there twice; of each pair the later one is told.

    Recordings are the same by the shape of their spectrograms, at any level, rate or encoding.
    """
    known = [utterance for utterance in utterances if utterance.id in clips]
    by_length = sorted(known, key=lambda utterance: clips[utterance.id].speech_s)
    place = {utterance.id: number for number, utterance in enumerate(utterances)}
    lengths = np.array([clips[utterance.id].speech_s for utterance in by_length])
    prints = [clips[utterance.id].fingerprint for utterance in by_length]
    for number, utterance in enumerate(by_length):
        stop = int(np.searchsorted(lengths, lengths[number] * (1 + _SAME_LENGTH) + 0.03, side="right"))
        if number + 1 >= stop:
            continue
        likeness = np.stack(prints[number + 1 : stop]) @ prints[number]
        for other in np.flatnonzero(likeness > _SAME_SOUND):
            pair = sorted((utterance.id, by_length[number + 1 + int(other)].id), key=place.__getitem__)
            yield Finding(pair[1], "repeated recording", f"sounds like {pair[0]}", float(likeness[other]))
    first_with: dict[tuple[str, str], str] = {}
    for utterance in utterances:
        key = (utterance.speaker, _plain(utterance.text))
        if key[1] and (first := first_with.setdefault(key, utterance.id)) != utterance.id:
            yield Finding(utterance.id, "repeated text", f"says the same as {first}", 1.0, is_grave=False)


def _plain(text: str) -> str:
    letters = (
        c if unicodedata.category(c)[0] in "LNM" else " " for c in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(letters).split())


def findings_of_opinion(opinions: Mapping[str, float]) -> Iterator[Finding]:
    """Judge recordings by the opinion that is predicted of their listeners, by utterance id."""
    usual = _Usual.of(list(opinions.values()))
    for id_, opinion in opinions.items():
        if opinion < usual.below:
            told = f"listeners would give it {opinion:.1f} of 5; {usual.median:.1f} is usual here"
            yield Finding(id_, "predicted opinion", told, usual.distance(opinion), is_grave=False)


def by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    """Sort utterances by who speaks."""
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        speakers[utterance.speaker].append(utterance)
    return dict(speakers)


@dataclass(frozen=True)
class _Usual:
    """What is usual of a measure: its median, and the spread of the middle half of its values to either side."""

    median: float
    spread_below: float
    spread_above: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Usual:
        if len(values) < _FEWEST_FOR_SPREAD:  # too few to know what is usual
            return cls(float(np.median(values)) if values else 0.0, np.inf, np.inf)
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), *(max(float(width) / 0.6745, 1e-6) for width in (median - low, high - median)))

    @property
    def below(self) -> float:
        return self.median - _FAR * self.spread_below

    @property
    def above(self) -> float:
        return self.median + _FAR * self.spread_above

    def distance(self, value: float) -> float:
        """How many deviations lie between."""
        spread = self.spread_below if value < self.median else self.spread_above
        return abs(value - self.median) / spread
