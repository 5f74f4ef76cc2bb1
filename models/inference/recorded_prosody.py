"""The prosody of a recording: when its words and phones are spoken, its pitch and its level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from config.schema import PreprocessSettings
from models.contracts import RecordedProsody
from models.inference.batch_prosody import frame_levels_db
from models.inference.symbol_prosody import SynthesisError
from processors.alignment.aligners import make_pocketsphinx_aligner
from processors.alignment.intervals import AlignmentError
from processors.alignment.textgrid import read_textgrid
from processors.audio.audio_file import read_recording
from processors.audio.mel import MelSpectrogram
from processors.audio.pitch import extract_pitch
from processors.text.tokens import Token


def recorded_prosody(
    path: Path, tokens: Sequence[Token], settings: PreprocessSettings, language: str
) -> RecordedProsody:
    """Measure the prosody of a recording.

    Its TextGrid is the one beside it of the same name; without one, pocketsphinx aligns it, in English only.

    Args:
        path: of the sound file.
        tokens: the words that are spoken in it.
        settings: of the voice that is to take it over.
        language: of the text.

    Raises:
        AudioError: the recording cannot be read.
        AlignmentError: it cannot be aligned with the text.
        SynthesisError: the language needs a TextGrid.
    """
    recording = read_recording(path).at(settings.sample_rate)
    n_frames = len(recording) // settings.hop_size
    recording = recording[: n_frames * settings.hop_size]
    duration_s = len(recording) / settings.sample_rate
    textgrid = path.with_suffix(".TextGrid")
    if textgrid.is_file():
        alignment = read_textgrid(textgrid).fitted_to(duration_s, str(textgrid))
    else:
        try:
            aligner = make_pocketsphinx_aligner(language)
        except AlignmentError:
            raise SynthesisError(
                f"{path}: only English is aligned without a TextGrid; put one beside it, {textgrid.name}"
            ) from None
        alignment = aligner.align(path.stem, recording, settings.sample_rate, tokens).fitted_to(duration_s, str(path))
    with torch.inference_mode():
        mel = MelSpectrogram.from_settings(settings)(torch.from_numpy(recording.astype(np.float32)))
        level_db = frame_levels_db(mel).numpy()
    f0_hz = extract_pitch(
        recording,
        sample_rate=settings.sample_rate,
        hop_size=settings.hop_size,
        f0_min=settings.f0_min,
        f0_max=settings.f0_max,
        extractor=settings.pitch_extractor,
    )
    return RecordedProsody(alignment, str(path), f0_hz, level_db)
