"""Further models, written for the tests alone: what the shared code gives to a model that is none of ours."""

from __future__ import annotations

from models.registry import Model

FURTHER_MODELS = {
    "ConvAcoustic": Model(
        package="tests.support.conv_acoustic",
        kind="acoustic",
        settings="ConvAcousticSettings",
        network="ConvAcoustic",
        config="tests/support/conv_acoustic/config.json",
        features=("mel", "f0", "durations", "phonemes"),
        controls=frozenset({"duration", "pitch"}),
        task="ConvAcousticTask",
    ),
    "ConvVocoder": Model(
        package="tests.support.conv_vocoder",
        kind="vocoder",
        settings="ConvVocoderSettings",
        network="ConvVocoder",
        config="tests/support/conv_vocoder/config.json",
        features=("mel", "waveform"),
        task="ConvVocoderTask",
    ),
}
