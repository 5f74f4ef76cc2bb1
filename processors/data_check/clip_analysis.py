"""Worker process of the data check: measures recordings, and scores how well texts match them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from config.schema import PreprocessSettings
from processors.alignment.intervals import Alignment, AlignmentError
from processors.audio.audio_file import AudioError, read_recording
from processors.data_check.clip_measures import ClipMeasures, loud_seconds, measure_clip
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.language_codes import is_english
from processors.text.tokens import Word
from processors.utterance import Utterance
from utils.process_pool import Note, Work

PRELOAD = ("processors.data_check.clip_analysis",)


@dataclass(frozen=True)
class AnalyzeClip:
    """Task: measure a recording and, if requested, score its text."""

    utterance: Utterance


@dataclass(frozen=True)
class CompareTexts:
    """Task: find an alternative text of the same length that matches a recording better than its own, scored text."""

    utterance: Utterance
    score: float
    alternatives: tuple[str, ...]


@dataclass(frozen=True)
class ClipAnalysis:
    """The result of `AnalyzeClip`.

    Attributes:
        utterance_id: of the recording.
        clip: its measures; None if it cannot be read.
        fault: why not, or what is wrong with the text.
        phones: of the text, by the front end of its language; empty if texts are not checked.
        is_compared: whether the text was aligned with the recording, as is done for English.
        score: of that alignment; None if there is none or it failed.
        unwritten_s: seconds of the recording that are loud outside words.
        mos: predicted mean opinion score; None if its package is missing.
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
    def alignment_failed(self) -> bool:
        """Whether alignment was tried and failed."""
        return self.is_compared and self.score is None


@dataclass(frozen=True)
class TextComparison:
    """The result of `CompareTexts`: the first alternative that matches the recording better, if any."""

    utterance_id: str
    text: str = ""
    score: float | None = None


def make_analyzer(settings: PreprocessSettings, with_texts: bool, with_mos: bool) -> Work:
    """Return the work of one process: run tasks `AnalyzeClip` and `CompareTexts`."""
    from processors.alignment.pocketsphinx_aligner import MAX_S, PocketsphinxAligner
    from processors.evaluation.measures.dnsmos import dnsmos

    aligner = PocketsphinxAligner()
    front_ends = FrontEnds(settings)
    by_lexicon = settings.model_copy(update={"phone_extractor": "lexicon"})
    lexicon_front_ends = front_ends if settings.phone_extractor == "lexicon" else FrontEnds(by_lexicon)

    def align(utterance: Utterance, text: str, waveform: Any, sample_rate: int) -> Alignment:
        tokens = lexicon_front_ends[utterance.language].tokens(text)
        return aligner.align(utterance.id, waveform, sample_rate, tokens)

    def analyze(utterance: Utterance) -> ClipAnalysis:
        try:
            recording = read_recording(utterance.audio_path)
        except (AudioError, OSError) as error:
            return ClipAnalysis(utterance.id, None, " ".join(str(error).split()))
        sample_rate = recording.sample_rate
        waveform = recording.at(sample_rate)
        clip = replace(measure_clip(waveform, sample_rate), scaled_by=recording.scaled_by)
        mos = dnsmos(waveform, sample_rate) if with_mos else None
        analysis = ClipAnalysis(utterance.id, clip, mos=mos)
        if not with_texts:
            return analysis
        try:
            tokens = front_ends[utterance.language].tokens(utterance.text)
        except TextError as error:
            return replace(analysis, fault=" ".join(str(error).split()))
        words = (token for token in tokens if isinstance(token, Word))
        analysis = replace(analysis, phones=tuple(phone for word in words for phone in word.pronunciations[0]))
        if not is_english(utterance.language) or clip.duration_s > MAX_S:
            return analysis
        try:
            alignment = align(utterance, utterance.text, waveform, sample_rate)
        except AlignmentError:
            return replace(analysis, is_compared=True)
        except TextError:  # such as phones of another front end than the lexicon's
            return analysis
        silences = [(each.start_s, each.end_s) for each in alignment.phones if each.is_silence]
        unwritten_s = loud_seconds(waveform, sample_rate, silences)
        return replace(analysis, is_compared=True, score=alignment.score, unwritten_s=unwritten_s)

    def compare(task: CompareTexts) -> TextComparison:
        utterance = task.utterance
        recording = read_recording(utterance.audio_path)
        sample_rate, waveform = recording.sample_rate, recording.at(recording.sample_rate)
        for text in task.alternatives:
            try:
                score = align(utterance, text, waveform, sample_rate).score
            except (AlignmentError, TextError):
                continue
            if score is not None and score > task.score:
                return TextComparison(utterance.id, text, score)
        return TextComparison(utterance.id)

    def work(task: AnalyzeClip | CompareTexts, note: Note) -> ClipAnalysis | TextComparison:
        return analyze(task.utterance) if isinstance(task, AnalyzeClip) else compare(task)

    return work


def alternative_texts(
    utterance: Utterance, utterances: Sequence[Utterance], sizes: Mapping[str, int], number: int
) -> tuple[str, ...]:
    """Return other texts nearest in length, so that length does not decide which matches better."""
    own = sizes[utterance.id]
    others = {
        other.text: abs(sizes[other.id] - own)
        for other in utterances
        if sizes.get(other.id) and other.text != utterance.text
    }
    return tuple(sorted(others, key=lambda text: (others[text], text))[:number])
