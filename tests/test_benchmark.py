"""The benchmark compares like with like, and says on what machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from config.load import SettingsError
from config.paths import REPOSITORY
from models.fastspeech2.benchmark import made_up_settings, measure_latency, measure_training
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.plain import PlainFastSpeech2
from models.fastspeech2.task import FastSpeech2Task
from processors.acoustic_data import Voice
from processors.statistics import SpeakerStatistics, Spread
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable
from tests.test_fastspeech2 import TINY

CONFIG = "config/fastspeech2.json"


def test_both_formulations_have_the_same_size():
    settings = made_up_settings(CONFIG, TINY)
    speaker = SpeakerStatistics(Spread(5.0, 0.2, 4.0, 6.0, 1), Spread(30.0, 9.0, 0.0, 90.0, 1))
    task = FastSpeech2Task(settings, Voice(SymbolTable(INVENTORY), {"a": 0}, {"a": speaker}))
    ours = task.modules["network"]
    assert isinstance(ours, FastSpeech2)
    plain = PlainFastSpeech2(settings.model, n_symbols=len(INVENTORY) + 1, n_mel=settings.preprocess.n_mel)
    # Ours has a speaker table; theirs normalises the postnet's last layer as well.
    speaker_table = ours.speaker_embedding.weight.numel()
    last_norm = 2 * settings.preprocess.n_mel
    assert _size(ours) - speaker_table == _size(plain) - last_norm


def _size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_full_size_is_about_35_million_parameters():
    with torch.device("meta"):
        settings = made_up_settings(CONFIG, [])
        plain = PlainFastSpeech2(settings.model, n_symbols=len(INVENTORY) + 1, n_mel=80)
    assert 33e6 < _size(plain) < 37e6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_speeds_are_of_real_frames_and_both_speak_equally_long(precision):
    settings = made_up_settings(CONFIG, [*TINY, "train.batch_size=4"])
    training = measure_training(settings, precision=precision, steps=2)
    assert training.frames_per_second > 0 < training.plain_frames_per_second
    assert training.padding_share < training.plain_padding_share < 1
    latency = measure_latency(settings, precision=precision, runs=3)
    assert latency.frames == 540
    assert latency.median_s <= latency.percentile_90_s


def test_a_mistyped_override_is_refused():
    with pytest.raises(SettingsError, match=r"train\.batch_size"):
        made_up_settings(CONFIG, ["train.bach_size=4"])


def test_the_command_writes_a_table_and_the_machine(tmp_path):
    overrides = [argument for override in TINY for argument in ("--set", override)]
    arguments = ["--configs", CONFIG, *overrides, "--precision", "fp32", "--steps", "1", "--runs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "bins.benchmark", *arguments, "--batch_size", "2", "--output", str(tmp_path / "b.json")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "| config/fastspeech2.json | fp32 | 540 |" in done.stdout
    result = json.loads((tmp_path / "b.json").read_text())
    assert result["machine"]["processor"] in done.stdout
    assert result["models"][0]["training"]["fp32"]["steps"] == 1
