"""Speech of tones: each word is a burst of its own pitch, which `recognise` turns back into words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

WORDS = (
    *("ash", "bay", "cat", "dew", "elm", "fog", "gem", "hay", "ice", "jar", "key", "log", "mud", "net", "oak", "pie"),
    *("rat", "sun", "tea", "urn", "vat", "wax", "yak", "zip", "arm", "bed", "cup", "dog", "ear", "fig", "gum", "hat"),
)
_LOWEST_HZ, _STEP_HZ = 300.0, 60.0
_WORD_S, _BETWEEN_S = 0.2, 0.04
PAUSES_S = {".": 0.9, ",": 0.3}


def spoken(text: str, sample_rate: int = 8000, *, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return the speech of a text as (T_wav,), with silence around it and after its punctuation."""
    pieces = [np.zeros(round(0.4 * sample_rate))]
    time = np.arange(round(_WORD_S * sample_rate)) / sample_rate
    for written in text.split():
        number = WORDS.index(written.strip(",.").lower())
        pieces.append(0.4 * np.sin(2 * np.pi * (_LOWEST_HZ + _STEP_HZ * number) * time))
        pieces.append(np.zeros(round(PAUSES_S.get(written[-1], _BETWEEN_S) * sample_rate)))
    waveform = np.concatenate(pieces)
    return (waveform + noise * np.random.default_rng(seed).standard_normal(len(waveform))).astype(np.float32)


def recognise(waveform: np.ndarray, language: str) -> list[tuple[str, float, float]]:
    """Return the words of speech of tones at 16 kHz, with their times."""
    hop = 160
    levels = np.abs(waveform[: len(waveform) // hop * hop]).reshape(-1, hop).mean(axis=1) > 0.1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], levels.astype(int), [0]])))
    words = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - first < 10:
            continue
        tone = waveform[first * hop : end * hop]
        peak_hz = np.argmax(np.abs(np.fft.rfft(tone * np.hanning(len(tone)), 16000)))
        words.append((WORDS[round((peak_hz - _LOWEST_HZ) / _STEP_HZ) % len(WORDS)], first * 0.01, end * 0.01))
    return words


def write_speech(path: Path, text: str | Sequence[str], sample_rate: int = 8000, **options: float) -> None:
    """Write the speech of a text as the file's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, spoken(text if isinstance(text, str) else " ".join(text), sample_rate, **options), sample_rate
    )
