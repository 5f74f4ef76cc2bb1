"""What the processes of the data check do: measure recordings, and hear whether they say their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.schema import PreprocessSettings
from processors.alignment.intervals import Alignment, AlignmentError
from processors.audio.audio_file import AudioError, audio_info, read_audio
from processors.data_check.clip_measures import ClipMeasures, loud_seconds, measure_clip
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.language_codes import is_english
from processors.text.tokens import Word
from processors.utterance import Utterance
from utils.process_pool import Note, Work

PRELOAD = ("processors.data_check.listening",)


@dataclass(frozen=True)
class Listen:
    """Measure a recording and, if asked, hear how well its text suits it."""

    utterance: Utterance


@dataclass(frozen=True)
class Compare:
    """Hear whether another text of the same length suits a recording better than its own, whose score is given."""

    utterance: Utterance
    score: float
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """What came of `Listen`.

    Attributes:
        utterance_id: whose.
        clip: None where the recording cannot be read.
        fault: why not, or what is wrong with the text.
        phones: of the text, as the front end of its language says it; empty where nobody asked for texts.
        is_compared: whether the words were looked for in the recording, as is done for English.
        score: how well they suit it; None where nobody looked or they were not found.
        unwritten_s: of the recording that are loud where no word lies.
        mos: predicted opinion; None where its package is missing.
    """

    utterance_id: str
    clip: ClipMeasures | None
    fault: str = ""
    phones: tuple[str, ...] = ()
    is_compared: bool = False
    score: float | None = None
    unwritten_s: float = 0.0
    mos: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the words were looked for and not found."""
        return self.is_compared and self.score is None


@dataclass(frozen=True)
class Compared:
    """What came of `Compare`: the first rival that suits the recording better, or none."""

    utterance_id: str
    text: str = ""
    score: float | None = None


def make_listener(settings: PreprocessSettings, with_texts: bool, with_mos: bool) -> Work:
    """Make what a process does with each `Listen` and `Compare`."""
    from processors.alignment.pocketsphinx_aligner import LONGEST_S, PocketsphinxAligner
    from processors.evaluation.perception import predicted_mos

    aligner = PocketsphinxAligner()
    front_ends = FrontEnds(settings)
    by_lexicon = settings.model_copy(update={"phone_extractor": "lexicon"})
    lexicons = front_ends if settings.phone_extractor == "lexicon" else FrontEnds(by_lexicon)

    def align(utterance: Utterance, text: str, waveform: Any, sample_rate: int) -> Alignment:
        tokens = lexicons[utterance.language].tokens(text)
        return aligner.align(utterance.id, waveform, sample_rate, tokens, utterance.speaker)

    def listen(utterance: Utterance) -> Heard:
        try:
            sample_rate = audio_info(utterance.audio_path).sample_rate
            waveform = read_audio(utterance.audio_path, sample_rate)
        except (AudioError, OSError) as error:
            return Heard(utterance.id, None, " ".join(str(error).split()))
        clip = measure_clip(waveform, sample_rate)
        mos = predicted_mos(waveform, sample_rate) if with_mos else None
        heard = Heard(utterance.id, clip, mos=mos)
        if not with_texts:
            return heard
        try:
            tokens = front_ends[utterance.language].tokens(utterance.text)
        except TextError as error:
            return replace(heard, fault=" ".join(str(error).split()))
        words = (token for token in tokens if isinstance(token, Word))
        heard = replace(heard, phones=tuple(phone for word in words for phone in word.pronunciations[0]))
        if not is_english(utterance.language) or clip.duration_s > LONGEST_S:
            return heard
        try:
            alignment = align(utterance, utterance.text, waveform, sample_rate)
        except AlignmentError:
            return replace(heard, is_compared=True)
        except TextError:  # such as phones that another front end than the lexicon's knows
            return heard
        silences = [(each.start_s, each.end_s) for each in alignment.phones if each.is_silence]
        unwritten_s = loud_seconds(waveform, sample_rate, silences)
        return replace(heard, is_compared=True, score=alignment.score, unwritten_s=unwritten_s)

    def compare(task: Compare) -> Compared:
        utterance = task.utterance
        sample_rate = audio_info(utterance.audio_path).sample_rate
        waveform = read_audio(utterance.audio_path, sample_rate)
        for text in task.rivals:
            try:
                score = align(utterance, text, waveform, sample_rate).score
            except (AlignmentError, TextError):
                continue
            if score is not None and score > task.score:
                return Compared(utterance.id, text, score)
        return Compared(utterance.id)

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
