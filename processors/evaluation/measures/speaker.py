"""Similarity of the speaker with the recording's, by an encoder of `processors.speakers`."""

from __future__ import annotations

import numpy as np

from processors.audio.audio_file import to_int16
from processors.evaluation.pair import RATE, Pair
from processors.speakers.speaker_encoders import StoredRecording


def measure(pair: Pair) -> float | None:
    """Return the cosine of the embeddings; None where one is undefined, as the statistics' of unvoiced speech."""
    if pair.mel is None or pair.target_mel is None:
        return None
    embeddings = [
        pair.speaker_encoder.embed(StoredRecording(to_int16(waveform), RATE, np.array(mel.T), f0_hz))
        for waveform, mel, f0_hz in zip(pair.resampled, (pair.target_mel, pair.mel), pair.f0_hz, strict=True)
    ]
    lengths = [float(np.linalg.norm(each)) for each in embeddings]
    if not all(np.isfinite(length) and length > 0 for length in lengths):
        return None
    return float(np.clip(np.dot(*embeddings) / (lengths[0] * lengths[1]), -1, 1))
