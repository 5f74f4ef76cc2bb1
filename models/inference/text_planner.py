"""Planning of speech: texts with their front end, speaker and prosody resolved, ready for any runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from models.bundle import Bundle, BundleError
from models.contracts import UNCHANGED, Prosody, RecordedProsody, require_controls
from models.inference.given_durations import TimedTokens, VoiceRange, listed_symbols, recorded_symbols, timed_tokens
from models.inference.marked_speech import Run
from models.inference.prosody_rules import PitchScale
from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.symbol_prosody import (
    SymbolProsody,
    SynthesisError,
    on_words,
    require_plausible,
    symbol_prosody,
)
from models.inference.text_reader import TextReader
from models.layers.spoken_languages import SpokenLanguages
from models.registry import kind_of
from processors.speakers.statistics import SpeakerStatistics
from processors.text.chunks import SENTENCE_ENDS, split_into_chunks
from processors.text.marked_text import Markup
from processors.text.own_lexicon import LexiconLike
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import Pause, Token, Word
from utils.console import warn

_PHONES_TOGETHER = 100
"""Sentences share a chunk up to so many phones: about as many as a pair of utterances has in training."""

SENTENCE_PAUSE_S = 0.35
"""Pauses between sentences last at least so long unless asked otherwise, as in reading aloud."""

PARAGRAPH_PAUSE_S = 0.75
"""The same of pauses between paragraphs."""

_INSERTED_PAUSES = ("sp", ",", "sil")
"""Symbols for a pause that the text does not have, the best first."""


class TextPlanner:
    """The part of a synthesizer that needs no network, nor torch: texts in, plans out; thread-safe.

    Args:
        bundle: of an acoustic model; its weights are not read.
        sentence_pause_s: least pause between two sentences, from 0 to 10 seconds.
        paragraph_pause_s: the same between two paragraphs.
        lexicon: pronunciations of all texts, over those of the bundle; see `OwnLexicon`.

    Attributes:
        settings: of the acoustic model's training.

    Raises:
        SynthesisError: a pause is out of range.
        BundleError: the bundle holds no acoustic model, or lacks what its front end needs.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        sentence_pause_s: float = SENTENCE_PAUSE_S,
        paragraph_pause_s: float = PARAGRAPH_PAUSE_S,
        lexicon: LexiconLike = None,
    ) -> None:
        for name, pause_s in (("sentence_pause_s", sentence_pause_s), ("paragraph_pause_s", paragraph_pause_s)):
            if not 0 <= pause_s <= 10:
                raise SynthesisError(f"{name}: found {pause_s:g}; expected 0 to 10 seconds")
        if kind_of(bundle.settings.model_type) != "acoustic":
            raise BundleError(f"{bundle.folder}: holds a {bundle.settings.model_type}, which is not an acoustic model")
        bundle.require_front_end()
        assert bundle.symbols is not None
        self.settings = bundle.settings
        self._sentence_pause_s, self._paragraph_pause_s = sentence_pause_s, paragraph_pause_s
        self._symbols = bundle.symbols
        self._speakers = dict(bundle.speakers)
        by_row = sorted(self._speakers, key=lambda name: self._speakers[name])
        self._ranges = [_voice_range(bundle.statistics[name]) for name in by_row]
        preprocess = bundle.settings.preprocess
        self._languages = {name: bundle.languages.get(name, preprocess.language) for name in bundle.speakers}
        self._reader = TextReader(preprocess, bundle.symbols, bundle.lexicon_path, lexicon)
        for language in sorted(set(self._languages.values())):
            self.check_language(language)
        self._spoken = SpokenLanguages.of(bundle.speakers, bundle.languages, preprocess.language)

    @property
    def controls(self) -> frozenset[str]:
        """Names of the `Controls` that the model applies."""
        raise NotImplementedError

    @property
    def sample_rate(self) -> int:
        """Sample rate of the voice's waveforms, in Hz."""
        return self.settings.preprocess.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the model's speakers."""
        return tuple(self._speakers)

    @property
    def languages(self) -> Mapping[str, str]:
        """Default language of each speaker."""
        return MappingProxyType(self._languages)

    def plan(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> SpeechPlan:
        """Run the front end over a text and check the request.

        The later steps raise no errors of the user's, except for those of a pitch function.

        Args:
            text: of any length.
            speaker: one of `speakers`; needed where there are several.
            language: of the text; the speaker's default if None.
            prosody: what is to differ from what the voice predicts; in texts with marks, words are named by index.
            markup: whether the text is SSML: `ssml`, `none`, or by how it begins, `auto`; see `parts_of`.
            lexicon: pronunciations over those of the voice, as a file or by word; see `OwnLexicon`.

        Raises:
            MarkupError: the markup is not understood.
            SynthesisError: the text has no words, the speaker is unknown, a number is out of range, or the prosody is
                that of another text.
            ControlError: the model lacks one of the controls.
            TextError: the front end does not support the language or the text.
        """
        self.check_prosody(prosody)
        speaker_id, language = self._speaker_id(speaker), self._language(speaker, language)
        front_end = self._reader.front_end(language)
        read = self._reader.read(text, language, markup, lexicon, self._language_of)
        where = f"“{_shortened(text)}”"
        if read.prosody is UNCHANGED:
            prosody = on_words(prosody, text, front_end)
        else:
            if prosody.spans:
                raise SynthesisError("prosody: in a text with marks words are named by their index")
            prosody = on_words(read.prosody.combined(prosody), text, front_end)
            self.check_prosody(prosody)
        runs, timed = list(read.runs), None
        if prosody.recording is not None:
            if any(run.speaker is not None for run in runs):
                raise SynthesisError("prosody: a recording's is that of one speaker; the text names voices")
            timed = self._timed(prosody.recording, read.tokens)
            runs = [Run(None, list(timed.tokens))]
        runs = self._with_pauses(runs, prosody)
        # A model that has met several sentences at once speaks the melody and the pause between them.
        together = _PHONES_TOGETHER if self.settings.preprocess.joined_share else 0
        by_run = [(run, split_into_chunks(run.tokens, together_phones=together)) for run in runs]
        parts = [part for _, of_run in by_run for part in of_run]
        voices = [run.speaker for run, of_run in by_run for _ in of_run]
        ends = [run.ends_paragraph and part is of_run[-1] for run, of_run in by_run for part in of_run]
        sequences = [PhoneSequence.from_tokens(each, front_end.start) for each in parts]
        if not sequences:
            raise SynthesisError(f"{where}: has no words to synthesize")
        recorded = None
        if timed is not None and prosody.recording is not None:
            voice = self._ranges[speaker_id]
            recorded = list(recorded_symbols(prosody.recording, timed, parts, sequences, voice))
        elif prosody.durations_ms:
            recorded = list(listed_symbols(prosody.durations_ms, sequences, frames_per_s=self._frames_per_s))
        prosodies = symbol_prosody(prosody, sequences, recorded, frames_per_s=self._frames_per_s)
        chunks = [
            self._planned(each, tuple(self._symbols.ids(each.phones, where)), of_symbols, ends_paragraph=ends_paragraph)
            for each, of_symbols, ends_paragraph in zip(sequences, prosodies, ends, strict=True)
        ]
        chunks = [self._spoken_by(voice, chunk) for voice, chunk in zip(voices, chunks, strict=True)]
        row = self._spoken.row(language, speaker_id)
        chunks[-1] = replace(chunks[-1], last_pause=0, ends_paragraph=False)
        return SpeechPlan(text, tuple(chunks), read.source, speaker_id, prosody, row, read.marks)

    def _spoken_by(self, voice: str | None, chunk: PlannedChunk) -> PlannedChunk:
        """Return a chunk, spoken by a speaker in their language; by that of the whole text if None."""
        if voice is None:
            return chunk
        row = self._speaker_id(voice)
        return replace(chunk, speaker_id=row, language_id=self._spoken.row(self._language(voice, None), row))

    def check_language(self, language: str) -> None:
        """Raise a `TextError` unless the voice's front end supports a language."""
        self._reader.front_end(language)

    def check_speaker(self, speaker: str | None) -> None:
        """Raise a `SynthesisError` unless the voice has this speaker; None requires a voice of one speaker."""
        self._speaker_id(speaker)

    def check_prosody(self, prosody: Prosody) -> None:
        """Raise a `SynthesisError` for a number out of range, a `ControlError` for a control that the model lacks."""
        require_plausible(prosody)
        require_controls(self.controls, prosody, self.settings.model_type)

    @property
    def _frames_per_s(self) -> float:
        return self.sample_rate / self.settings.preprocess.hop_size

    def _planned(
        self, sequence: PhoneSequence, phoneme_ids: tuple[int, ...], prosody: SymbolProsody, *, ends_paragraph: bool
    ) -> PlannedChunk:
        """Return a chunk with the pauses between its sentences, and before the next sentence or paragraph."""
        pause = round(self._sentence_pause_s * self._frames_per_s)
        *inside, last = (pause if phone in SENTENCE_ENDS else 0 for phone in sequence.phones)
        if ends_paragraph:
            last = max(last, round(self._paragraph_pause_s * self._frames_per_s))
        if not np.isnan(prosody.frames[-1]):
            last = 0
        last = round(last * float(prosody.duration[-1]))
        return PlannedChunk(sequence, phoneme_ids, (*inside, 0), prosody, last, ends_paragraph=ends_paragraph)

    def _timed(self, recording: RecordedProsody, tokens: Sequence[Token]) -> TimedTokens:
        preprocess = self.settings.preprocess
        if preprocess.phone_extractor == "mixed":
            raise SynthesisError(f"{recording.where}: this voice reads letters, and takes no durations of phones")
        return timed_tokens(
            recording, tokens, self._symbols, hop_size=preprocess.hop_size, sample_rate=preprocess.sample_rate
        )

    def _with_pauses(self, runs: Sequence[Run], prosody: Prosody) -> list[Run]:
        """Return tokens with a symbol where a pause is asked for between two words, if the voice has one."""
        pause = next((Pause(each) for each in _INSERTED_PAUSES if each in self._symbols.symbols), None)
        if pause is None:
            return list(runs)
        with_pauses = []
        n_words = 0
        for run in runs:
            found: list[Token] = []
            for token in run.tokens:
                if isinstance(token, Word):
                    if n_words in prosody.pauses_ms and found and isinstance(found[-1], Word):
                        found.append(pause)
                    n_words += 1
                found.append(token)
            with_pauses.append(replace(run, tokens=found))
        return with_pauses

    def _language(self, speaker: str | None, language: str | None) -> str:
        if language is not None:
            return language
        if speaker is None and len(self._languages) == 1:
            return next(iter(self._languages.values()))
        return self._languages.get(speaker or "", self.settings.preprocess.language)

    def _language_of(self, speaker: str) -> str:
        """Return the language of a speaker that the voice has."""
        self.check_speaker(speaker)
        return self._language(speaker, None)

    def _speaker_id(self, speaker: str | None) -> int:
        if speaker is None and len(self._speakers) <= 1:
            return 0
        if speaker in self._speakers:
            return self._speakers[speaker]
        what = "name a speaker (--infer_speaker_name)" if speaker is None else f"speaker {speaker}: unknown"
        raise SynthesisError(f"{what}; known: {', '.join(self._speakers) or 'one, without a name'}")

    def _warn_of_limits(self, n_limited: int) -> None:
        """Warn that the F0 asked for was limited in so many phones, if any."""
        if n_limited:
            low, high = self.settings.preprocess.f0_min, self.settings.preprocess.f0_max
            warn(f"pitch: limited in {n_limited} phones to this voice's {low:g} to {high:g} Hz")

    def _pitch_scale(self, speaker_id: int) -> PitchScale:
        preprocess = self.settings.preprocess
        is_log = preprocess.pitch_scale == "log"
        return PitchScale(
            math.exp(self._ranges[speaker_id].mean), preprocess.f0_min, preprocess.f0_max, is_interpolated=is_log
        )


def _voice_range(statistics: SpeakerStatistics) -> VoiceRange:
    """Return the mean and standard deviation of the logarithm of F0; of statistics in Hz, approximately."""
    pitch = statistics.pitch
    if statistics.pitch_scale == "log":
        return VoiceRange(pitch.mean, pitch.std)
    return VoiceRange(math.log(pitch.mean), pitch.std / pitch.mean)


def _shortened(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
