"""An untrained HiFi-GAN of a few thousand parameters as a bundle, for tests of vocoding."""

from __future__ import annotations

import torch

from config.load import load_settings
from config.paths import REPOSITORY
from models.bundle import Bundle
from models.hifigan.network import Generator
from models.hifigan.settings import HiFiGANSettings
from models.registry import settings_class
from tests.support.tiny_voice import TINY as TINY_VOICE

# The mels of the tiny voice.
TINY = (
    *(override for override in TINY_VOICE if override.startswith("preprocess.")),
    "model.upsample_rates=[8, 16]",
    "model.upsample_kernel_sizes=[16, 32]",
    "model.upsample_initial_channel=16",
    "model.resblock_kernel_sizes=[3]",
    "model.resblock_dilation_sizes=[[1, 3]]",
    "dataset=['tiny']",
    "dataset_path={tiny: 'none'}",
)


def tiny_vocoder_bundle(*overrides: str) -> Bundle:
    """A bundle as written by training, with random weights of a fixed seed and audible output."""
    torch.manual_seed(0)
    settings = load_settings(REPOSITORY / "config/hifigan_v1.json", [*TINY, *overrides], settings_class).settings
    assert isinstance(settings, HiFiGANSettings)
    generator = Generator(settings.model, settings.preprocess.n_mel)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("weight_g"):
                parameter.mul_(10)
    return Bundle(settings, generator.state_dict())
