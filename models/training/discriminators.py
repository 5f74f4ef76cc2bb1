"""Discriminators of GAN vocoders, by the names that `train.discriminators` chooses them with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.layers.discriminator import Discriminators
from models.layers.period_discriminator import CHANNELS as PERIOD_CHANNELS
from models.layers.period_discriminator import PERIODS, MultiPeriodDiscriminator
from models.layers.resolution_discriminator import (
    CHANNELS,
    LEAKY_SLOPE,
    SMALL_PLANES,
    SMALL_RESOLUTIONS,
    MultiResolutionDiscriminator,
)
from models.layers.scale_discriminator import MultiScaleDiscriminator
from models.training.settings import DiscriminatorName

_SMALL_PERIOD_CHANNELS = (8, 32, 64, 64, 64)
_SMALL_RESOLUTION_CHANNELS = 16


def make_discriminators(
    names: Sequence[DiscriminatorName],
    *,
    periods: Sequence[int] = PERIODS,
    channel_divisor: int = 1,
    period_channels: Sequence[int] = PERIOD_CHANNELS,
    period_slope: float = 0.1,
    resolution_channels: int = CHANNELS,
    resolution_slope: float = LEAKY_SLOPE,
    has_resolution_window: bool = False,
) -> dict[str, Discriminators]:
    """Return discriminators with random weights, by the names of their modules.

    In GMAC for 16 segments of 8192 samples, scored once: `mpd` 76, `msd` 64, `mrd` 48, `mrd_small` 0.8, `mpd_small`
    0.7; a training step takes nine times as much.

    Args:
        names: `mpd` and `msd` as in HiFi-GAN, `mrd` as in UnivNet, and two small ones for training on CPUs.
        periods: of `mpd` and `mpd_small`, in samples.
        channel_divisor: divides the channels of `mpd`, `msd` and `mrd`.
        period_channels: of each layer of `mpd`, by default HiFi-GAN's.
        period_slope: of the leaky ReLUs of `mpd`, by default HiFi-GAN's.
        resolution_channels: of each layer of `mrd`, by default UnivNet's.
        resolution_slope: of the leaky ReLUs of `mrd`, likewise.
        has_resolution_window: whether the transforms of `mrd` have a Hann window; UnivNet's published code has none.
    """
    makers: dict[str, Callable[[], Discriminators]] = {
        "mpd": lambda: MultiPeriodDiscriminator(
            periods, period_channels, channel_divisor=channel_divisor, leaky_slope=period_slope
        ),
        "msd": lambda: MultiScaleDiscriminator(channel_divisor=channel_divisor),
        "mrd": lambda: MultiResolutionDiscriminator(
            channels=resolution_channels // channel_divisor,
            leaky_slope=resolution_slope,
            has_window=has_resolution_window,
        ),
        "mpd_small": lambda: MultiPeriodDiscriminator(periods, _SMALL_PERIOD_CHANNELS),
        "mrd_small": lambda: MultiResolutionDiscriminator(
            SMALL_RESOLUTIONS,
            SMALL_PLANES,
            channels=_SMALL_RESOLUTION_CHANNELS,
            leaky_slope=0.1,
            is_complex=True,
            has_window=True,
        ),
    }
    return {name: makers[name]() for name in names}
