"""An untrained FastSpeech 2 of a few thousand parameters as a bundle, for tests of synthesis."""

from __future__ import annotations

import torch

from config.load import load_settings
from config.paths import REPOSITORY
from models.bundle import Bundle
from models.fastspeech2.network import FastSpeech2
from models.registry import settings_class
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable

TINY = (
    "model.hidden_size=16",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "model.conv_filter_size=16",
    "model.predictor_filter_size=16",
    "model.n_bins=8",
    "model.postnet_layers=0",
    "preprocess.n_mel=20",
    "preprocess.n_fft=512",
    "preprocess.win_size=512",
    "preprocess.hop_size=128",
    "preprocess.sample_rate=16000",
    "preprocess.fmax=8000",
)


def tiny_settings(*overrides: str):
    """The recipe's settings with a tiny network."""
    config = REPOSITORY / "egs/tts/FastSpeech2/exp_config.json"
    return load_settings(config, [*TINY, *overrides], settings_class).settings


def tiny_bundle(*overrides: str, speakers: tuple[str, ...] = ("anna",)) -> Bundle:
    """A bundle as written by training, with random weights of a fixed seed."""
    torch.manual_seed(0)
    settings = tiny_settings(*overrides)
    symbols = SymbolTable(INVENTORY)
    spread = Spread(mean=5.0, std=0.2, low=4.0, high=6.0, n_frames=1000)
    statistics = {name: SpeakerStatistics(pitch=spread, energy=spread) for name in speakers}
    rows = {name: row for row, name in enumerate(speakers)}
    network = FastSpeech2.untrained(settings, symbols, rows, statistics)
    return Bundle(settings, network.state_dict(), symbols, statistics, rows)
