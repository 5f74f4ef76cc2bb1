"""Text to speech: an acoustic model with its front end, and a vocoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, tee
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.bundles.locate import find_bundle
from models.contracts import AS_PREDICTED, UNCHANGED, PhonemeBatch, Prosody, RecordedProsody
from models.inference.batch_prosody import BatchProsody, with_levels
from models.inference.recorded_prosody import recorded_prosody
from models.inference.reference_recording import reference_mel
from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.symbol_prosody import (
    SynthesisError,
)
from models.inference.text_planner import PARAGRAPH_PAUSE_S, SENTENCE_PAUSE_S, TextPlanner
from models.inference.vocoder import Array, F0Vocoder, Vocoder, open_vocoder_for, waveforms_of
from models.registry import open_acoustic
from processors.alignment.durations import alignment_from_durations
from processors.alignment.intervals import Alignment
from processors.alignment.speech_times import SpeechTimes
from processors.audio.foreign_mels import MelScale, MelScaleError
from processors.text.marked_text import Markup
from processors.text.own_lexicon import LexiconLike
from processors.text.phone_sequence import PhoneSequence
from processors.text.visemes import Spelling
from utils.precision import Precision, fastest, why_not

TEXTS_AT_ONCE = 64
"""Texts of a list whose chunks are sorted by length into batches, before any of them is spoken."""
_CHUNKS_PER_BATCH = 16
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


class Synthesizer(TextPlanner):
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
        sentence_pause_s: float = SENTENCE_PAUSE_S,
        paragraph_pause_s: float = PARAGRAPH_PAUSE_S,
        reference_audio: Path | str | None = None,
        lexicon: LexiconLike = None,
    ) -> None:
        super().__init__(
            bundle, sentence_pause_s=sentence_pause_s, paragraph_pause_s=paragraph_pause_s, lexicon=lexicon
        )
        preprocess = bundle.settings.preprocess
        self.device = torch.device(device)
        self._precision = precision or fastest(self.device)
        if reason := why_not(self._precision, self.device):
            raise SynthesisError(f"precision {precision}: {reason}")
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
        sentence_pause_s: float = SENTENCE_PAUSE_S,
        paragraph_pause_s: float = PARAGRAPH_PAUSE_S,
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
    def controls(self) -> frozenset[str]:
        """Names of the `Controls` that the model applies."""
        return self._model.controls

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
        self._warn_of_limits(prosody.n_limited)
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
    size = TEXTS_AT_ONCE if isinstance(items, Sequence) else 1
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


def _as_array(waveform: Tensor) -> np.ndarray:
    return waveform.clamp(-1, 1).cpu().numpy()
