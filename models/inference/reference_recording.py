"""Reference recordings, from which voices take their manner of speaking."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from config.schema import PreprocessSettings
from processors.audio.audio_file import read_audio
from processors.audio.mel import MelSpectrogram
from processors.preparation.trimming import speech_span_by_level


def reference_mel(path: Path, settings: PreprocessSettings) -> Tensor:
    """Return the (M, T_mel) log-mel of a recording, trimmed as in training.

    Args:
        path: at any sample rate, in mono or stereo.
        settings: of the voice.

    Raises:
        AudioError: the recording cannot be read, or is shorter than `min_duration_s`.
    """
    recording = read_audio(path, settings.sample_rate, min_duration_s=settings.min_duration_s)
    if settings.trim_silence:
        start, stop = speech_span_by_level(
            recording, sample_rate=settings.sample_rate, edge_silence_ms=settings.edge_silence_ms
        )
        if stop - start > settings.n_fft:
            recording = recording[start:stop]
    mel: Tensor = MelSpectrogram.from_settings(settings)(torch.from_numpy(recording))
    return mel
