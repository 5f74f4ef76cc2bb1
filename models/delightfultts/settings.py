"""Settings of DelightfulTTS and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from config.schema import Contradiction, setting
from models.layers.acoustic_settings import LearnedDurationSettings
from models.training.settings import AcousticSettings, LearnedDurationTrainSettings
from processors.features import Level


class DelightfulTTSModelSettings(LearnedDurationSettings):
    """The network."""

    energy_level: ClassVar[Level] = "frame"  # as pitch: of the dataset

    n_heads: int = setting("attention heads; a divisor of hidden_size", ge=1)
    encoder_layers: int = setting("Conformer blocks over phones", ge=1)
    decoder_layers: int = setting("Conformer blocks over frames", ge=1)
    feed_forward_size: int = setting("channels within the feed-forward layer of a block", ge=1)
    encoder_kernel_size: int = setting("kernel size of the encoder's depthwise convolutions, in phones; odd", ge=1)
    decoder_kernel_size: int = setting("kernel size of the decoder's depthwise convolutions, in frames; odd", ge=1)
    dropout: float = setting("dropout in encoder and decoder", ge=0, lt=1)
    speaker_size: int = setting("width of a speaker's vector, which conditions every block", ge=1)
    language_size: int = setting("width of a language's vector, likewise", ge=1)
    predictor_kernel_size: int = setting("kernel size of the predictors' convolutions; odd", ge=1)
    predictor_dropout: float = setting("dropout in the predictors of durations, pitch and energy", ge=0, lt=1)
    embedding_kernel_size: int = setting("kernel size of the convolutions that embed pitch and energy; odd", ge=1)
    aligner_size: int = setting("width of the encodings that the aligner compares", ge=1)
    reference_channels: tuple[int, ...] = setting(
        "channels of the reference encoders' convolutions, of which every second from the third on halves the frames",
        min_length=1,
    )
    reference_size: int = setting("width of the reference encoders' GRU", ge=1)
    style_tokens: int = setting("style tokens that the prosody of an utterance is a mixture of", ge=2)
    style_size: int = setting("width of a style token", ge=2)
    utterance_prosody_size: int = setting("width of the vector of an utterance's prosody", ge=2)
    phoneme_prosody_size: int = setting("width of the vector of a phone's prosody", ge=2)
    prosody_predictor_size: int = setting("channels of the predictors of prosody", ge=1)
    prosody_dropout: float = setting("dropout in the predictors of prosody", ge=0, lt=1)
    style_dropout: float = setting("dropout of the mixture of style tokens", ge=0, lt=1)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.hidden_size % self.n_heads or self.hidden_size % 2:
            yield Contradiction(
                ("hidden_size", "n_heads"), f"{self.hidden_size} is not an even multiple of n_heads ({self.n_heads})"
            )
        for name in ("encoder_kernel_size", "decoder_kernel_size", "predictor_kernel_size", "embedding_kernel_size"):
            if getattr(self, name) % 2 == 0:
                yield Contradiction((name,), f"{getattr(self, name)} is not an odd number")


class DelightfulTTSTrainSettings(LearnedDurationTrainSettings):
    """Training with weighted losses."""

    similarity_loss_weight: float = setting("weight of 1 - SSIM, the structural similarity of the mels", ge=0)
    prosody_loss_weight: float = setting(
        "weight of the absolute errors of predicted prosody, that of the utterance and those of the phones", ge=0
    )


class DelightfulTTSSettings(AcousticSettings):
    """All settings of a DelightfulTTS recipe."""

    model: DelightfulTTSModelSettings = setting("the network")
    train: DelightfulTTSTrainSettings = setting("how the network is trained")
