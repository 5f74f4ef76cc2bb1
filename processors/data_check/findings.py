"""Findings about recordings: measures beyond fixed limits, or far from the rest of their corpus."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from processors.audio.bandwidth import NARROWER_BAND
from processors.data_check.clip_analysis import ClipAnalysis, TextComparison
from processors.data_check.clip_measures import ClipMeasures
from processors.utterance import Utterance


@dataclass(frozen=True)
class Finding:
    """One fault of one recording.

    Attributes:
        utterance_id: of the recording.
        kind: such as `clipping`.
        description: in words.
        severity: for sorting; the greater, the worse.
        leaves_out: whether the recording should be left out of training; others are worth a look.
    """

    utterance_id: str
    kind: str
    description: str
    severity: float
    leaves_out: bool = True


# Fixed limits; within them, a recording is compared with the median and spread of its corpus.
_CLIPPED_SHARE = 2e-4
_DC_OFFSET = 0.01
_MIN_SNR_DB = 10.0
_QUIET_ENOUGH_DB = 20.0  # in any corpus
_MAX_EDGE_S = 1.0
_MIN_LEVEL_DBFS = -45.0
_TWICE_AS_LOUD_DB = 10.0  # as perceived
_MAX_NARROW = 0.25  # if more of a speaker's recordings are narrow, they were made that way; a person should decide
# Robust z-scores: 1 is a standard deviation of normally distributed values.
_MAX_Z_SCORE = 5.0
# Of pocketsphinx's scores; below -3 the recording says other words.
_SUSPICIOUS = 2.0
_OTHER_WORDS = -3.0
_MAX_UNWRITTEN_S = 0.25  # a syllable; ends of words in pauses are shorter
_EDGE_UNITS = 6
_SAME_SOUND = 0.97
_SAME_LENGTH = 0.03
_MIN_FOR_SPREAD = 20


def findings_of_sound(
    clips: Mapping[str, ClipMeasures], speaker_of: Mapping[str, str], highest_hz: float
) -> Iterator[Finding]:
    """Yield findings about level, noise, clipping, silence and bandwidth.

    Args:
        clips: of one corpus, by utterance id.
        speaker_of: speaker by utterance id; level and noise are compared within a speaker, since rooms differ.
        highest_hz: half the sample rate of training; a bandwidth above it is no fault.
    """
    snr_db = _statistics_by_speaker({id_: clip.snr_db for id_, clip in clips.items()}, speaker_of)
    level_dbfs = _statistics_by_speaker({id_: clip.level_dbfs for id_, clip in clips.items()}, speaker_of)
    bands = {id_: min(clip.bandwidth_hz, highest_hz) for id_, clip in clips.items()}
    median_band = {speaker: each.median for speaker, each in _statistics_by_speaker(bands, speaker_of).items()}
    narrow = {id_ for id_, band in bands.items() if band < NARROWER_BAND * median_band[speaker_of[id_]]}
    n_narrow, n_recordings = Counter(speaker_of[id_] for id_ in narrow), Counter(speaker_of[id_] for id_ in clips)
    for id_, clip in clips.items():
        if clip.clipped_share > _CLIPPED_SHARE:
            yield Finding(
                id_,
                "clipping",
                f"{clip.clipped_share:.2%} of its samples lie on flat tops",
                clip.clipped_share / _CLIPPED_SHARE,
            )
        if clip.scaled_by < 1.0:
            yield Finding(
                id_, "full scale", f"peaks at {1 / clip.scaled_by:.2f}, scaled down to 1", 1 / clip.scaled_by, False
            )
        if abs(clip.dc_offset) > _DC_OFFSET:
            yield Finding(
                id_, "DC offset", f"its mean is {clip.dc_offset:+.3f} of full scale", abs(clip.dc_offset) / _DC_OFFSET
            )
        snr = snr_db[speaker_of[id_]]
        if clip.snr_db < min(max(_MIN_SNR_DB, snr.below), _QUIET_ENOUGH_DB):
            yield Finding(
                id_,
                "noise",
                f"speech is {clip.snr_db:.0f} dB above the noise (median {snr.median:.0f} dB)",
                snr.z_score(clip.snr_db),
            )
        level = level_dbfs[speaker_of[id_]]
        if clip.level_dbfs < max(_MIN_LEVEL_DBFS, level.below) or clip.level_dbfs > level.above:
            yield Finding(
                id_,
                "level",
                f"speech is at {clip.level_dbfs:.0f} dBFS (median {level.median:.0f} dBFS)",
                level.z_score(clip.level_dbfs),
                leaves_out=clip.level_dbfs < _MIN_LEVEL_DBFS or abs(clip.level_dbfs - level.median) > _TWICE_AS_LOUD_DB,
            )
        for side, silence_s in (("leading", clip.leading_silence_s), ("trailing", clip.trailing_silence_s)):
            if silence_s > _MAX_EDGE_S:
                yield Finding(
                    id_, f"{side} silence", f"{silence_s:.1f} s of {side} silence", silence_s, leaves_out=False
                )
        if id_ in narrow:
            speaker = speaker_of[id_]
            yield Finding(
                id_,
                "bandwidth",
                f"nothing above {clip.bandwidth_hz:.0f} Hz (median {median_band[speaker]:.0f} Hz)",
                median_band[speaker] / clip.bandwidth_hz,
                leaves_out=n_narrow[speaker] <= _MAX_NARROW * n_recordings[speaker],
            )


def _statistics_by_speaker(values: Mapping[str, float], speaker_of: Mapping[str, str]) -> dict[str, _RobustStatistics]:
    """Return median and spread for each speaker; those of the whole corpus for speakers with few recordings."""
    of_speakers: dict[str, list[float]] = defaultdict(list)
    for id_, value in values.items():
        of_speakers[speaker_of[id_]].append(value)
    of_all = _RobustStatistics.from_values([*values.values()])
    return {
        speaker: _RobustStatistics.from_values(own) if len(own) >= _MIN_FOR_SPREAD else of_all
        for speaker, own in of_speakers.items()
    }


def narrow_speakers(
    clips: Mapping[str, ClipMeasures], speaker_of: Mapping[str, str], highest_hz: float
) -> dict[str, float]:
    """Return speakers whose median bandwidth is far below half the sample rate of training, with it in Hz."""
    bands: dict[str, list[float]] = defaultdict(list)
    for id_, clip in clips.items():
        bands[speaker_of[id_]].append(clip.bandwidth_hz)
    medians = {speaker: float(np.median(own)) for speaker, own in bands.items()}
    return {speaker: median for speaker, median in medians.items() if median < NARROWER_BAND * highest_hz}


def suspicious_score(scores: Sequence[float]) -> float:
    """Return the score below which a text is compared with others; a few per cent of a good corpus are.

    Taken from the better half of the scores, so that in a corpus of many wrong texts most of these are below it.
    """
    if len(scores) < _MIN_FOR_SPREAD:
        return math.inf
    statistics = _RobustStatistics.from_values(scores)
    return statistics.median - _SUSPICIOUS * statistics.spread_above


def findings_of_text(
    analyses: Mapping[str, ClipAnalysis], compared: Mapping[str, TextComparison], sounds_bad: Container[str]
) -> Iterator[Finding]:
    """Yield findings about texts that do not match their recordings.

    Args:
        analyses: of one corpus, by utterance id.
        compared: comparisons with other texts, by utterance id.
        sounds_bad: recordings with faults of sound, which explain low scores.
    """
    statistics = _RobustStatistics.from_values([each.score for each in analyses.values() if each.score is not None])
    for id_, each in analyses.items():
        alternative = compared.get(id_)
        if each.alignment_failed:
            yield Finding(id_, "text", "its words cannot be aligned with the recording", 2 * _MAX_Z_SCORE)
        elif each.score is None:
            continue
        elif alternative and alternative.score is not None:
            description = f"another text matches the recording better: {alternative.text!r}"
            yield Finding(id_, "text", description, _MAX_Z_SCORE + alternative.score - each.score)
        elif each.unwritten_s > _MAX_UNWRITTEN_S:
            description = f"{each.unwritten_s:.1f} s of the recording are loud outside the words of the text"
            yield Finding(id_, "text", description, each.unwritten_s / _MAX_UNWRITTEN_S)
        elif each.score < statistics.below and id_ not in sounds_bad:
            description = f"low alignment score {each.score:.1f} (median {statistics.median:.1f})"
            yield Finding(id_, "text", description, statistics.z_score(each.score), each.score < _OTHER_WORDS)


def findings_of_pace(
    clips: Mapping[str, ClipMeasures], sizes: Mapping[str, int], unit: str, aligned: Container[str] = ()
) -> Iterator[Finding]:
    """Yield findings about speaking rate; if it is far too fast or slow, text and recording differ.

    The expected length of a recording is proportional to its phones, plus some for edges and the lengthened end; since
    phones vary independently, the deviation grows with the square root of the length.

    Args:
        clips: of one speaker, by utterance id.
        sizes: the lengths of their texts, in units.
        unit: their name, such as phones.
        aligned: those whose alignment succeeded; their rate is no reason to leave them out.
    """
    seconds = {id_: clips[id_].speech_s for id_ in sizes if clips[id_].speech_s > 0 and sizes[id_]}
    if not seconds:
        return
    unit_s = float(np.median([length / (sizes[id_] + _EDGE_UNITS) for id_, length in seconds.items()]))
    expected = {id_: unit_s * (sizes[id_] + _EDGE_UNITS) for id_ in seconds}
    excess = {id_: (length - expected[id_]) / math.sqrt(expected[id_]) for id_, length in seconds.items()}
    statistics = _RobustStatistics.from_values([*excess.values()])
    for id_, length in seconds.items():
        if not statistics.below <= excess[id_] <= statistics.above:
            yield Finding(
                id_,
                "speaking rate",
                f"{sizes[id_] / length:.1f} {unit} per second ({sizes[id_] / expected[id_]:.1f} expected of this "
                "speaker in a text of this length)",
                statistics.z_score(excess[id_]),
                leaves_out=id_ not in aligned,
            )


def findings_of_repetition(
    utterances: Sequence[Utterance], clips: Mapping[str, ClipMeasures], faulty: Container[str] = ()
) -> Iterator[Finding]:
    """Yield findings about repeated recordings and texts, for all but the first occurrence.

    Recordings are compared by their fingerprints, at any level, sample rate or encoding.

    Args:
        utterances: of one corpus.
        clips: of readable recordings, by utterance id.
        faulty: those left out for other reasons, which count as later than good ones.
    """
    readable = sorted((each for each in utterances if each.id in clips), key=lambda each: each.id in faulty)
    for again, (first, similarity) in _repetitions([each.id for each in readable], clips).items():
        yield Finding(again, "repeated recording", f"same sound as {first}", similarity)
    first_with: dict[tuple[str, str], str] = {}
    for utterance in readable:
        key = (utterance.speaker, _normalized(utterance.text))
        if key[1] and (first := first_with.setdefault(key, utterance.id)) != utterance.id:
            yield Finding(utterance.id, "repeated text", f"same text as {first}", 1.0, leaves_out=False)


def _repetitions(ids: Sequence[str], clips: Mapping[str, ClipMeasures]) -> dict[str, tuple[str, float]]:
    """Return for each repeated recording the first one like it, and their similarity."""
    order = {id_: number for number, id_ in enumerate(ids)}
    by_length = sorted(ids, key=lambda id_: clips[id_].speech_s)
    lengths = np.array([clips[id_].speech_s for id_ in by_length])
    prints = np.stack([clips[id_].fingerprint for id_ in by_length]) if by_length else np.empty((0, 1))
    stops = np.searchsorted(lengths, lengths * (1 + _SAME_LENGTH) + 0.03, side="right")
    found: dict[str, tuple[str, float]] = {}
    for number, (id_, stop) in enumerate(zip(by_length, stops, strict=True)):
        similarity = prints[number + 1 : stop] @ prints[number]
        for other in np.flatnonzero(similarity > _SAME_SOUND):
            first, again = sorted((id_, by_length[number + 1 + int(other)]), key=order.__getitem__)
            if again not in found or order[first] < order[found[again][0]]:
                found[again] = (first, float(similarity[other]))
    return found


def _normalized(text: str) -> str:
    letters = (
        c if unicodedata.category(c)[0] in "LNM" else " " for c in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(letters).split())


def findings_of_opinion(opinions: Mapping[str, float]) -> Iterator[Finding]:
    """Yield findings about low predicted mean opinion scores (by utterance id)."""
    statistics = _RobustStatistics.from_values(list(opinions.values()))
    for id_, opinion in opinions.items():
        if opinion < statistics.below:
            description = f"predicted opinion score {opinion:.1f} of 5 (median {statistics.median:.1f})"
            yield Finding(id_, "predicted opinion", description, statistics.z_score(opinion), leaves_out=False)


def by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    """Group utterances by speaker."""
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        speakers[utterance.speaker].append(utterance)
    return dict(speakers)


@dataclass(frozen=True)
class _RobustStatistics:
    """A measure's median, and its standard deviation to either side, estimated from the quartiles."""

    median: float
    spread_below: float
    spread_above: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> _RobustStatistics:
        if len(values) < _MIN_FOR_SPREAD:
            return cls(float(np.median(values)) if values else 0.0, np.inf, np.inf)
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), *(max(float(width) / 0.6745, 1e-6) for width in (median - low, high - median)))

    @property
    def below(self) -> float:
        return self.median - _MAX_Z_SCORE * self.spread_below

    @property
    def above(self) -> float:
        return self.median + _MAX_Z_SCORE * self.spread_above

    def z_score(self, value: float) -> float:
        """Return the robust z-score, without its sign."""
        spread = self.spread_below if value < self.median else self.spread_above
        return abs(value - self.median) / spread
