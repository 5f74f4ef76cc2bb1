"""Settings of UnivNet and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from config.schema import Contradiction, Settings, setting
from models.training.settings import GanVocoderSettings
from processors.audio.mel_settings import STFT_RESOLUTIONS


class UnivNetModelSettings(Settings):
    """Generator and discriminators."""

    channels: int = setting("channels of the generator: 16 or 32 in the paper", ge=1)
    strides: tuple[int, ...] = setting("upsampling factor of each block; their product is hop_size", min_length=1)
    dilations: tuple[int, ...] = setting("dilation of each layer of a block", min_length=1)
    noise_size: int = setting("noise channels that the waveform is made from", ge=1)
    noise_seed: int = setting("of that noise, which depends on seed, utterance and frame alone", ge=0)
    predictor_size: int = setting("channels of the networks that predict the kernels", ge=1)
    predictor_kernel_size: int = setting("kernel size of their convolutions but the first; odd", ge=1)
    leaky_slope: float = setting("of the leaky ReLUs of the generator", ge=0, lt=1)
    mpd_periods: tuple[int, ...] = setting("periods of mpd and mpd_small, in samples", min_length=1)
    mpd_channels: tuple[int, ...] = setting("channels of each layer of mpd", min_length=1)
    mrd_channels: int = setting("channels of each layer of mrd", ge=1)
    mrd_slope: float = setting("of the leaky ReLUs of mrd", default=0.2, ge=0, lt=1)
    mrd_window: Literal["none", "hann"] = setting(
        "window of the transforms of mrd: none as in maum-ai's implementation, or hann", default="none"
    )
    discriminator_slope: float = setting("of the leaky ReLUs of mpd", ge=0, lt=1)

    def contradictions(self) -> Iterator[Contradiction]:
        for name in ("strides", "dilations", "mpd_periods", "mpd_channels"):
            if min(getattr(self, name)) < 1:
                yield Contradiction((name,), f"{list(getattr(self, name))} are not all 1 or more")
        if self.predictor_kernel_size % 2 == 0:
            yield Contradiction(("predictor_kernel_size",), f"{self.predictor_kernel_size} is not odd")


class UnivNetSettings(GanVocoderSettings):
    """All settings of a UnivNet recipe."""

    model: UnivNetModelSettings = setting("generator and discriminators")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        yield from self.upsampling_contradictions("model.strides", self.model.strides)
        if self.train.segment_size <= max(n_fft for n_fft, _, _ in STFT_RESOLUTIONS) // 2:
            yield Contradiction(
                ("train.segment_size",),
                f"{self.train.segment_size} is too short for the multi-resolution STFT loss, which reflects 1024 "
                "samples at each end",
            )
