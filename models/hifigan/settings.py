"""Settings of HiFi-GAN and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from config.schema import Contradiction, Settings, setting
from models.training.settings import GanVocoderSettings


class HiFiGANModelSettings(Settings):
    """Generator and discriminators."""

    upsample_rates: tuple[int, ...] = setting(
        "upsampling factor of each stage; their product is hop_size", min_length=1
    )
    upsample_kernel_sizes: tuple[int, ...] = setting("kernel size of each stage's transposed convolution", min_length=1)
    upsample_initial_channel: int = setting("channels before the first stage; each stage halves them", ge=2)
    resblock: Literal["1", "2"] = setting("1: two convolutions per dilation (V1, V2); 2: one (V3)")
    resblock_kernel_sizes: tuple[int, ...] = setting("kernel size of each residual block of a stage; odd", min_length=1)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = setting("dilations within each residual block", min_length=1)
    mpd_periods: tuple[int, ...] = setting("periods of mpd and mpd_small, in samples", min_length=1)
    discriminator_channel_divisor: int = setting("the published channels of mpd, msd and mrd are divided by it", ge=1)

    def contradictions(self) -> Iterator[Contradiction]:
        rates, kernels = self.upsample_rates, self.upsample_kernel_sizes
        if len(rates) != len(kernels):
            yield Contradiction(
                ("upsample_kernel_sizes", "upsample_rates"), f"has {len(kernels)} sizes for {len(rates)} rates"
            )
        elif bad := [
            f"{kernel} for rate {rate}"
            for rate, kernel in zip(rates, kernels, strict=True)
            if rate < 1 or kernel < rate
        ]:
            yield Contradiction(
                ("upsample_kernel_sizes", "upsample_rates"),
                f"{bad[0]}: a size must be its rate or more",
            )
        if self.upsample_initial_channel % 2 ** len(rates):
            yield Contradiction(
                ("upsample_initial_channel", "upsample_rates"),
                f"{self.upsample_initial_channel} cannot be halved {len(rates)} times",
            )
        if any(size < 1 or size % 2 == 0 for size in self.resblock_kernel_sizes):
            yield Contradiction(("resblock_kernel_sizes",), f"{list(self.resblock_kernel_sizes)} are not odd numbers")
        if len(self.resblock_dilation_sizes) != len(self.resblock_kernel_sizes):
            yield Contradiction(
                ("resblock_dilation_sizes", "resblock_kernel_sizes"),
                f"has {len(self.resblock_dilation_sizes)} lists for {len(self.resblock_kernel_sizes)} kernel sizes",
            )
        if any(not sizes or min(sizes) < 1 for sizes in self.resblock_dilation_sizes):
            yield Contradiction(("resblock_dilation_sizes",), "every list needs dilations of 1 or more")
        if any(period < 1 for period in self.mpd_periods) or len(set(self.mpd_periods)) != len(self.mpd_periods):
            yield Contradiction(("mpd_periods",), f"{list(self.mpd_periods)} are not different positive numbers")
        if 16 % self.discriminator_channel_divisor:
            yield Contradiction(
                ("discriminator_channel_divisor",), f"{self.discriminator_channel_divisor} is not 1, 2, 4, 8 or 16"
            )


class HiFiGANSettings(GanVocoderSettings):
    """All settings of a HiFi-GAN recipe."""

    model: HiFiGANModelSettings = setting("generator and discriminators")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        yield from self.upsampling_contradictions("model.upsample_rates", self.model.upsample_rates)
