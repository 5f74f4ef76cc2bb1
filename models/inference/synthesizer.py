"""Text to speech: an acoustic model with its front end, and a vocoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, tee
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.bundles.locate import find_bundle
from models.contracts import AS_PREDICTED, UNCHANGED, PhonemeBatch, Prosody, RecordedProsody, require_controls
from models.inference.given_durations import TimedTokens, VoiceRange, listed_symbols, recorded_symbols, timed_tokens
from models.inference.marked_speech import Run
from models.inference.prosody_rules import BatchProsody, PitchScale, with_levels
from models.inference.recorded_prosody import recorded_prosody
from models.inference.reference_recording import reference_mel
from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.symbol_prosody import (
    SymbolProsody,
    SynthesisError,
    on_words,
    require_plausible,
    symbol_prosody,
)
from models.inference.text_reader import TextReader
from models.inference.vocoder import Array, F0Vocoder, Vocoder, open_vocoder_for, waveforms_of
from models.layers.language_table import SpokenLanguages
from models.registry import kind_of, open_acoustic
from processors.alignment.durations import alignment_from_durations
from processors.alignment.intervals import Alignment
from processors.alignment.speech_times import SpeechTimes
from processors.audio.foreign_mels import MelScale, MelScaleError
from processors.speakers.statistics import SpeakerStatistics
from processors.text.chunks import SENTENCE_ENDS, split_into_chunks
from processors.text.marked_text import Markup
from processors.text.own_lexicon import LexiconLike
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import Pause, Token, Word
from processors.text.visemes import Spelling
from utils.console import warn
from utils.precision import Precision, fastest, why_not

_TEXTS_AT_ONCE = 64
_CHUNKS_PER_BATCH = 16
_PHONES_TOGETHER = 100
"""Sentences share a chunk up to so many phones: about as many as a pair of utterances has in training."""
_SENTENCE_PAUSE_S = 0.35
"""Pauses between sentences last at least so long unless asked otherwise, as in reading aloud."""
_PARAGRAPH_PAUSE_S = 0.75
"""The same of pauses between paragraphs."""
_INSERTED_PAUSES = ("sp", ",", "sil")
"""Symbols for a pause that the text does not have, the best first."""
_FIRST_CHUNKS = (48, 256)
"""Frames of the first pieces that a vocoder computes, so that the first sound comes early and none too late."""
_PHONES_AT_ONCE = 30
"""So many phones are too few to be cut into pieces."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Speech:
    """Synthesized speech of one text.

    Attributes:
        text: the input.
        waveform: (T_mel * hop_size,) float32 in [-1, 1].
        sample_rate: in Hz.
        mel: (M, T_mel) log-mel.
        f0_hz: (T_mel,) predicted pitch, in pauses and unvoiced phones too.
        phones: T_text symbols, pauses included.
        durations: (T_text,) frames per phone.
        alignment: when each word and phone is spoken, in seconds.
        times: likewise, with the words as written, visemes, marks and captions; `write_times` writes them.
    """

    text: str
    waveform: np.ndarray
    sample_rate: int
    mel: np.ndarray
    f0_hz: np.ndarray
    phones: tuple[str, ...]
    durations: np.ndarray
    alignment: Alignment
    times: SpeechTimes

    @property
    def marks(self) -> tuple[tuple[str, float], ...]:
        """Names of the text's marks with their times, in seconds."""
        return self.times.marks

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return len(self.waveform) / self.sample_rate


@dataclass(frozen=True)
class ChunkMel:
    """The outputs of the acoustic model for a `PlannedChunk`.

    Attributes:
        mel: (M, T_mel) log-mel.
        durations: (T_text,) frames per phone.
        f0_hz: (T_mel,) pitch.
        vocoder_f0_hz: (T_mel,) F0 for the vocoder, 0 where unvoiced; None to let it predict F0 from the mel.
    """

    mel: Tensor
    durations: np.ndarray
    f0_hz: np.ndarray
    vocoder_f0_hz: Tensor | None = None

    def with_silence(self, n_frames: int, after: int | None = None) -> ChunkMel:
        """Return it with so many more frames, if any, at the end of a symbol: copies of its quietest frame.

        Args:
            n_frames: how many.
            after: index of the symbol; None for the last one, -1 for the beginning of the first.
        """
        if n_frames <= 0:
            return self
        durations = self.durations.copy()
        symbol = len(durations) - 1 if after is None else after
        at = int(durations[: symbol + 1].sum())
        durations[max(symbol, 0)] += n_frames
        # The background noise of the recordings goes on; digital silence would stand out.
        quietest = self.mel[:, self.mel.exp().sum(dim=0).argmin()]
        silence = quietest[:, None].expand(-1, n_frames)
        voicing = self.vocoder_f0_hz
        if voicing is not None:
            voicing = torch.cat([voicing[:at], voicing.new_zeros(n_frames), voicing[at:]])
        return ChunkMel(
            torch.cat([self.mel[:, :at], silence, self.mel[:, at:]], dim=1),
            durations,
            np.insert(self.f0_hz, at, [self.f0_hz[max(at - 1, 0)]] * n_frames),
            voicing,
        )


@dataclass(frozen=True)
class PredictedMel:
    """A plan and the outputs of the acoustic model for each of its chunks."""

    plan: SpeechPlan
    chunks: tuple[ChunkMel, ...]

    @property
    def mels(self) -> tuple[Tensor, ...]:
        """The chunks' (M, T_mel) log-mels."""
        return tuple(chunk.mel for chunk in self.chunks)


class Synthesizer:
    """A voice: `Synthesizer.open("ckpts/tts/demo")("Hello there.")` returns a `Speech`.

    In three steps: `plan` runs the front end over a text, `mels` the acoustic model over plans, the vocoder computes
    the waveform; `speak` and `stream` join them. Thread-safe. The training data are not needed.

    Attributes:
        settings: of the acoustic model's training.
        device: of both networks.
        vocoder: a trained one or Griffin-Lim.
    """

    def __init__(
        self,
        bundle: Bundle,
        vocoder: Vocoder | None = None,
        device: torch.device | str = "cpu",
        precision: Precision | None = None,
        *,
        sentence_pause_s: float = _SENTENCE_PAUSE_S,
        paragraph_pause_s: float = _PARAGRAPH_PAUSE_S,
        reference_audio: Path | str | None = None,
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
        self.device = torch.device(device)
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
        self._precision = precision or fastest(self.device)
        if reason := why_not(self._precision, self.device):
            raise SynthesisError(f"precision {precision}: {reason}")
        self._spoken = SpokenLanguages.of(bundle.speakers, bundle.languages, preprocess.language)
        self._model = open_acoustic(bundle, self.device)
        self._reference: Tensor | None = None
        if reference_audio is not None:
            if not self._model.takes_reference:
                raise SynthesisError(
                    f"{reference_audio}: a {bundle.settings.model_type} takes no prosody from a reference recording; "
                    "a DelightfulTTS does"
                )
            self._reference = reference_mel(Path(reference_audio), preprocess).to(self.device)
        self.vocoder = vocoder or open_vocoder_for(bundle, device=self.device, precision=precision)

    @classmethod
    def open(
        cls,
        acoustic: Path | str,
        vocoder: Path | str | None = None,
        device: torch.device | str = "cpu",
        precision: Precision | None = None,
        *,
        sentence_pause_s: float = _SENTENCE_PAUSE_S,
        paragraph_pause_s: float = _PARAGRAPH_PAUSE_S,
        reference_audio: Path | str | None = None,
        lexicon: LexiconLike = None,
        sigma: float | None = None,
        denoising_strength: float = 0.0,
    ) -> Synthesizer:
        """Open an experiment, one of its checkpoints, or a bundle, and a vocoder likewise.

        Args:
            acoustic: folder of the acoustic model, or `hf://owner/name` on the Hugging Face Hub.
            vocoder: likewise of the vocoder, which may also be an original HiFi-GAN, or "griffin_lim"; None for the one
                that came with the acoustic model, the shipped one, or Griffin-Lim, whichever is the first to fit.
            device: of both networks.
            precision: arithmetic of the decoder and the vocoder; None for the fastest that the device has, of fp32 and
                bf16. Durations and pitch are always computed in fp32.
            sentence_pause_s: least pause between two sentences, from 0 to 10 seconds.
            paragraph_pause_s: the same between two paragraphs, which blank lines or `<p>` separate.
            reference_audio: a recording of any text, whose manner of speaking all texts take over, for models with
                `takes_reference`; None for prosody predicted from each text.
            lexicon: pronunciations of all texts, over those of the bundle; see `OwnLexicon`.
            sigma, denoising_strength: of the vocoder; see `NeuralVocoder`.

        Raises:
            SynthesisError: the device does not support the precision, the pause is out of range, or the model takes no
                reference.
            AudioError: the reference cannot be read.
            BundleError: a folder holds no such model.
            HubError: a model cannot be downloaded.
            VocoderError: the vocoder was trained on mels of another kind, or takes no sigma or denoising.
        """
        bundle = find_bundle(acoustic)
        opened = open_vocoder_for(
            bundle,
            vocoder,
            device=device,
            precision=precision,
            sigma=sigma,
            denoising_strength=denoising_strength,
        )
        return cls(
            bundle,
            opened,
            device,
            precision,
            sentence_pause_s=sentence_pause_s,
            paragraph_pause_s=paragraph_pause_s,
            reference_audio=reference_audio,
            lexicon=lexicon,
        )

    restore_from = open
    """Alias of `open`, as in NeMo."""

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

    def __call__(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> Speech:
        """Synthesize one text of any length; see `plan` for arguments and errors."""
        return next(
            self.speak([text], speaker=speaker, language=language, prosody=prosody, markup=markup, lexicon=lexicon)
        )

    def speak(
        self,
        texts: Iterable[str | SpeechPlan],
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> Iterator[Speech]:
        """Synthesize many texts, in order.

        A list is faster than one call per text, since chunks of similar length share a batch. From any other iterable,
        such as a generator, each text is synthesized before the next is read.

        Args:
            texts: texts, or plans with a speaker, language and prosody of their own.
            speaker, language, prosody, markup, lexicon: see `plan`.
        """
        for texts_now in _windows(texts):
            plans = [
                text
                if isinstance(text, SpeechPlan)
                else self.plan(
                    text, speaker=speaker, language=language, prosody=prosody, markup=markup, lexicon=lexicon
                )
                for text in texts_now
            ]
            yield from map(self._speech, self.mels(plans))

    def stream(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> Iterator[np.ndarray]:
        """Yield the waveform of a text piece by piece: sentence by sentence, and within them as the vocoder goes on.

        The pieces together are the waveform that the call returns. See `plan` for arguments and errors, which are
        raised by the call, not by the first `next`.
        """
        if prosody.peak_normalize or prosody.fade_out_ms:
            raise SynthesisError("a stream can be neither peak-normalized nor faded out: its end is not known")
        plan = self.plan(text, speaker=speaker, language=language, prosody=prosody, markup=markup, lexicon=lexicon)
        if self.vocoder.takes_parts and not (plan.prosody.changes_pitch or plan.prosody.changes_level):
            parts = (part for of_chunk in plan.by_chunk() for part in self._mel_parts(of_chunk))
            return map(_as_array, self.vocoder.stream(parts, first_chunks=_first_chunks(plan)))
        chunks = (chunk for predicted in self.mels(plan.by_chunk()) for chunk in predicted.chunks)
        return map(_as_array, self._waveforms(plan, chunks))

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

    @torch.inference_mode()
    def mels(self, plans: Iterable[SpeechPlan]) -> Iterator[PredictedMel]:
        """Predict the mels of planned texts, in order; see `speak` on lists and other iterables."""
        for plans_now in _windows(plans):
            # One by one for a single text, as in a stream: in a batch the last digits would be others.
            n_together = 1 if len(plans_now) == 1 else _CHUNKS_PER_BATCH
            chunks = [(plan, chunk) for plan in plans_now for chunk in plan.chunks]
            predicted = iter(self._predict(chunks, n_together))
            for plan in plans_now:
                yield PredictedMel(plan, tuple(islice(predicted, len(plan.chunks))))

    def check_language(self, language: str) -> None:
        """Raise a `TextError` unless the voice's front end supports a language."""
        self._reader.front_end(language)

    def check_speaker(self, speaker: str | None) -> None:
        """Raise a `SynthesisError` unless the voice has this speaker; None requires a voice of one speaker."""
        self._speaker_id(speaker)

    def check_prosody(self, prosody: Prosody) -> None:
        """Raise a `SynthesisError` for a number out of range, a `ControlError` for a control that the model lacks."""
        require_plausible(prosody)
        require_controls(self._model, prosody, self.settings.model_type)

    def prosody_of(
        self,
        recording: Path | str,
        text: str,
        *,
        language: str | None = None,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> RecordedProsody:
        """Measure the prosody of a recording of a text, for `Prosody(recording=...)`; see `recorded_prosody`."""
        language = self._language(None, language)
        tokens = self._reader.read(text, language, markup, lexicon, self._language_of).tokens
        return recorded_prosody(Path(recording), tokens, self.settings.preprocess, language)

    def generate_spectrogram(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> np.ndarray:
        """Return the (M, T_mel) log-mel of a text, for another vocoder."""
        [predicted] = self.mels(
            [self.plan(text, speaker=speaker, language=language, prosody=prosody, markup=markup, lexicon=lexicon)]
        )
        return torch.cat(predicted.mels, dim=1).cpu().numpy()

    def convert_spectrogram_to_audio(self, spec: Array, *, mel_scale: MelScale | None = None) -> Array:
        """Return the waveforms of mels, such as that of `generate_spectrogram`; see `waveforms_of`.

        Raises:
            SynthesisError: the mels have another shape, no frames, or values of another scale.
        """
        try:
            return waveforms_of(self.vocoder, spec, self.settings.preprocess.n_mel, mel_scale, self.device)
        except MelScaleError as error:
            raise SynthesisError(str(error)) from None

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

    def _predict(self, chunks: Sequence[tuple[SpeechPlan, PlannedChunk]], n_together: int) -> list[ChunkMel]:
        """Run the acoustic model over chunks, in batches of similar length; keep their order."""
        predicted: dict[int, ChunkMel] = {}
        by_length = sorted(range(len(chunks)), key=lambda index: len(chunks[index][1].phoneme_ids))
        for start in range(0, len(chunks), n_together):
            indices = by_length[start : start + n_together]
            predicted.update(zip(indices, self._predict_batch([chunks[index] for index in indices]), strict=True))
        return [predicted[index] for index in range(len(chunks))]

    @torch.inference_mode()
    def _mel_parts(self, plan: SpeechPlan) -> Iterator[Tensor]:
        """Yield the mel of a plan's only chunk in parts, as soon as they are predicted."""
        [chunk] = plan.chunks
        if chunk.prosody.insertions:  # of copies of the quietest frame
            yield self._predict([(plan, chunk)], 1)[0].mel
            return
        batch, prosody = self._batch([(plan, chunk)])
        speech = self._model.infer_in_parts(batch, prosody.controls(), self._precision)
        parts = []
        for part in speech.mels:
            parts.append(part.float())
            yield parts[-1]
        durations = speech.durations.cpu().numpy()
        mel = torch.cat(parts, dim=1)
        f0_hz = speech.f0_hz.float().cpu().numpy()
        with_pause = ChunkMel(mel, durations, f0_hz).with_silence(chunk.last_pause - int(durations[-1]))
        if with_pause.mel.shape[1] > mel.shape[1]:
            yield with_pause.mel[:, mel.shape[1] :]

    def _batch(self, chunks: Sequence[tuple[SpeechPlan, PlannedChunk]]) -> tuple[PhonemeBatch, BatchProsody]:
        """Return chunks as the acoustic model takes them."""
        ids = [torch.tensor(chunk.phoneme_ids) for _, chunk in chunks]
        batch = PhonemeBatch(
            _padded(ids).to(self.device),
            torch.tensor([len(each) for each in ids], device=self.device),
            torch.tensor([plan.speaker_of(chunk) for plan, chunk in chunks], device=self.device),
            _padded([torch.tensor(chunk.min_durations) for _, chunk in chunks]).to(self.device),
            torch.tensor([plan.language_of(chunk) for plan, chunk in chunks], device=self.device),
            self._reference,
        )
        prosody = BatchProsody(
            [plan.prosody for plan, _ in chunks],
            [chunk.prosody for _, chunk in chunks],
            [self._pitch_scale(plan.speaker_of(chunk)) for plan, chunk in chunks],
            self.device,
        )
        return batch, prosody

    def _predict_batch(self, chunks: Sequence[tuple[SpeechPlan, PlannedChunk]]) -> Iterator[ChunkMel]:
        batch, prosody = self._batch(chunks)
        controls = prosody.controls()
        generated = unchanged = self._model.infer(batch, controls, self._precision)
        if prosody.n_limited:
            low, high = self.settings.preprocess.f0_min, self.settings.preprocess.f0_max
            warn(f"pitch: limited in {prosody.n_limited} phones to this voice's {low:g} to {high:g} Hz")
        if prosody.changes_pitch and any(self._gives_f0(plan.prosody) for plan, _ in chunks):
            # The F0 that the vocoder finds where nothing is changed: what it finds in the changed mel is less exact.
            unchanged = self._model.infer(batch, replace(controls, pitch=AS_PREDICTED.pitch), self._precision)
        for row, (plan, chunk) in enumerate(chunks):
            n_frames = int(generated.mel_lengths[row])
            f0_hz = None
            if self._gives_f0(plan.prosody):
                base_hz = cast(F0Vocoder, self.vocoder).predict_f0(unchanged.mel[row, :, :n_frames].float())
                f0_hz = prosody.frame_f0(row, base_hz, unchanged, generated)
            predicted = ChunkMel(
                generated.mel[row, :, :n_frames].float(),
                generated.durations[row, : len(chunk.phoneme_ids)].cpu().numpy(),
                generated.f0_hz[row, :n_frames].float().cpu().numpy(),
                f0_hz,
            )
            predicted = predicted.with_silence(chunk.last_pause - int(predicted.durations[-1]))
            for after, n_quiet in chunk.prosody.insertions.items():
                predicted = predicted.with_silence(n_quiet, after)
            yield replace(predicted, mel=with_levels(predicted.mel, chunk.prosody, predicted.durations))

    def _gives_f0(self, prosody: Prosody) -> bool:
        """Return whether the vocoder gets F0: where it takes it, and prosody changes pitch or level."""
        return self.vocoder.takes_f0 and (prosody.changes_pitch or prosody.changes_level)

    def _pitch_scale(self, speaker_id: int) -> PitchScale:
        preprocess = self.settings.preprocess
        is_log = preprocess.pitch_scale == "log"
        return PitchScale(
            math.exp(self._ranges[speaker_id].mean), preprocess.f0_min, preprocess.f0_max, is_interpolated=is_log
        )

    def _waveforms(self, plan: SpeechPlan, chunks: Iterable[ChunkMel]) -> Iterator[Tensor]:
        """Yield the waveform of a plan's chunks piece by piece, always in the same pieces.

        In bf16 the last digits of a sample depend on how many are computed at once.
        """
        first_chunks = _first_chunks(plan)
        if not self._gives_f0(plan.prosody):
            return self.vocoder.stream((chunk.mel for chunk in chunks), first_chunks=first_chunks)
        for_mels, for_f0 = tee(chunks)
        mels = (chunk.mel for chunk in for_mels)
        contours = (chunk.vocoder_f0_hz for chunk in for_f0 if chunk.vocoder_f0_hz is not None)
        return cast(F0Vocoder, self.vocoder).stream(mels, contours, first_chunks=first_chunks)

    def _speech(self, predicted: PredictedMel) -> Speech:
        sequence, frame_s = predicted.plan.sequence, self.settings.preprocess.hop_size / self.sample_rate
        durations = np.concatenate([chunk.durations for chunk in predicted.chunks])
        duration_s = int(durations.sum()) * frame_s
        waveforms = self._waveforms(predicted.plan, predicted.chunks)
        alignment = alignment_from_durations(sequence, durations, frame_s=frame_s, duration_s=duration_s)
        return Speech(
            text=predicted.plan.text,
            waveform=_finished(torch.cat(list(waveforms)), predicted.plan.prosody, self.sample_rate),
            sample_rate=self.sample_rate,
            mel=np.concatenate([mel.cpu().numpy() for mel in predicted.mels], axis=1),
            f0_hz=np.concatenate([chunk.f0_hz for chunk in predicted.chunks]),
            phones=sequence.phones,
            durations=durations,
            alignment=alignment,
            times=self._times(predicted.plan, sequence, durations, frame_s),
        )

    def without_sound(self, plan: SpeechPlan, durations: np.ndarray) -> Speech:
        """Return the times of speech that is elsewhere; its waveform is silence that takes no memory.

        Args:
            plan: of what was spoken.
            durations: (T_text,) frames of its phones.
        """
        hop_size, sequence, n_frames = self.settings.preprocess.hop_size, plan.sequence, int(durations.sum())
        frame_s = hop_size / self.sample_rate
        return Speech(
            text=plan.text,
            waveform=np.broadcast_to(np.float32(0), n_frames * hop_size),
            sample_rate=self.sample_rate,
            mel=np.empty((self.settings.preprocess.n_mel, 0), np.float32),
            f0_hz=np.empty(0, np.float32),
            phones=sequence.phones,
            durations=durations,
            alignment=alignment_from_durations(sequence, durations, frame_s=frame_s, duration_s=n_frames * frame_s),
            times=self._times(plan, sequence, durations, frame_s),
        )

    def _times(self, plan: SpeechPlan, sequence: PhoneSequence, durations: np.ndarray, frame_s: float) -> SpeechTimes:
        starts = np.cumsum(durations) - durations
        firsts = {word: int(start) for word, start in zip(sequence.word_indices[::-1], starts[::-1], strict=True)}
        marks = ((name, firsts.get(word, int(durations.sum())) * frame_s) for name, word in plan.marks)
        is_of_letters = self.settings.preprocess.phone_extractor in ("char", "mixed")
        spelling: Spelling = "letters" if is_of_letters else "phones"
        return SpeechTimes(sequence, durations, frame_s, plan.source, plan.first_word, tuple(marks), spelling)


def _first_chunks(plan: SpeechPlan) -> tuple[int, ...]:
    """Return the frames of the first pieces of a plan's waveform."""
    is_short = len(plan.chunks) == 1 and len(plan.chunks[0].phoneme_ids) <= _PHONES_AT_ONCE
    return () if is_short else _FIRST_CHUNKS


def _windows(items: Iterable[_Item]) -> Iterator[Sequence[_Item]]:
    """Yield the items of a sequence in groups, those of another iterable one by one."""
    size = _TEXTS_AT_ONCE if isinstance(items, Sequence) else 1
    remaining = iter(items)
    while items_now := list(islice(remaining, size)):
        yield items_now


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=0)


def _finished(waveform: Tensor, prosody: Prosody, sample_rate: int) -> np.ndarray:
    """Return a waveform, faded out and scaled to a peak of 1 where asked for."""
    n_faded = min(round(prosody.fade_out_ms / 1000 * sample_rate), len(waveform))
    if n_faded:
        fade = torch.linspace(1.0, 0.0, n_faded, device=waveform.device)
        waveform = torch.cat([waveform[: len(waveform) - n_faded], waveform[len(waveform) - n_faded :] * fade])
    if prosody.peak_normalize:
        waveform = waveform / waveform.abs().max().clamp(min=1e-5)
    return _as_array(waveform)


def _voice_range(statistics: SpeakerStatistics) -> VoiceRange:
    """Return the mean and standard deviation of the logarithm of F0; of statistics in Hz, approximately."""
    pitch = statistics.pitch
    if statistics.pitch_scale == "log":
        return VoiceRange(pitch.mean, pitch.std)
    return VoiceRange(math.log(pitch.mean), pitch.std / pitch.mean)


def _as_array(waveform: Tensor) -> np.ndarray:
    return waveform.clamp(-1, 1).cpu().numpy()


def _shortened(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
