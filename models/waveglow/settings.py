"""Settings of WaveGlow and its training."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Contradiction, Settings, setting
from models.training.settings import VocoderSettings, VocoderTrainSettings


class WaveGlowModelSettings(Settings):
    """The flow."""

    n_flows: int = setting("steps of the flow, each an invertible convolution and a coupling", ge=1)
    n_group: int = setting("consecutive samples that are the channels of one step in time", ge=2)
    n_early_every: int = setting("steps of the flow after which channels leave it", ge=1)
    n_early_size: int = setting("channels that leave it each time", ge=1)
    channels: int = setting("channels of the coupling networks: 512 in the paper, 256 in published models", ge=1)
    n_layers: int = setting("layers of a coupling network; the dilation doubles with each", ge=1)
    kernel_size: int = setting("kernel size of these layers; odd", ge=1)
    upsample_kernel_size: int = setting("samples that each mel frame acts on, at least hop_size", ge=1)
    sigma: float = setting("standard deviation of the noise in use: 0.6 to 1", ge=0)
    noise_seed: int = setting("of that noise, which depends on seed and frame alone", ge=0)

    def contradictions(self) -> Iterator[Contradiction]:
        if self.kernel_size % 2 == 0:
            yield Contradiction(("kernel_size",), f"{self.kernel_size} is not odd")
        left = self.n_group - self.n_early_size * ((self.n_flows - 1) // self.n_early_every)
        if left < 2 or left % 2 or self.n_group % 2 or self.n_early_size % 2:
            yield Contradiction(
                ("n_group", "n_early_size"), f"{left} of {self.n_group} channels are left: all must be even"
            )


class WaveGlowTrainSettings(VocoderTrainSettings):
    """Training by maximum likelihood on segments of recordings."""

    sigma: float = setting("standard deviation of the latent variables in the likelihood", gt=0)


class WaveGlowSettings(VocoderSettings):
    """All settings of a WaveGlow recipe."""

    model: WaveGlowModelSettings = setting("the flow")
    train: WaveGlowTrainSettings = setting("training")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        hop_size = self.preprocess.hop_size
        if hop_size % self.model.n_group:
            yield Contradiction(
                ("model.n_group", "preprocess.hop_size"),
                f"hop_size ({hop_size}) is no multiple of {self.model.n_group}",
            )
        if self.model.upsample_kernel_size < hop_size:
            yield Contradiction(
                ("model.upsample_kernel_size", "preprocess.hop_size"),
                f"{self.model.upsample_kernel_size} is less than hop_size ({hop_size})",
            )
