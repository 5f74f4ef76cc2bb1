"""The settings that make two mels the same kind.

Apart from `mel.py`, so that comparing settings needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""n_fft, hop and window of the multi-resolution STFT distance, as published for rates about 24 kHz."""
MEL_SETTINGS = ("sample_rate", "n_fft", "hop_size", "win_size", "n_mel", "fmin", "fmax")
"""Names in `preprocess`; also the arguments of `MelSpectrogram`."""


def mel_differences(found: Mapping[str, Any], expect: Mapping[str, Any]) -> str:
    """Return the settings in which two kinds of mels differ, with both values; empty if they are the same kind.

    Args:
        found: settings by name, of `preprocess` or of a feature store.
        expect: the expected settings.
    """
    return ", ".join(
        f"{name} {found.get(name, 'unknown')} (wanted: {expect[name]})"
        for name in MEL_SETTINGS
        if found.get(name) != expect[name]
    )
