"""Settings of FastSpeech 2 and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from config.schema import Contradiction, setting
from models.layers.acoustic_settings import BlockSettings
from models.training.settings import AcousticSettings

Level = Literal["phone", "frame"]


class FastSpeech2ModelSettings(BlockSettings):
    """The network."""

    conv_kernel_sizes: tuple[int, int] = setting(
        "kernel sizes of the two convolutions of a Transformer block; odd numbers"
    )
    norm_first: bool = setting(
        "of Transformer blocks: true: pre-norm, which needs little warm-up; false: post-norm, as in the paper"
    )
    predictor_filter_size: int = setting("channels of the duration, pitch and energy predictors", ge=1)
    predictor_kernel_size: int = setting("kernel size of the predictors' convolutions; odd", ge=1)
    predictor_dropout: float = setting("dropout in the predictors", ge=0, lt=1)
    pitch_level: Level = setting("whether pitch is predicted per phone or per frame")
    energy_level: Level = setting("whether energy is predicted per phone or per frame")
    n_bins: int = setting("bins into which pitch and energy are quantised for their embeddings", ge=2)
    postnet_layers: int = setting("convolutions that refine the mel; 0 for none", ge=0)
    postnet_filter_size: int = setting("channels of the postnet", ge=1)
    postnet_kernel_size: int = setting("kernel size of the postnet's convolutions, in frames; odd", ge=1)
    postnet_dropout: float = setting("dropout in the postnet", ge=0, lt=1)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if "transformer" in (self.encoder_block, self.decoder_block) and self.hidden_size % self.n_heads:
            yield Contradiction(
                ("hidden_size", "n_heads"), f"{self.hidden_size} is not an even multiple of n_heads ({self.n_heads})"
            )
        if any(size < 1 or size % 2 == 0 for size in self.conv_kernel_sizes):
            yield Contradiction(("conv_kernel_sizes",), f"{list(self.conv_kernel_sizes)} are not odd numbers")
        for name in ("predictor_kernel_size", "postnet_kernel_size"):
            if getattr(self, name) % 2 == 0:
                yield Contradiction((name,), f"{getattr(self, name)} is not an odd number")
        if self.postnet_layers == 1:
            yield Contradiction(("postnet_layers",), "a postnet has at least 2 layers; 0 for none")


class FastSpeech2Settings(AcousticSettings):
    """All settings of a FastSpeech 2 recipe."""

    model: FastSpeech2ModelSettings = setting("the network")
