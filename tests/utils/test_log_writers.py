"""Further places for a logbook's numbers: DLLogger's lines, and trackers."""

from __future__ import annotations

import json
import math

import pytest
from accelerate import tracking
from accelerate.state import PartialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from config.load import SettingsError, flat_settings
from models.runs.train import _log_writers, train
from tests.support.tiny_models import TinyModel
from tests.support.toy_tasks import train_toy
from utils.logbook import Logbook
from utils.nvlog import NvLog
from utils.trackers import TrackerError, Trackers, require_trackers
from utils.trainer import TrainerOptions


def lines_of(path):
    lines = path.read_text().splitlines()
    assert all(line.startswith("DLLL {") for line in lines)
    return [json.loads(line.removeprefix("DLLL ")) for line in lines]


def test_nvlog_has_the_lines_of_dllogger(tmp_path):
    """Keys and their order are those of NVIDIA/dllogger's JSONStreamBackend, names those of its FastPitch."""
    path = tmp_path / "nvlog.json"
    for _ in range(2):  # the second appends, as NVIDIA's does
        writer = NvLog(path, {"train.batch_size": 16})
        training = {"train/network/loss": 2.0, "train/network/mel": math.nan, "learning_rate/network": 0.1}
        writer.scalars(7, training | {"speed/frames_per_second": 9.0, "speed/steps_per_second": 4.0}, (2, 3, 5))
        writer.scalars(7, {"valid/loss": 1.5, "valid/mel": 0.5}, (2, 3, 5))
        writer.scalars(4, {"evaluation/wer": 8.0}, (2, 3, 5))
        writer.scalars(7, {"test/mel": 0.25}, (2, 3, 5))
        writer.scalars(8, {"train/discriminator/adversarial": 3.0, "gradient_norm/generator_max": 1.0}, (2, 4, 5))
        writer.close()
    lines = lines_of(path)
    logged = [line for line in lines if line["type"] == "LOG"]
    assert list(logged[0]) == ["timestamp", "datetime", "elapsedtime", "type", "step", "data"]
    assert all(isinstance(logged[0][key], str) and float(logged[0][key]) >= 0 for key in ("timestamp", "elapsedtime"))
    assert [(line["step"], line["data"]) for line in logged[:6]] == [
        ("PARAMETER", {"train.batch_size": 16}),
        (
            [2, 3, 5],
            {"train_loss": 2.0, "train_mel_loss": None, "train_lrate": 0.1, "train_frames/s": 9.0, "train_took": 0.25},
        ),
        ([2], {"val_loss": 1.5, "val_mel_loss": 0.5}),
        ([2], {"eval_step": 4, "eval_wer": 8.0}),
        ([], {"test_mel_loss": 0.25}),
        ([2, 4, 5], {"train_discriminator_adversarial_loss": 3.0, "train_generator_max_grad_norm": 1.0}),
    ]
    assert sum(line["step"] == "PARAMETER" for line in logged) == 1 and len(logged) == 11
    about = next(line for line in lines if line.get("metric") == "train_frames/s")
    assert list(about) == ["timestamp", "elapsedtime", "datetime", "type", "metric", "metadata"]
    assert about["metadata"] == {"name": "frames/s", "unit": "frames/s", "format": ":>5.2f"}


class FakeTracker:
    """Keeps what it gets; fails at step 3, and in a folder named offline."""

    requires_logging_directory = False
    made = ()

    def __init__(self, project, **options):
        self.calls = [("init", project, options)]
        self.made.append(self)

    def start(self):
        if self.calls[0][2].get("name") == "offline":
            raise OSError("no network")

    def store_init_configuration(self, values):
        self.calls.append(("settings", values))

    def log(self, values, step):
        if step == 3:
            raise ValueError("quota")
        self.calls.append(("log", values, step))

    def finish(self):
        self.calls.append(("finish",))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeTracker, "made", [])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", FakeTracker)
    monkeypatch.setattr(tracking, "_available_trackers", ["wandb", "tensorboard"])
    return FakeTracker.made


def test_trackers_get_settings_and_numbers_by_ascending_steps_and_may_fail(tmp_path, fake, capsys):
    trackers = Trackers(("wandb",), tmp_path / "my_voice", {"train.seed": 1, "train.evaluate_vocoder": None})
    with Logbook(tmp_path, writers=[trackers]) as logbook:
        logbook.scalars(2, {"train/network/loss": 1.0, "train/network/mel": math.inf}, (1, 2, 4), epoch=0)
        logbook.scalars(1, {"evaluation/wer": 5.0}, (1, 2, 4))
    assert fake[0].calls == [
        ("init", "recital", {"name": "my_voice"}),
        ("settings", {"train.seed": 1, "train.evaluate_vocoder": ""}),
        ("log", {"train/network/loss": 1.0}, 2),
        ("log", {"evaluation/wer": 5.0, "evaluation/step": 1}, 2),
        ("finish",),
    ]
    trackers = Trackers(("wandb",), tmp_path, {})
    for step in (3, 4):
        trackers.scalars(step, {"x": 1.0}, ())
    trackers.close()
    assert len(fake[1].calls) == 2
    assert capsys.readouterr().err == "warning: train.trackers: wandb gets nothing more: quota\n"
    with pytest.raises(TrackerError, match="wandb cannot start: no network"):
        Trackers(("wandb",), tmp_path / "offline", {})
    with pytest.raises(TrackerError, match="mlflow, comet_ml is not installed: pip install mlflow comet-ml"):
        require_trackers(("mlflow", "wandb", "comet_ml"))


def test_a_tracker_of_accelerate_works_offline(tmp_path):
    PartialState()
    trackers = Trackers(("tensorboard",), tmp_path / "mine", {"train.seed": 1})
    trackers.scalars(2, {"valid/loss": 0.5}, ())
    trackers.close()
    board = EventAccumulator(str(tmp_path / "mine" / "mine"))
    board.Reload()
    assert [(each.step, each.value) for each in board.Scalars("valid/loss")] == [(2, 0.5)]


@pytest.mark.slow
def test_a_training_writes_to_what_the_settings_name(tmp_path, fake):
    tiny = TinyModel("FastSpeech2", tmp_path, 'train.trackers=["wandb"]', "train.nvlog=true")
    writers = _log_writers(tiny.settings(), tmp_path)
    options = TrainerOptions(max_steps=3, log_every_steps=2, valid_every_steps=2)
    train_toy(tmp_path / "run", options=options, log_to={"log_writers": writers})
    by_step = {tuple(line["step"]): line["data"] for line in lines_of(tmp_path / "nvlog.json") if line["type"] == "LOG"}
    assert by_step[(1, 2, 12)]["train_loss"] > 0 and by_step[(1,)]["val_loss"] > 0
    assert by_step[tuple("PARAMETER")] and fake[0].calls[1][1]["train.nvlog"] is True
    assert [call[2] for call in fake[0].calls if call[0] == "log" and "valid/loss" in call[1]] == [2]
    assert flat_settings({"a": {"b": [1, "c"]}, "d": None}) == {"a.b": '[1, "c"]', "d": None}
    with pytest.raises(SettingsError, match=r"train\.trackers"):
        tiny.settings('train.trackers=["wandbb"]')
    with pytest.raises(TrackerError, match="mlflow is not installed: pip install mlflow"):
        train(tiny.settings('train.trackers=["mlflow"]'), "without")
    assert not (tmp_path / "without").exists()
