"""Names of features in the store, the features each kind of model needs, and the settings a store depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from config.schema import PreprocessSettings
from processors.audio.mel_settings import MEL_SETTINGS
from processors.text.symbols import LATER
from utils.errors import RecitalError
from utils.fingerprint import stamp

Level = Literal["phone", "frame"]
"""Whether pitch or energy has a value per phone or per frame."""
ACOUSTIC_FEATURES = ("mel", "f0", "energy", "durations", "phonemes", "waveform")
"""Features for acoustic models."""
UNALIGNED_FEATURES = ("mel", "f0", "energy", "phonemes", "waveform")
"""Features for acoustic models that learn durations; `phonemes` are those that the model reads in inference."""
ALIGNER_FEATURES = ("mel", "phonemes")
"""Features for aligners; `phonemes` holds the text's phones, without durations."""
VOCODER_FEATURES = ("mel", "waveform")
"""Features for vocoders."""
F0_VOCODER_FEATURES = ("mel", "f0", "waveform")
"""Features for vocoders that take F0 beside the mel."""

SOURCE = "source"
"""Fingerprints of what an utterance's other features were computed from, (4, 8) uint8."""
PROBLEM = "problem"
"""The reason for which an utterance has no other features, (bytes,) uint8."""
RECORDING_S = "recording_s"
"""Length of the recording before trimming, (1,) in seconds."""
ALIGNMENT_SCORE = "alignment_score"
"""The aligner's score of text and recording, (1,), for recordings that stage 1 aligned."""
SILENCE_IN_WORDS_S = "silence_in_words_s"
"""The longest silence inside a word, (1,) in seconds; missing where there is none."""
SCALED_BY = "scaled_by"
"""Factor by which a recording beyond full scale was scaled down, (1,); missing where it was not."""
PREDICTED_MEL = "predicted_mel"
"""The mel predicted with teacher forcing (GTA), (T_mel, M), frame for frame with the recording."""
PREDICTED_BY = "predicted_by"
"""Fingerprint of the model that predicted that mel, (8,) uint8."""

# Raise it when a change of the code computes other features from the same settings.
_FEATURES_VERSION = 1
_WITHOUT_DURATIONS = {"durations": "learned"}  # other stores have no such setting
_PITCH_SETTINGS = ("pitch_extractor", "f0_min", "f0_max")
_TEXT_SETTINGS = ("language", "phone_extractor", "normalizer", "trim_silence", "edge_silence_ms")


class DataError(RecitalError):
    """Output of stage 1 that is missing or unfit for training."""


def needs_text(features: Sequence[str]) -> bool:
    """Return whether any of the features is computed from the text."""
    return not {"durations", "phonemes"}.isdisjoint(features)


def needs_alignment(features: Sequence[str]) -> bool:
    """Return whether any of the features is computed from an alignment."""
    return "durations" in features


def for_voice(features: Sequence[str]) -> bool:
    """Return whether the features are those of an acoustic model."""
    return {"f0", "phonemes"}.issubset(features)


def is_unaligned(features: Sequence[str]) -> bool:
    """Return whether the features are those of an acoustic model that learns durations."""
    return for_voice(features) and not needs_alignment(features)


def store_settings(settings: PreprocessSettings, features: Sequence[str], inventory: Sequence[str]) -> dict[str, Any]:
    """Return the settings with which a store of these features must have been made."""
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in MEL_SETTINGS}
    chosen["features_version"] = _FEATURES_VERSION
    if needs_text(features) or "f0" in features:
        chosen |= {name: getattr(settings, name) for name in _PITCH_SETTINGS}
    if needs_text(features):
        chosen |= {name: getattr(settings, name) for name in _TEXT_SETTINGS}
        if settings.phone_extractor == "mixed":  # which older stores never are
            chosen["mixed_words"] = settings.mixed_words
        if is_unaligned(features):
            chosen |= _WITHOUT_DURATIONS
        chosen["symbols"] = stamp_of_symbols(inventory)
    return chosen


def lacks_durations(stored: Mapping[str, Any]) -> bool:
    """Return whether a store with these settings was made without durations, for a model that learns them."""
    return _WITHOUT_DURATIONS.items() <= stored.items()


def stamp_of_symbols(inventory: Sequence[str]) -> str:
    """Return a stamp of a symbol table up to `LATER`: symbols added after it change no stored number."""
    first = list(inventory).index(LATER) if LATER in inventory else len(inventory)
    return stamp(*inventory[:first]).hex()
