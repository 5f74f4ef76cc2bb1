"""What the processes of the data check do: measure recordings, and hear whether they say their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.schema import PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.audio.audio_file import AudioError, audio_info, read_audio
from processors.data_check.measures import ClipMeasures, measure_clip
from processors.preparation.work import make_front_end
from processors.text.phone_extractor import Word
from processors.text.symbols import UnknownPhoneError
from processors.text.text_error import TextError
from processors.utterance import Utterance
from utils.process_pool import Note, Work

PRELOAD = ("processors.data_check.listening",)
HEARS = {"phone_extractor": "lexicon", "language": "en"}
"""The settings under which recordings are compared with their texts: English, by the aligner that comes along."""


@dataclass(frozen=True)
class Listen:
    """Measure a recording and, if asked, hear how well its text suits it."""

    utterance: Utterance


@dataclass(frozen=True)
class Compare:
    """Hear whether other texts of the same length suit a recording better."""

    utterance: Utterance
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """What came of `Listen`.

    Attributes:
        utterance_id: whose.
        clip: None where the recording cannot be read.
        fault: why not, or what is wrong with the text.
        phones: of the text; empty where no front end reads it.
        score: how well the text suits the recording; None where nobody listened or the words were not found.
        is_lost: whether somebody listened and did not find the words.
        mos: predicted opinion; None where its package is missing.
    """

    utterance_id: str
    clip: ClipMeasures | None
    fault: str = ""
    phones: tuple[str, ...] = ()
    score: float | None = None
    is_lost: bool = False
    mos: float | None = None


@dataclass(frozen=True)
class Compared:
    """What came of `Compare`: the best rival and its score, None where the words of none were found."""

    utterance_id: str
    text: str
    score: float | None


def listens_to(settings: PreprocessSettings) -> bool:
    """Whether texts can be compared with recordings."""
    return all(getattr(settings, name) == value for name, value in HEARS.items())


def make_listener(settings: PreprocessSettings, with_mos: bool) -> Work:
    """Make what a process does with each `Listen` and `Compare`."""
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner
    from processors.judging.perception import predicted_mos

    front_end = make_front_end(settings)
    aligner = PocketsphinxAligner() if listens_to(settings) else None

    def score(utterance: Utterance, text: str, waveform: Any, sample_rate: int) -> float:
        assert aligner is not None
        alignment = aligner.align(utterance.id, waveform, sample_rate, front_end.tokens(text), utterance.speaker)
        return float(alignment.score if alignment.score is not None else 0.0)

    def listen(utterance: Utterance) -> Heard:
        try:
            sample_rate = audio_info(utterance.audio_path).sample_rate
            waveform = read_audio(utterance.audio_path, sample_rate)
        except (AudioError, OSError) as error:
            return Heard(utterance.id, None, " ".join(str(error).split()))
        clip = measure_clip(waveform, sample_rate)
        mos = predicted_mos(waveform, sample_rate) if with_mos else None
        try:
            words = [token for token in front_end.tokens(utterance.text) if isinstance(token, Word)]
        except (TextError, UnknownPhoneError) as error:
            return Heard(utterance.id, clip, " ".join(str(error).split()), mos=mos)
        phones = tuple(phone for word in words for phone in word.pronunciations[0])
        if aligner is None:
            return Heard(utterance.id, clip, phones=phones, mos=mos)
        try:
            found = score(utterance, utterance.text, waveform, sample_rate)
        except AlignmentError:
            return Heard(utterance.id, clip, phones=phones, is_lost=True, mos=mos)
        return Heard(utterance.id, clip, phones=phones, score=found, mos=mos)

    def compare(task: Compare) -> Compared:
        utterance = task.utterance
        sample_rate = audio_info(utterance.audio_path).sample_rate
        waveform = read_audio(utterance.audio_path, sample_rate)
        scores: dict[str, float] = {}
        for text in task.rivals:
            try:
                scores[text] = score(utterance, text, waveform, sample_rate)
            except (AlignmentError, TextError, UnknownPhoneError):
                continue
        best = max(scores, key=scores.__getitem__, default="")
        return Compared(utterance.id, best, scores.get(best))

    def work(task: Listen | Compare, note: Note) -> Heard | Compared:
        return listen(task.utterance) if isinstance(task, Listen) else compare(task)

    return work


def rivals_of(
    utterance: Utterance, utterances: Sequence[Utterance], sizes: Mapping[str, int], number: int
) -> tuple[str, ...]:
    """Choose other texts nearest in length: of two texts as long, the wrong one cannot hide behind its length."""
    own = sizes[utterance.id]
    others = {
        other.text: abs(sizes[other.id] - own)
        for other in utterances
        if sizes.get(other.id) and other.text != utterance.text
    }
    return tuple(sorted(others, key=lambda text: (others[text], text))[:number])
