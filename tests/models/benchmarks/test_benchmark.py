"""The benchmark compares like with like, and says on what machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from config.load import SettingsError
from config.paths import REPOSITORY
from models.benchmarks.end_to_end import measure_system
from models.benchmarks.timing import Plan, made_up_settings, percentiles_ms, time_in_turn
from models.fastspeech2.benchmark import measure_latency, measure_training
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.reference import PlainFastSpeech2
from models.fastspeech2.task import FastSpeech2Task
from models.hifigan.benchmark import audible
from models.hifigan.network import Generator
from models.hifigan.reference import PlainGenerator
from processors.datasets.acoustic_data import Voice
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable
from tests.models.fastspeech2.test_fastspeech2 import TINY
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.machine import forget_peak_memory, peak_memory_mib

CONFIG = "config/fastspeech2.json"
VOCODER = ("model.upsample_initial_channel=16", "model.discriminator_channel_divisor=16")


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
    assert latency.seconds.shape == latency.plain_seconds.shape == (3,) and latency.seconds.min() > 0


def test_a_mistyped_override_is_refused():
    with pytest.raises(SettingsError, match=r"train\.batch_size"):
        made_up_settings(CONFIG, ["train.bach_size=4"])


def test_percentiles_are_true_ones():
    """Not a mean and a few deviations: one slow run in a hundred is the 99th percentile's alone."""
    told = percentiles_ms(np.array([*[0.001] * 98, 0.5, 0.5]))
    assert told["p50 ms"] == told["p95 ms"] == pytest.approx(1.0) and told["p99 ms"] == pytest.approx(500.0)


def test_formulations_take_turns():
    order = []
    times = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, runs=2)
    assert order == ["a", "b"] * 3 and times["a"].shape == (2,)


def test_plain_generator_gives_the_same_waveform():
    settings = made_up_settings("config/hifigan_v3.json", VOCODER)
    generator = Generator(settings.model, settings.preprocess.n_mel)
    mel = torch.randn(2, settings.preprocess.n_mel, 9)
    with torch.no_grad():
        torch.testing.assert_close(PlainGenerator(generator)(mel), generator(mel))


def run_benchmark(tmp_path, *arguments):
    command = [sys.executable, "-m", "bins.benchmark", *arguments, "--precision", "fp32", "--steps", "1", "--runs", "1"]
    done = subprocess.run(
        [*command, "--batch_size", "2", "--output", str(tmp_path / "b.json")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "b.json").read_text())
    assert result["machine"]["processor"] in done.stdout and result["peak_memory_mib"] > 100
    return done.stdout, {section["title"]: section["rows"] for section in result["sections"]}


def test_the_command_measures_an_acoustic_model_and_names_the_machine(tmp_path):
    overrides = [argument for override in TINY for argument in ("--set", override)]
    printed, tables = run_benchmark(tmp_path, "--configs", CONFIG, *overrides, "--extraction")
    assert "| config/fastspeech2.json | fp32 | 540 |" in printed
    assert tables["Acoustic training"][0]["frames per s"] > 0
    assert [row["feature"] for row in tables["Extraction"]] == ["mel and energy", "parselmouth"]


def test_the_command_measures_a_vocoder(tmp_path):
    overrides = [argument for override in VOCODER for argument in ("--set", override)]
    arguments = ["--configs", "config/hifigan_v3.json", *overrides, "--speaking_batch_size", "1", "2", "--long_s", "70"]
    _, tables = run_benchmark(tmp_path, *arguments)
    assert [(row["formulation"], row["batch"]) for row in tables["Mel to waveform"]] == [
        ("plain fp32", 1),
        ("fp32", 1),
        ("fp32, 1 s chunks", 1),
        ("plain fp32", 2),
        ("fp32", 2),
    ]
    assert all(row["p50 ms"] <= row["p99 ms"] for row in tables["Mel to waveform"])
    fast = [row for row in tables["Mel to waveform"] if row["formulation"] != "plain fp32"]
    # Of real arithmetic: were only the biases heard, there would be no noise at all.
    assert all(60 < row["SNR dB"] < 200 for row in fast)
    assert [row["step"] for row in tables["Training"]] == ["before the adversary", "adversarial"]
    assert [round(row["speech s"]) for row in tables["Long speech"]] == [60, 70]


def test_made_up_generators_say_something_of_their_mel():
    torch.manual_seed(0)
    settings = made_up_settings("config/hifigan_v3.json", VOCODER)
    generator = audible(Generator(settings.model, settings.preprocess.n_mel))
    with torch.no_grad():
        one, other = generator(torch.randn(2, settings.preprocess.n_mel, 30))
    assert one.std() > 0.05 and (one - other).std() > 0.05


def test_whole_voices_are_measured_in_each_precision_of_the_vocoder(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    tiny_vocoder_bundle().save(tmp_path / "vocoder")
    plan = Plan(precisions=("fp32", "bf16"), runs=1)
    [section] = measure_system(str(tmp_path / "voice"), str(tmp_path / "vocoder"), plan)
    assert [(row["precision"], row["characters"]) for row in section.rows] == [
        (precision, n_characters) for n_characters in (12, 44, 127) for precision in ("fp32", "bf16")
    ]
    assert all(row["speech s"] > 0 < row["p50 ms"] for row in section.rows)
    [section] = measure_system(str(tmp_path / "voice"), None, Plan(precisions=("bf16",), runs=1))
    assert {(row["vocoder"], row["precision"]) for row in section.rows} == {("Griffin-Lim", "fp32")}


def test_peak_memory_is_of_this_process_and_can_begin_anew():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("begins anew on Linux only")
    held = np.ones(200 * 2**20, np.uint8)
    high = peak_memory_mib()
    del held
    forget_peak_memory()
    assert peak_memory_mib() < high - 150
