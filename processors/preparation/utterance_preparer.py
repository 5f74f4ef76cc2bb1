"""Feature extraction from one recording and its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from config.schema import PreprocessSettings
from processors.alignment.aligners import make_pocketsphinx_aligner
from processors.alignment.durations import durations_from_times
from processors.alignment.intervals import Alignment, AlignmentError
from processors.alignment.pauses_from_alignment import AlignedPhones, phones_with_pauses, without_silences
from processors.alignment.phones_of_text import with_phones_of_text
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.audio.audio_file import AudioError, read_recording, to_int16
from processors.audio.mel import MelSpectrogram
from processors.audio.pitch import extract_pitch
from processors.features import (
    ALIGNMENT_SCORE,
    RECORDING_S,
    SCALED_BY,
    SILENCE_IN_WORDS_S,
    SOURCE,
    is_unaligned,
    needs_alignment,
    needs_text,
)
from processors.preparation.alignment_check import longest_silence_in_words
from processors.preparation.jobs import Job
from processors.preparation.rejected import DurationError
from processors.preparation.textgrid_origin import SCORE, aligner_of, origin_prefix
from processors.preparation.trimming import ends_within, speech_span, speech_span_by_level
from processors.text.front_end import FrontEnds
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.text.tokens import SPOKEN_NOISE, Token, Word
from processors.utterance import Utterance
from utils.fingerprint import stamp, stamp_of_file

if TYPE_CHECKING:
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner

# Stated and measured lengths of a sentence may differ by an encoder's padding, but not by words.
_DURATION_TOLERANCE_S = 0.1
_DURATION_TOLERANCE = 0.02
_OWN_ALIGNER = "pocketsphinx"
# Raise it when a change of the aligner requires aligning everything again.
_ALIGNER_VERSION = 1


class UtterancePreparer:
    """Computes the features of one recording and its text.

    Durations, if any, add up to the frames of mel, f0 and energy, and the waveform has `hop_size` samples per frame.

    Args:
        settings: of the features.
        features: to compute; of `ACOUSTIC_FEATURES`.
    """

    def __init__(self, settings: PreprocessSettings, features: Sequence[str]) -> None:
        self._settings, self._features = settings, frozenset(features)
        self._needs_text, self._needs_alignment = needs_text(features), needs_alignment(features)
        self._is_unaligned = is_unaligned(features)
        self._mel = MelSpectrogram.from_settings(settings)
        self._front_ends = FrontEnds(settings)

    def prepare(self, job: Job) -> dict[str, np.ndarray]:
        """Compute the features of one utterance, and the fingerprints of their inputs.

        Raises:
            RecitalError: the utterance cannot be used.
        """
        utterance, settings = job.utterance, self._settings
        found = read_recording(
            utterance.audio_path, min_duration_s=settings.min_duration_s, max_duration_s=settings.max_duration_s
        )
        recording = found.at(settings.sample_rate)
        recording_s = len(recording) / settings.sample_rate
        _check_stated_duration(utterance, recording_s)
        fingerprints = job.fingerprints
        features: dict[str, np.ndarray] = {RECORDING_S: np.array([recording_s])}
        if found.scaled_by < 1.0:
            features[SCALED_BY] = np.array([found.scaled_by], dtype=np.float32)
        start, stop = 0, len(recording)
        aligned = None
        if self._needs_alignment:
            aligned, textgrid, silence_s = self._align(job, recording)
            fingerprints = replace(fingerprints, textgrid=stamp_of_file(textgrid))
            features |= _alignment_score(textgrid)
            if silence_s:
                features[SILENCE_IN_WORDS_S] = np.array([silence_s], dtype=np.float32)
            if settings.trim_silence:
                start, stop = speech_span(
                    aligned,
                    len(recording),
                    sample_rate=settings.sample_rate,
                    edge_silence_ms=settings.edge_silence_ms,
                )
        elif self._is_unaligned and settings.trim_silence:
            start, stop = speech_span_by_level(
                recording, sample_rate=settings.sample_rate, edge_silence_ms=settings.edge_silence_ms
            )
        n_frames = max(stop - start, 0) // settings.hop_size
        if n_frames == 0:
            raise AudioError(f"{utterance.audio_path}: its speech is shorter than one frame", "too short")
        if aligned is not None:
            features |= self._phones_and_durations(aligned, start, stop, n_frames, utterance)
        elif self._needs_text:
            features["phonemes"] = self._phoneme_ids_of_text(utterance, n_frames)
        # Every feature is computed from the waveform as stored, in int16.
        waveform = to_int16(recording[start : start + n_frames * settings.hop_size])
        features |= self._waveform_features(waveform)
        for name, values in features.items():
            if not np.isfinite(values).all():
                raise AudioError(f"{utterance.audio_path}: its {name} has NaN or infinite values", "not a number")
        return {SOURCE: fingerprints.as_array(), **features}

    def _waveform_features(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """Return the requested features that are computed from the waveform alone."""
        settings, wanted = self._settings, self._features
        computed = {"waveform": waveform}
        samples = waveform.astype(np.float32) / 32768.0
        if not wanted.isdisjoint({"mel", "energy"}):
            with torch.inference_mode():
                mel, energy = self._mel.mel_and_energy(torch.from_numpy(samples))
            computed["mel"] = mel.numpy().T  # (M, T_mel) -> (T_mel, M)
            computed["energy"] = energy.numpy()
        if "f0" in wanted:
            computed["f0"] = extract_pitch(
                samples,
                sample_rate=settings.sample_rate,
                hop_size=settings.hop_size,
                f0_min=settings.f0_min,
                f0_max=settings.f0_max,
                extractor=settings.pitch_extractor,
            )
        return {name: values for name, values in computed.items() if name in wanted}

    def _phoneme_ids_of_text(self, utterance: Utterance, n_frames: int) -> np.ndarray:
        front_end = self._front_ends[utterance.language]
        tokens = front_end.tokens(utterance.text)
        if self._is_unaligned:
            sequence = PhoneSequence.from_tokens(tokens, front_end.start)
            n_spoken = len(sequence.phones)  # an aligner within a model gives each a frame
        else:
            sequence = PhoneSequence.with_silences(tokens)
            n_spoken = sum(index >= 0 for index in sequence.word_indices)
        if n_spoken > n_frames:  # no alignment exists, and searching one for a chapter's text would exhaust memory
            raise AlignmentError(
                f"{utterance.audio_path}: its {n_frames} frames are too few for the {n_spoken} phones of its text; is "
                "it the right text?"
            )
        return np.array(self._symbols(utterance.language).ids(sequence.phones, where=utterance.id), dtype=np.int32)

    def _phones_and_durations(
        self, aligned: AlignedPhones, start: int, stop: int, n_frames: int, utterance: Utterance
    ) -> dict[str, np.ndarray]:
        settings = self._settings
        ends_s = ends_within(aligned, start, stop, sample_rate=settings.sample_rate)
        durations = durations_from_times(ends_s, n_frames, settings.hop_size, settings.sample_rate)
        assert int(durations.sum()) == n_frames
        phones: Sequence[str] = aligned.phones
        if not self._front_ends[utterance.language].start:
            phones, durations = without_silences(phones, durations)
        phoneme_ids = self._symbols(utterance.language).ids(phones, where=utterance.id)
        return {"durations": durations, "phonemes": np.array(phoneme_ids, dtype=np.int32)}

    def _align(self, job: Job, recording: np.ndarray) -> tuple[AlignedPhones, Path, float]:
        """Return a recording's phones, their TextGrid, and the longest silence within a word there.

        The TextGrid is written if missing.
        """
        tokens = self._front_ends[job.utterance.language].tokens(job.utterance.text)
        recording_s = len(recording) / self._settings.sample_rate
        path = job.given_textgrid
        if path is None:
            path = job.own_textgrid
            self._make_own_textgrid(job, tokens, recording)
        alignment = read_textgrid(path, speaker=job.utterance.speaker)
        if abs(alignment.end_s - recording_s) > _DURATION_TOLERANCE_S:
            raise DurationError(
                f"{path}: ends at {alignment.end_s:.2f} s, but {job.utterance.audio_path} lasts {recording_s:.2f} s; "
                "was the recording cut after it was aligned?"
            )
        alignment = alignment.fitted_to(recording_s, where=str(path))
        # A label of spaces alone is a silence: a front end that has the space as a symbol takes those of the text.
        without_pauses = not self._front_ends[job.utterance.language].start
        if without_pauses or self._has_foreign_phones(alignment, job.utterance.language):
            alignment = with_phones_of_text(tokens, alignment)
        return phones_with_pauses(tokens, alignment), path, longest_silence_in_words(alignment)

    def _make_own_textgrid(self, job: Job, tokens: Sequence[Token], recording: np.ndarray) -> None:
        """Align the recording, unless it has a TextGrid made from the same recording and words."""
        path, mode = job.own_textgrid, self._settings.alignment
        aligner = aligner_of(self._settings)
        by_pocketsphinx = f"{_OWN_ALIGNER} {_alignment_stamp(job, tokens)}"
        origin = by_pocketsphinx if aligner == _OWN_ALIGNER else origin_prefix(self._settings, job.fingerprints)
        if path.exists():
            found = textgrid_origin(path)
            if found.startswith(origin) or (not found and mode == "auto") or mode == "textgrid":
                return
            if not found:  # while the settings ask for our own alignment
                raise AlignmentError(
                    f"{path}: was not made by stage 1, so it is not replaced; move it elsewhere, "
                    "or set preprocess.alignment to auto to use it"
                )
        elif not aligner:
            others = "learned" if mode == "auto" else "auto or learned"
            raise AlignmentError(f"{path}: no such TextGrid; set preprocess.alignment to {others} to make it")
        if aligner != _OWN_ALIGNER:
            raise AlignmentError(
                f"{job.utterance.id}: has no TextGrid by {aligner or 'any aligner'}; do its text and recording agree?"
            )
        utterance, sample_rate = job.utterance, self._settings.sample_rate
        alignment = self._aligner.align(utterance.id, recording, sample_rate, tokens)
        score = "" if alignment.score is None else f" {SCORE}{alignment.score:.3f}"
        write_textgrid(path, alignment, origin=origin + score)

    def _has_foreign_phones(self, alignment: Alignment, language: str) -> bool:
        """Return whether an alignment has phones of another alphabet or front end; of a closed one, more than half."""
        known = {*self._symbols(language).symbols, SPOKEN_NOISE}
        spoken = [phone.label not in known for phone in alignment.phones if not phone.is_silence]
        return any(spoken) if self._front_ends[language].is_open else sum(spoken) > len(spoken) / 2

    def _symbols(self, language: str) -> SymbolTable:
        front_end = self._front_ends[language]
        return self._collected_symbols if front_end.is_open else SymbolTable(front_end.inventory)

    @cached_property
    def _collected_symbols(self) -> SymbolTable:
        """The symbols of all texts, collected before extraction."""
        return SymbolTable.open(self._settings.processed_path / SYMBOLS_FILE)

    @cached_property
    def _aligner(self) -> PocketsphinxAligner:
        return make_pocketsphinx_aligner(self._settings.language)


def _alignment_score(textgrid: Path) -> dict[str, np.ndarray]:
    _, score, value = textgrid_origin(textgrid).partition(SCORE)
    return {ALIGNMENT_SCORE: np.array([float(value)], dtype=np.float32)} if score else {}


def _alignment_stamp(job: Job, tokens: Sequence[Token]) -> str:
    words = [[token.text, *token.pronunciations] for token in tokens if isinstance(token, Word)]
    return stamp(_ALIGNER_VERSION, job.fingerprints.audio.hex(), words).hex()


def _check_stated_duration(utterance: Utterance, recording_s: float) -> None:
    stated_s = utterance.duration_s
    if stated_s and abs(stated_s - recording_s) > max(_DURATION_TOLERANCE_S, _DURATION_TOLERANCE * recording_s):
        raise DurationError(
            f"{utterance.audio_path}: lasts {recording_s:.2f} s, but its list states {stated_s:.2f} s; "
            "is it the right recording?"
        )
