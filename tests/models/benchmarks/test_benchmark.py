"""Benchmarks: equal models, equal work, named machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bins.benchmark
from config.load import SettingsError
from models.benchmarks.acoustic import measure, measure_inference, measure_training
from models.benchmarks.end_to_end import measure_system
from models.benchmarks.made_up import made_up_settings, made_up_task
from models.benchmarks.records import RecordError, is_slower, read_record
from models.benchmarks.run import Report
from models.benchmarks.timing import Plan, Section, percentiles_ms, time_in_turn
from models.benchmarks.vocoder import amplify
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.reference import PlainFastSpeech2
from models.hifigan.network import Generator
from models.hifigan.reference import PlainGenerator
from models.registry import MODELS, all_configs
from processors.text.arpabet import INVENTORY
from tests.support.tiny_models import SMALL
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.machine import forget_peak_memory, peak_memory_mib

CONFIG = "config/fastspeech2.json"
TINY = SMALL["FastSpeech2"]
VOCODER = ("model.upsample_initial_channel=16", "model.discriminator_channel_divisor=16")


def test_both_implementations_have_the_same_size():
    settings = made_up_settings(CONFIG, TINY)
    ours = made_up_task(settings).modules["network"]
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


def test_made_up_statistics_are_of_the_scale_that_the_settings_have():
    for scale, mean in (("log", 5.0), ("hz", 150.0)):
        overrides = [*SMALL["FastPitch"], f"preprocess.pitch_scale={scale}", "preprocess.pitch_statistics=corpus"]
        adaptor = made_up_task(made_up_settings("config/fastpitch.json", overrides)).modules["network"].variance_adaptor
        assert (adaptor.is_log_pitch, adaptor.pitch_mean.item()) == (scale == "log", mean)


@pytest.mark.slow
def test_speeds_count_real_frames_and_speech_of_usual_length():
    settings = made_up_settings(CONFIG, [*TINY, "train.batch_size=4"])
    training = measure_training(settings, precision="bf16", steps=1)
    assert training["frames per s"] > 0 < training["plain"]
    assert float(training["padding"].rstrip("%")) < float(training["padding, plain"].rstrip("%")) < 100
    spoken = measure_inference(settings, precision="bf16", runs=1)
    assert spoken["frames"] == pytest.approx(540, rel=0.05)
    assert spoken["p50 ms"] > 0 < spoken["plain p50 ms"]


def test_a_model_without_a_reference_is_measured_alone(monkeypatch):
    monkeypatch.setattr("models.benchmarks.acoustic.reference_of", lambda model_type: None)
    settings = made_up_settings(CONFIG, [*TINY, "train.batch_size=2"])
    training, latency = measure(CONFIG, settings, Plan(precisions=("fp32",), steps=1, runs=1))
    assert [row["step"] for row in training.rows] == ["training", "adversarial"]
    assert training.rows[1]["parameters"] != training.rows[0]["parameters"] and training.rows[1]["frames per s"] > 0
    assert training.rows[0]["plain"] == latency.rows[0]["plain p50 ms"] == latency.rows[0]["times plain"] == "-"
    assert training.rows[0]["frames per s"] > 0 < latency.rows[0]["p50 ms"]


@pytest.mark.slow
def test_every_size_of_every_model_is_measured_unless_others_are_named():
    assert {made_up_settings(config, []).model_type for config in all_configs()} == set(MODELS)
    assert {"config/fastspeech2_small.json", "config/hifigan_v3.json"} < set(all_configs())


def test_a_mistyped_override_is_refused():
    with pytest.raises(SettingsError, match=r"train\.batch_size"):
        made_up_settings(CONFIG, ["train.bach_size=4"])


def test_percentiles_are_computed_from_all_runs():
    """Not estimated from mean and deviation: one slow run in a hundred changes the 99th percentile alone."""
    times = percentiles_ms(np.array([*[0.001] * 98, 0.5, 0.5]))
    assert times["p50 ms"] == times["p95 ms"] == pytest.approx(1.0) and times["p99 ms"] == pytest.approx(500.0)


def test_implementations_are_measured_in_turns():
    order = []
    times = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, runs=2)
    assert order == ["a", "b"] * 3 and times["a"].shape == (2,)


def test_plain_generator_gives_the_same_waveform():
    settings = made_up_settings("config/hifigan_v3.json", VOCODER)
    generator = Generator(settings.model, settings.preprocess.n_mel)
    mel = torch.randn(2, settings.preprocess.n_mel, 9)
    with torch.no_grad():
        torch.testing.assert_close(PlainGenerator(generator)(mel), generator(mel))


@pytest.fixture
def run_benchmark(tmp_path, command):
    """Return a function that runs the command, and returns its output and the tables that it wrote."""

    def run(*arguments):
        fewest = ["--precision", "fp32", "--steps", "1", "--runs", "1", "--batch_size", "2"]
        code, printed, errors = command(bins.benchmark, *arguments, *fewest, "--output", tmp_path / "b.json")
        assert code == 0, errors
        result = json.loads((tmp_path / "b.json").read_text())
        assert result["machine"]["processor"] in printed and result["peak_memory_mib"] > 100
        tables: dict[str, list] = {}
        for section in result["sections"]:
            tables.setdefault(section["title"], []).extend(section["rows"])
        return printed, tables

    return run


@pytest.mark.slow
def test_the_command_measures_an_acoustic_model_and_names_the_machine(run_benchmark):
    overrides = [argument for override in TINY for argument in ("--set", override)]
    printed, tables = run_benchmark("--configs", CONFIG, *overrides, "--extraction")
    assert "| config/fastspeech2.json | fp32 | 5" in printed
    assert tables["Acoustic training"][0]["frames per s"] > 0
    assert [row["feature"] for row in tables["Extraction"]] == ["mel and energy", "parselmouth"]


@pytest.mark.slow
def test_the_command_measures_an_aligner_and_compares_it_with_a_record(run_benchmark, command, tmp_path):
    arguments = ["--configs", "config/aligner.json", "--set", "model.hidden_size=16", "--page", tmp_path / "b.md"]
    _, tables = run_benchmark(*arguments)
    trained, aligned = tables["Aligner training"][0], tables["Alignment"][0]
    assert trained["frames per s"] > 0 < aligned["speech s per s"] == pytest.approx(1 / aligned["s per speech s"])
    assert trained["peak memory MiB"] > 100 < aligned["peak memory MiB"]
    assert "| config/aligner.json | fp32 | 2 |" in (tmp_path / "b.md").read_text()
    record = json.loads((tmp_path / "b.json").read_text())
    record["sections"] = [{"title": "Aligner training", "rows": [trained | {"frames per s": 1e12}]}]
    (tmp_path / "b.json").write_text(json.dumps(record | {"threads": 99}))
    fewest = ["--precision", "fp32", "--steps", "1", "--runs", "1", "--batch_size", "2"]
    code, printed, errors = command(bins.benchmark, *arguments, *fewest, "--against", tmp_path / "b.json")
    assert code == 1 and "1 of 1 slower than" in printed
    assert "other conditions: threads 99, now" in printed + errors


def test_speeds_are_compared_with_those_of_the_same_measurement(tmp_path, capsys):
    row = {"config": "a.json", "precision": "fp32", "batch": 2, "frames per s": 100.0}
    machine = {"processor": "P", "torch": "1"}
    report = Report(machine, 1, "cpu", "0", 1, [Section("Training", "", [row])])
    for changes, tolerance, expected in (
        ({"frames per s": 109.0}, 0.1, False),
        ({"frames per s": 109.0}, 0.05, True),
        ({"frames per s": 10.0, "parameters": "2 M"}, 0.1, False),
    ):
        path = tmp_path / "record.json"
        rows = [row | changes, row | {"precision": "bf16", "frames per s": 1e9}]
        path.write_text(
            json.dumps({"machine": machine, "threads": 1, "sections": [{"title": "Training", "rows": rows}]})
        )
        assert is_slower(report, read_record(path), "record.json", tolerance) is expected
        assert "other conditions" not in capsys.readouterr().err
    with pytest.raises(RecordError, match="none of the rows"):
        other = {"title": "Training", "rows": [row | {"batch": 3}]}
        is_slower(report, {"machine": machine, "threads": 1, "sections": [other]}, "record.json", 0.1)
    path.write_text('{"sections": 3}')
    with pytest.raises(RecordError, match=r"record\.json: is not a record"):
        read_record(path)


def test_a_gpu_that_is_not_there_is_not_measured(command, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, errors = command(bins.benchmark, "--device", "cuda")
    assert code == 1 and "torch finds no GPU" in errors


def test_figures_that_would_not_be_written_or_compared_are_refused(command, tmp_path):
    (tmp_path / "record.json").write_text("{}")
    for what in (("--scale", "9"), ("--server", "http://127.0.0.1:9")):
        for flag in ("--json", "--page", "--against"):
            code, _, errors = command(bins.benchmark, *what, flag, tmp_path / "record.json")
            assert code == 2 and f"argument {flag}: is for models" in errors
    code, _, errors = command(bins.benchmark, "--scale", "9", "--server", "http://127.0.0.1:9")
    assert code == 2 and "not allowed with" in errors


def test_flags_of_another_measurement_are_refused(command):
    server = ("--server", "http://127.0.0.1:9")
    for flags, refused in (
        (("--clients", "5"), "--clients: is for --server"),
        (("--scale", "9", "--voice", "x"), "--voice: is for --server"),
        (("--scale", "9", "--threads", "2"), "--threads: is for models"),
        ((*server, "--precision", "bf16"), "--precision: is for models"),
        ((*server, "--extraction"), "--extraction: is for models"),
    ):
        code, _, errors = command(bins.benchmark, *flags)
        assert code == 2 and f"argument {refused}" in errors


@pytest.mark.slow
def test_the_command_measures_a_vocoder(run_benchmark):
    overrides = [argument for override in VOCODER for argument in ("--set", override)]
    arguments = ["--configs", "config/hifigan_v3.json", *overrides, "--speaking_batch_size", "1", "2", "--long_s", "70"]
    arguments += ["--discriminators", "mpd_small+mrd_small"]
    _, tables = run_benchmark(*arguments)
    assert [(row["formulation"], row["batch"]) for row in tables["Mel to waveform"]] == [
        ("plain fp32", 1),
        ("fp32", 1),
        ("fp32, 1 s chunks", 1),
        ("plain fp32", 2),
        ("fp32", 2),
    ]
    assert all(row["p50 ms"] <= row["p99 ms"] for row in tables["Mel to waveform"])
    fast = [row for row in tables["Mel to waveform"] if row["formulation"] != "plain fp32"]
    # Of real arithmetic: if only the biases counted, there would be no noise at all.
    assert all(60 < row["SNR dB"] < 200 for row in fast)
    assert [(row["step"], row["discriminators"]) for row in tables["Training"]] == [
        (step, names)
        for names in (
            " ".join(made_up_settings("config/hifigan_v3.json", []).train.discriminators),
            "mpd_small mrd_small",
        )
        for step in ("before the adversary", "adversarial")
    ]
    assert [round(row["speech s"]) for row in tables["Long speech"]] == [60, 70]


def test_amplified_generators_depend_on_their_mel():
    torch.manual_seed(0)
    settings = made_up_settings("config/hifigan_v3.json", VOCODER)
    generator = Generator(settings.model, settings.preprocess.n_mel)
    amplify(generator)
    with torch.no_grad():
        one, other = generator(torch.randn(2, settings.preprocess.n_mel, 30))
    assert one.std() > 0.05 and (one - other).std() > 0.05


@pytest.mark.slow
def test_whole_voices_are_measured_in_each_precision_of_the_vocoder(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    tiny_vocoder_bundle().save(tmp_path / "vocoder")
    plan = Plan(precisions=("fp32", "bf16"), runs=1)
    [section] = measure_system(str(tmp_path / "voice"), str(tmp_path / "vocoder"), plan)
    assert [(row["precision"], row["characters"]) for row in section.rows] == [
        (precision, n_characters) for n_characters in (12, 44, 127, 196) for precision in ("fp32", "bf16")
    ]
    assert all(row["speech s"] > 0 < row["p50 ms"] for row in section.rows)
    [section] = measure_system(str(tmp_path / "voice"), None, Plan(precisions=("bf16",), runs=1))
    assert {(row["vocoder"], row["precision"]) for row in section.rows} == {("griffin_lim", "fp32")}


@pytest.mark.slow
def test_peak_memory_is_of_this_process_and_can_be_reset():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("begins anew on Linux only")
    held = np.ones(200 * 2**20, np.uint8)
    high = peak_memory_mib()
    del held
    forget_peak_memory()
    assert peak_memory_mib() < high - 150
