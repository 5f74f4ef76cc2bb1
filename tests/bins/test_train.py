"""Stage 2 as users call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import bins.train
import models.runs.train
from config.paths import REPOSITORY
from models.bundles.origin import inherited_sources
from models.registry import MODELS
from processors.speakers.sources import Source, read_sources, write_sources
from tests.support.commands import call, start, start_two
from tests.support.toy_model import TOY
from utils.checkpoint import open_checkpoint
from utils.lock import InUseError, sole_user
from utils.logbook import read_logbook

TRAIN = {
    "precision": "fp32",
    "max_steps": 8,
    "batch_size": 2,
    "learning_rate": 0.05,
    "log_every_steps": 2,
    "valid_every_steps": 4,
    "sample_every_steps": 8,
    "save_every_steps": 4,
    "keep_last": 3,
    "keep_best": 0,
}


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "exp_config.json"
    settings = {
        "base_config": "config/base.json",
        "model_type": "Toy",
        "dataset": ["toys"],
        "dataset_path": {"toys": "nowhere"},
        "log_dir": str(tmp_path / "ckpts"),
        "model": {"hidden_size": 8, "dropout": 0.2},
        "train": TRAIN,
    }
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture
def train(config, command, monkeypatch):
    """Return a function that calls the command, and returns its exit code and output."""
    monkeypatch.setitem(MODELS, "Toy", TOY)
    return lambda *arguments: command(bins.train, "--config", config, "--name", "first", *arguments)


def weights(folder: Path, step: int) -> torch.Tensor:
    return open_checkpoint(folder / f"checkpoint/step-{step:08d}").weights("network")["0.weight"]


def test_training_that_cannot_begin_leaves_no_experiment(train, tmp_path):
    code, _, errors = train("--resume_type", "resume")
    assert code == 1 and "has no checkpoint to resume from" in errors
    assert not (tmp_path / "ckpts" / "first").exists()


@pytest.mark.slow
def test_training_writes_checkpoints_logbook_settings_and_bundle(train, tmp_path):
    code, printed, _ = train()
    assert code == 0
    folder = tmp_path / "ckpts" / "first"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "bundle",
        "checkpoint",
        "logbook.jsonl",
        "origin.json",
        "settings.json",
        "tensorboard",
    ]
    assert sorted(os.listdir(folder / "checkpoint")) == ["step-00000004", "step-00000008"]
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["train"]["batch_size"] == 2 and settings["model"]["hidden_size"] == 8
    assert "Toy (network 0.00 M parameters), 1 process on cpu, fp32" in printed
    assert "trained to step 8" in printed


@pytest.mark.slow
def test_the_same_command_resumes(train, tmp_path):
    train("--set", "train.max_steps=4")
    code, printed, _ = train("--set", "train.max_steps=8")
    assert code == 0 and "resuming from" in printed and "trained to step 8" in printed
    stopped = weights(tmp_path / "ckpts/first", 8)
    train("--name", "straight")
    assert torch.equal(stopped, weights(tmp_path / "ckpts/straight", 8))
    code, printed, _ = train()
    assert code == 0 and "trained to step 8" in printed


def test_training_past_the_schedules_end_warns_once(train):
    decay = ("--set", "train.decay_steps=5")
    _, _, errors = train(*decay)
    assert errors.count("warning: train.decay_steps: training ends at step 8, and from step 5 on") == 1
    _, _, errors = train(*decay, "--name", "by_epochs", "--set", "train.max_steps=0", "--set", "train.max_epochs=1")
    assert "training ends at step 12" in errors
    _, _, errors = train(*decay, "--name", "shorter", "--set", "train.max_steps=5")
    assert "train.decay_steps" not in errors


def test_experiment_with_other_settings_is_refused_listing_what_differs(train, tmp_path):
    train()
    other = ("--set", "train.seed=4", "--set", "model.hidden_size=16", "--set", "train.log_every_steps=3")
    code, _, errors = train(*other)
    assert code == 1
    assert "was trained with other settings" in errors and "--resume_type resume" in errors
    assert "train.seed: 0 -> 4" in errors and "model.hidden_size: 8 -> 16" in errors
    assert "log_every_steps" not in errors and "Traceback" not in errors
    settings = json.loads((tmp_path / "ckpts/first/settings.json").read_text())
    assert settings["train"]["seed"] == 0


@pytest.mark.slow
def test_batch_and_optimizer_settings_may_change_from_the_next_epoch(train, tmp_path):
    """The rest of the epoch in which training stopped is skipped."""
    folder = tmp_path / "ckpts" / "first"
    train()
    changes = {
        "batch_size": [2, 3],
        "gradient_accumulation_steps": [1, 2],
        "gradient_clip": [1.0, 0.5],
        "learning_rate": [0.05, 0.01],
        "max_frames_per_batch": [0, 500],
        "precision": ["fp32", "bf16"],
    }
    before = json.loads((folder / "settings.json").read_text())["train"]
    assert [before[name] for name in changes] == [old for old, _ in changes.values()]
    asked = [part for name, (_, new) in changes.items() for part in ("--set", f"train.{name}={new}")]
    code, printed, errors = train(*asked, "--set", "train.max_steps=12", "--set", "train.keep_last=9")
    assert code == 0, errors
    assert "train.batch_size: 2 -> 3, from step 9 on, which begins an epoch" in printed
    lines = read_logbook(folder / "logbook.jsonl")
    [changed] = [line for line in lines if "changed" in line]
    assert changed == {"step": 9, "changed": {f"train.{name}": values for name, values in changes.items()}}
    [rate] = [line["learning_rate/network"] for line in lines if line["step"] == 10 and "learning_rate/network" in line]
    assert rate == pytest.approx(0.01 * 0.99**10, rel=1e-12)
    assert open_checkpoint(folder / "checkpoint" / "step-00000012").metadata["epoch"] == 2  # of 4 steps each
    settings = json.loads((folder / "settings.json").read_text())["train"]
    assert [settings[name] for name in changes] == [new for _, new in changes.values()]

    straight = weights(tmp_path / "ckpts/first", 12)
    older = ("--resume_type", "resume", "--checkpoint", str(folder / "checkpoint" / "step-00000008"))
    code, printed, errors = train(*older, "--set", "train.max_steps=12")
    assert code == 0 and "train.batch_size: 2 -> 3, from step 9 on" in printed, errors
    assert torch.equal(straight, weights(tmp_path / "ckpts/first", 12))
    assert len([line for line in read_logbook(folder / "logbook.jsonl") if "changed" in line]) == 1
    code, printed, _ = train(*asked, "--set", "train.max_steps=13")
    assert code == 0 and "->" not in printed and "trained to step 13" in printed


def test_resume_keeps_the_settings_the_experiment_began_with(train, tmp_path):
    train()
    other = ("--set", "train.batch_size=4", "--set", "train.max_steps=12")
    code, printed, errors = train("--resume_type", "resume", *other)
    assert code == 0 and "trained to step 12" in printed
    assert "train.batch_size: 2 -> 4" in errors
    settings = json.loads((tmp_path / "ckpts/first/settings.json").read_text())
    assert settings["train"]["batch_size"] == 2 and settings["train"]["max_steps"] == 12


def test_settings_may_change_before_the_first_checkpoint(train, tmp_path):
    folder = tmp_path / "ckpts" / "first"
    train("--set", "train.precision=fp16")
    assert not (folder / "checkpoint").exists()
    code, _, _ = train("--set", "model.hidden_size=16")
    assert code == 0
    assert json.loads((folder / "settings.json").read_text())["model"]["hidden_size"] == 16


def test_resume_from_an_older_checkpoint_of_the_experiment(train, tmp_path):
    train()
    older = tmp_path / "ckpts/first/checkpoint/step-00000004"
    straight = weights(tmp_path / "ckpts/first", 8)
    code, printed, errors = train("--resume_type", "resume", "--checkpoint", str(older))
    assert code == 0 and "step-00000004" in printed and "step-00000008.superseded" in errors
    assert torch.equal(straight, weights(tmp_path / "ckpts/first", 8))


def test_finetune_begins_a_new_experiment_with_the_weights_of_another(train, tmp_path):
    train()
    place = str(tmp_path / "ckpts" / "first")
    arguments = ("--name", "second", "--resume_type", "finetune", "--checkpoint", place)
    code, printed, _ = train(*arguments, "--set", "train.max_steps=1", "--set", "train.learning_rate=1e-9")
    assert code == 0 and "starting with the weights of" in printed
    before, after = weights(tmp_path / "ckpts/first", 8), weights(tmp_path / "ckpts/second", 1)
    assert torch.allclose(before, after, atol=1e-6)
    code, _, errors = train("--name", "third", *arguments[2:], "--set", "model.hidden_size=4")
    assert code == 1 and "0.weight has shape (8, 3) where the network has (4, 3)" in errors


@pytest.mark.slow
def test_finetuning_begins_from_the_base_where_no_weights_are_named(train, tmp_path, monkeypatch):
    train()
    base = tmp_path / "ckpts" / "first"
    monkeypatch.setattr(models.runs.train, "fitting_base", lambda settings: base)
    for expected in (f"starting with the weights of {base}", "resuming from"):
        code, printed, errors = train("--name", "second", "--resume_type", "finetune")
        assert code == 0 and expected in printed, errors
    code, _, errors = train("--name", "third", "--set", "train.max_steps=4", "--set", "train.seed=1")
    assert code == 0, errors
    code, _, errors = train("--name", "third", "--resume_type", "finetune", "--set", "train.seed=1")
    assert code == 1 and f"was started with random weights, not with those of --checkpoint {base}" in errors


@pytest.mark.slow
def test_every_bundle_names_the_teachers_of_its_data_and_of_its_initial_weights(train, tmp_path):
    base, own = Source("a teacher, voice one", "Apache-2.0"), Source("another", "CC-BY-4.0")
    features = tmp_path / "features"
    arguments = ("--set", f"preprocess.processed_dir={features}", "--set", "train.max_steps=4")
    write_sources(features / "toys", [base])
    code, printed, _ = train(*arguments)
    assert code == 0 and f"trained on speech of {base}" in printed
    write_sources(features / "toys", [own])
    tuned = ("--name", "tuned", "--resume_type", "finetune", "--checkpoint", str(tmp_path / "ckpts" / "first"))
    assert train(*tuned, *arguments)[0] == 0
    assert inherited_sources(tmp_path / "ckpts" / "tuned") == (base,)
    write_sources(features / "toys", [])
    assert train("--name", "tuned", *arguments, "--set", "train.max_steps=6")[0] == 0
    assert train("--name", "recorded", *arguments)[0] == 0
    named = {name: read_sources(tmp_path / "ckpts" / name / "bundle") for name in ("first", "tuned", "recorded")}
    assert named == {"first": (base,), "tuned": (base,), "recorded": ()}


@pytest.mark.slow
def test_finetuning_under_an_existing_name_resumes_only_with_the_same_weights(train, tmp_path):
    train()
    place, other = tmp_path / "ckpts" / "first", tmp_path / "ckpts" / "other"
    train("--name", "other")
    second = ("--name", "second", "--resume_type", "finetune")
    assert train(*second, "--checkpoint", str(place), "--set", "train.max_steps=4")[0] == 0
    for same in (place, place / "checkpoint" / "step-00000008"):
        code, printed, errors = train(*second, "--checkpoint", str(same))
        assert code == 0 and "resuming from" in printed and "step-0000000" in printed, errors
    code, _, errors = train(*second, "--checkpoint", str(other))
    assert code == 1 and f"was started with the weights of {place}, not with those of --checkpoint {other}" in errors
    code, _, errors = train("--resume_type", "finetune", "--checkpoint", str(other))
    assert code == 1 and f"{place}: was started with random weights, not with" in errors
    (tmp_path / "ckpts" / "second" / "origin.json").unlink()  # as of an experiment that began before these were kept
    code, printed, errors = train(*second, "--checkpoint", str(other))
    assert code == 0 and "its initial weights are not recorded; it is resumed without --checkpoint" in errors
    train("--name", "second")
    assert "initial_weights" not in json.loads((tmp_path / "ckpts" / "second" / "origin.json").read_text())


@pytest.mark.slow
def test_frozen_parts_are_listed_and_stay_frozen_on_resuming(train, tmp_path):
    parts = ("--set", "train.freeze=['0']")
    code, printed, _ = train(*parts, "--set", "train.max_steps=4")
    assert code == 0 and "frozen: 0.00 M of 0.00 M parameters: 0\n" in printed
    first = weights(tmp_path / "ckpts/first", 4)
    code, printed, errors = train("--set", "train.max_steps=6")
    assert code == 1 and 'train.freeze: ["0"] -> []' in errors
    code, printed, _ = train(*parts, "--set", "train.max_steps=6")
    assert code == 0 and torch.equal(first, weights(tmp_path / "ckpts/first", 6))
    code, _, errors = train("--name", "second", "--set", "train.freeze=['netwrk']")
    assert code == 1 and 'train.freeze: "netwrk" matches no part' in errors and "similar: network" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume_type", "resume"), "has no checkpoint to resume from"),
        (("--resume_type", "finetune"), "needs --checkpoint, the initial weights"),
        (("--resume_type", "finetune", "--checkpoint", "no/where"), "no/where: there is no such folder"),
        (("--resume_type", "resume", "--checkpoint", "tests"), "tests: is no checkpoint"),
        (("--checkpoint", "tests"), "needs --resume_type"),
        (("--name", "../elsewhere"), "cannot be the name of a folder"),
        (("--set", "train.precision=fp16"), "fp16 needs a GPU"),
        (("--set", "train.batchsize=3"), "did you mean train.batch_size?"),
        (("--set", "train.batch_size=100"), "yields no batches"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(train, arguments, message):
    code, _, errors = train(*arguments)
    assert code == 1 and message in errors and "Traceback" not in errors


def test_checkpoint_of_another_experiment_is_not_resumed(train, tmp_path):
    train()
    place = str(tmp_path / "ckpts/first")
    code, _, errors = train("--name", "second", "--resume_type", "resume", "--checkpoint", place)
    assert code == 1 and "is not of this experiment" in errors and "finetune" in errors


def test_overfitting_one_batch_passes_or_fails_and_keeps_nothing(train, tmp_path):
    code, printed, _ = train("--overfit_one_batch", "100", "--set", "model.dropout=0.0")
    assert code == 0 and "pass: train/network/loss went from" in printed
    code, printed, _ = train("--overfit_one_batch", "20", "--set", "train.learning_rate=1e-9")
    assert code == 1 and "FAIL: train/network/loss went from" in printed
    assert not (tmp_path / "ckpts").exists()


def test_two_runs_in_one_folder_are_refused(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from utils.lock import sole_user\n"
            f"with sole_user(Path({str(tmp_path)!r})): print('in', flush=True); sys.stdin.read()",
        ],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "in\n"
    with pytest.raises(InUseError, match="another run is using"), sole_user(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with sole_user(tmp_path):
        pass


PROGRAM = "tests.support.toy_model.train"


def launch(launcher: str, *arguments: str) -> str:
    """Return what a training printed that a launcher started."""
    command = [sys.executable, *launcher.split(), "-m", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_resume(config, tmp_path):
    forever = ("--set", "train.max_steps=1000000", "--set", "train.log_every_steps=1")
    process = start(PROGRAM, "--config", config, "--name", "first", *forever)
    lines = tmp_path / "ckpts/first/logbook.jsonl"
    while process.poll() is None and not (lines.exists() and read_logbook(lines)):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "which is saved; the same command resumes from there" in printed and "Traceback" not in errors


@pytest.mark.slow
def test_several_processes_train_one_experiment(config, tmp_path):
    common = ("--config", str(config), "--set", "model.dropout=0.0")
    launcher = "-m torch.distributed.run --standalone --nproc_per_node 2"
    printed = launch(launcher, *common, "--name", "two")
    assert printed.count("trained to step 8") == 1 and "2 processes on cpu" in printed
    assert call(PROGRAM, *common, "--name", "one", "--set", "train.batch_size=4").returncode == 0
    assert torch.allclose(weights(tmp_path / "ckpts/two", 8), weights(tmp_path / "ckpts/one", 8), atol=1e-6)
    processes = start_two(PROGRAM, *common, "--name", "two", "--set", "train.seed=5")
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], errors
    assert any("train.seed: 0 -> 5" in each for each in errors)


@pytest.mark.slow
def test_accelerate_launch_trains(config):
    launcher = "-m accelerate.commands.launch --cpu --num_processes 1"
    assert "trained to step 8" in launch(launcher, "--config", str(config), "--name", "first")
