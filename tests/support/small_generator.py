"""A generator of HiFi-GAN in which every layer matters to the waveform, for tests of how it is computed."""

from __future__ import annotations

import torch

from models.hifigan.network import Generator
from models.hifigan.settings import HiFiGANModelSettings

SHAPES = {
    "paired": {"resblock": "1", "resblock_kernel_sizes": (3, 7), "resblock_dilation_sizes": ((1, 3), (1, 5))},
    "single": {"resblock": "2", "resblock_kernel_sizes": (3, 5), "resblock_dilation_sizes": ((1, 2), (2, 6))},
    "odd": {"upsample_rates": (5, 2), "upsample_kernel_sizes": (11, 4)},
    "surplus": {"upsample_rates": (5, 2), "upsample_kernel_sizes": (10, 5)},
}


def make_generator(shape="paired"):
    torch.manual_seed(0)
    settings = {
        "upsample_rates": (4, 2),
        "upsample_kernel_sizes": (8, 4),
        "upsample_initial_channel": 32,
        "mpd_periods": (2,),
        "discriminator_channel_divisor": 16,
        **SHAPES["paired"],
        **SHAPES[shape],
    }
    generator = Generator(HiFiGANModelSettings(**settings), 12).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 3 and parameter.shape[1:] == (1, 1):
                parameter *= 1.5 / parameter.mean()  # so that every layer has its say
    return generator
