"""Text to speech by ONNX graphs: numpy, onnxruntime and the front end, without torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.bundles.bundle_files import open_without_weights
from models.contracts import UNCHANGED, Prosody
from models.inference.onnx_graph import OnnxError, OnnxGraph, decoded_mel
from models.inference.onnx_vocoder import OnnxVocoder
from models.inference.prosody_rules import (
    NEPERS_PER_DB,
    SymbolPitch,
    changes_levels,
    level_changes_db,
    sets_frames,
    wanted_frames,
)
from models.inference.speech_plan import PlannedChunk, SpeechPlan
from models.inference.symbol_prosody import SynthesisError
from models.inference.text_planner import TextPlanner
from processors.text.marked_text import Markup
from processors.text.own_lexicon import LexiconLike

VOICE_FILE = "voice.json"
"""In a folder of graphs: all that a program needs beside them."""
ONNX_FORMAT = 1

Floats = npt.NDArray[np.float32]


class OnnxVoice(TextPlanner):
    """A voice from a folder of ONNX graphs: `OnnxVoice("anna_onnx")("Hello there.")` returns its samples.

    Args:
        folder: as `bins.export --format onnx` writes it.
        threads: see `OnnxGraph`.
        lexicon: pronunciations of all texts, over those of the voice; see `OwnLexicon`.

    Raises:
        OnnxError: the folder holds no graphs, or a file is missing or damaged.
    """

    def __init__(self, folder: Path | str, threads: int | None = None, *, lexicon: LexiconLike = None) -> None:
        folder = Path(folder)
        self._details = read_details(folder)
        super().__init__(open_without_weights(folder), lexicon=lexicon)
        self._encoder, self._pitch, self._decoder = (
            OnnxGraph(folder / f"{name}.onnx", threads) for name in ("encoder", "pitch", "decoder")
        )
        self.vocoder = OnnxVocoder(folder, self._details["vocoder"], self.sample_rate, threads)
        self._may_vanish = np.array([symbol in self._details["may_last_0_frames"] for symbol in self._symbols.symbols])

    @property
    def controls(self) -> frozenset[str]:
        """Names of the `Controls` that the model applies."""
        return frozenset(self._details["controls"])

    def __call__(
        self,
        text: str,
        *,
        speaker: str | None = None,
        language: str | None = None,
        prosody: Prosody = UNCHANGED,
        markup: Markup = "auto",
        lexicon: LexiconLike = None,
    ) -> Floats:
        """Return the (T_wav,) samples of a text, in [-1, 1]; see `TextPlanner.plan` for arguments and errors."""
        plan = self.plan(text, speaker=speaker, language=language, prosody=prosody, markup=markup, lexicon=lexicon)
        made = [self._mel(plan, chunk) for chunk in plan.chunks]
        contours = [f0_hz for _, f0_hz in made if f0_hz is not None]
        mel = np.concatenate([mel for mel, _ in made], axis=1)
        waveform = self.vocoder.waveform(mel, np.concatenate(contours) if contours else None)
        return _finished(waveform, plan.prosody, self.sample_rate)

    def _mel(self, plan: SpeechPlan, chunk: PlannedChunk) -> tuple[Floats, Floats | None]:
        """Return the (M, T_mel) log-mel of a chunk, and its F0 for a vocoder where that is given one."""
        ids = np.array([chunk.phoneme_ids], np.int64)
        rows = {
            "speaker_id": np.array([plan.speaker_of(chunk)], np.int64),
            "language_id": np.array([plan.language_of(chunk)], np.int64),
            "noise_place": (ids * np.arange(1, ids.shape[1] + 1)).sum(1) * self._details["noise_spread"],
        }
        encoded = self._encoder(phoneme_ids=ids, **rows)
        durations = self._durations(encoded["frames"][0], chunk)
        predicted_hz: Floats = encoded["f0_hz"][0]
        pitch = wanted_hz = None
        if plan.prosody.changes_pitch:
            pitch = SymbolPitch(plan.prosody, chunk.prosody, self._pitch_scale(plan.speaker_of(chunk)))
            wanted_hz = pitch.wanted(predicted_hz, np.arange(len(predicted_hz)), durations)
            self._warn_of_limits(pitch.n_limited)
        places = np.repeat(np.arange(len(durations)), durations)

        def decoded(f0_hz: Floats) -> tuple[Floats, Floats]:
            """Return the log-mel at (T_text,) F0, and that F0 as the model has it."""
            varied = self._pitch(**{**encoded, **rows, "f0_hz": f0_hz[None]})
            factor = {"energy_factor": chunk.prosody.energy[None]}
            mel = decoded_mel(self._decoder, places, {**encoded, **varied, **rows, **factor})
            return mel, varied["added_hz"][0]

        mel, added_hz = decoded(predicted_hz if wanted_hz is None else wanted_hz)
        f0_hz = None
        if self.vocoder.takes_f0 and (plan.prosody.changes_pitch or plan.prosody.changes_level):
            # That of the unchanged mel: what the vocoder finds in the changed one is less exact.
            f0_hz = self.vocoder.predict_f0(mel if pitch is None else decoded(predicted_hz)[0])
            if pitch is not None:
                f0_hz = pitch.of_frames(f0_hz, predicted_hz[places], added_hz[places], durations)
        last = len(durations) - 1
        quiet = {last: chunk.last_pause - int(durations[-1])}
        for after, n_frames in (*quiet.items(), *chunk.prosody.insertions.items()):
            mel, f0_hz, durations = _with_silence(mel, f0_hz, durations, n_frames, after)
        if changes_levels(chunk.prosody):
            levels_db = 10 * np.log10(np.exp(2 * mel).mean(axis=0))
            louder = mel + NEPERS_PER_DB * level_changes_db(chunk.prosody, durations, levels_db)
            mel = np.maximum(louder, np.minimum(mel, np.float32(math.log(self._details["mel_floor"]))))
        return mel.astype(np.float32), f0_hz

    def _durations(self, predicted: Floats, chunk: PlannedChunk) -> npt.NDArray[np.int64]:
        """Return (T_text,) whole frames; see `VarianceAdaptor`."""
        frames = np.maximum(predicted, np.array(chunk.min_durations, np.float32))
        frames = wanted_frames(chunk.prosody, frames)
        at_least = (~self._may_vanish[list(chunk.phoneme_ids)]).astype(np.float32)
        if sets_frames(chunk.prosody):
            at_least[frames == 0] = 0.0
        durations: npt.NDArray[np.int64] = np.maximum(np.rint(frames), at_least).astype(np.int64)
        if not durations.any():
            raise SynthesisError("a sentence has no frames: all its durations are 0; ask for longer ones")
        return durations


def read_details(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's `voice.json`.

    Raises:
        OnnxError: it is missing, damaged, or of a later format.
    """
    path = folder / VOICE_FILE
    if not path.is_file():
        raise OnnxError(f"{folder}: has no {VOICE_FILE}; python -m bins.export --format onnx writes such folders")
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
        found = details["format"]
        missing = {"symbols", "may_last_0_frames", "controls", "noise_spread", "mel_floor", "vocoder"} - set(details)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OnnxError(f"{path}: is damaged: {error!r}; export the voice again") from None
    if found != ONNX_FORMAT:
        raise OnnxError(f"{path}: is of format {found}; this Recital reads {ONNX_FORMAT}: export the voice again")
    if missing:
        raise OnnxError(f"{path}: is damaged: it has no {', '.join(sorted(missing))}; export the voice again")
    return dict(details)


def _with_silence(
    mel: Floats, f0_hz: Floats | None, durations: npt.NDArray[np.int64], n_frames: int, after: int
) -> tuple[Floats, Floats | None, npt.NDArray[np.int64]]:
    """Return mel, F0 and durations with so many more frames, if any, after a symbol: copies of the quietest frame."""
    if n_frames <= 0:
        return mel, f0_hz, durations
    at = int(durations[: after + 1].sum())
    more = np.zeros_like(durations)
    more[max(after, 0)] = n_frames
    quietest = mel[:, np.exp(mel).sum(axis=0).argmin()]
    mel = np.insert(mel, [at] * n_frames, quietest[:, None], axis=1)
    return mel, None if f0_hz is None else np.insert(f0_hz, [at] * n_frames, 0.0), durations + more


def _finished(waveform: Floats, prosody: Prosody, sample_rate: int) -> Floats:
    """Return a waveform, faded out and scaled to a peak of 1 where asked for."""
    n_faded = min(round(prosody.fade_out_ms / 1000 * sample_rate), len(waveform))
    if n_faded:
        waveform[len(waveform) - n_faded :] *= np.linspace(1.0, 0.0, n_faded, dtype=np.float32)
    if prosody.peak_normalize:
        waveform = waveform / max(float(np.abs(waveform).max()), 1e-5)
    return np.clip(waveform, -1, 1)
