"""Checkpoints are evaluated in a process of their own: figures come late and stand at their steps."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils.trainer
from tests.support.commands import start, start_two
from tests.support.evaluation_work import make_stand_in
from tests.support.toy_tasks import ToyBatches, ToyRegression, train_toy
from utils.checkpoint import awaits_figures, open_checkpoint
from utils.evaluation_process import EvaluationProcess
from utils.logbook import read_logbook
from utils.trainer import TrainerOptions

OPTIONS = TrainerOptions(max_steps=12, save_every_steps=2, log_every_steps=2, keep_last=1, evaluate_every_steps=4)


class Slow(ToyBatches):
    """As many steps as wanted, but slowly."""

    def groups(self, epoch, start_group=0):
        for group in super().groups(epoch, start_group):
            time.sleep(0.05)
            yield group


def figures_of(folder: Path) -> dict[int, float]:
    lines = read_logbook(folder / "logbook.jsonl")
    return {line["step"]: line["evaluation/distillmos"] for line in lines if "evaluation/distillmos" in line}


def checkpoints(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in sorted((folder / "checkpoint").glob("step-????????"))]


def weights(folder: Path, step: int = 12) -> torch.Tensor:
    return open_checkpoint(folder / f"checkpoint/step-{step:08d}").weights("network")["0.weight"]


def evaluators(folder: Path) -> list[int]:
    """Return the ids of the processes that have evaluated a checkpoint."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob("evaluated-by-*")]


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_figures_stand_at_their_steps_in_logbook_and_tensorboard(tmp_path):
    """Each takes longer than the steps to the next checkpoint; what waits is not removed, although one is kept."""
    outcome, _ = train_toy(
        tmp_path, batches=Slow(), options=OPTIONS, evaluation_process=EvaluationProcess(make_stand_in, 0.3)
    )
    assert outcome.finished
    assert figures_of(tmp_path) == {4: 5.0, 8: 9.0, 12: 13.0}
    lines = read_logbook(tmp_path / "logbook.jsonl")
    assert all(line["evaluation/is_there"] == 1.0 for line in lines if "evaluation/is_there" in line)
    assert [line["step"] for line in lines] != sorted(line["step"] for line in lines), "none came late"
    assert checkpoints(tmp_path) == [12]
    board, training = (EventAccumulator(str(tmp_path / "tensorboard" / run)) for run in ("", "train"))
    board.Reload(), training.Reload()
    assert [(event.step, event.value) for event in board.Scalars("evaluation/distillmos")] == [(4, 5), (8, 9), (12, 13)]
    assert len(training.Scalars("network/loss")) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("by", "best"), [("distillmos", 8), ("loss", 4)])
def test_the_best_checkpoint_is_that_of_the_highest_figure(tmp_path, by, best):
    process = EvaluationProcess(make_stand_in, 0.0, "", (3.0, 4.0, 2.0))
    options = TrainerOptions(
        max_steps=12, save_every_steps=4, valid_every_steps=4, evaluate_every_steps=4, keep_best=1, keep_best_by=by
    )
    _, trainer = train_toy(tmp_path, batches=Slow(), options=options, evaluation_process=process)
    losses = {
        line["step"]: line["valid/loss"] for line in read_logbook(tmp_path / "logbook.jsonl") if "valid/loss" in line
    }
    assert min(losses, key=losses.get) == 4
    assert checkpoints(tmp_path) == [best, 12]
    assert trainer.checkpoints.folder(12).joinpath("evaluation.json").is_file()


@pytest.mark.slow
def test_training_is_the_same_to_the_bit_with_and_without_it(tmp_path):
    runs = (("without", (12,)), ("with", (12,)), ("stopped", (5, 12)))
    for name, stops in runs:
        for max_steps in stops:
            torch.manual_seed(1)
            options = replace(OPTIONS, max_steps=max_steps, evaluate_every_steps=0 if name == "without" else 4)
            process = EvaluationProcess(make_stand_in) if name != "without" else None
            train_toy(tmp_path / name, ToyRegression(dropout=0.5), options=options, evaluation_process=process)
        assert torch.equal(weights(tmp_path / "without"), weights(tmp_path / name))
    assert figures_of(tmp_path / "stopped").keys() == {4, 5, 8, 12}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        ("raises", "step 4: its checkpoint could not be evaluated: the text is empty"),
        ("dies", "step 4: its checkpoint could not be evaluated: the process was killed by SIGKILL"),
        ("cannot begin", "no checkpoint is evaluated any more: the vocoder is missing"),
    ],
)
def test_its_failures_are_warnings(tmp_path, capsys, fault, warning):
    outcome, _ = train_toy(tmp_path, options=OPTIONS, evaluation_process=EvaluationProcess(make_stand_in, 0, fault))
    assert outcome.finished and figures_of(tmp_path) == {}
    errors = capsys.readouterr().err
    assert errors.count(warning) == 1
    assert checkpoints(tmp_path) == [12]


@pytest.mark.slow
def test_a_slow_process_does_not_collect_checkpoints(tmp_path, capsys, monkeypatch):
    """The last one is not passed over: there is time."""
    monkeypatch.setattr(utils.trainer, "_MAX_WAIT_S", 1.0)
    options = replace(OPTIONS, max_steps=14)
    outcome, _ = train_toy(tmp_path, options=options, evaluation_process=EvaluationProcess(make_stand_in, 600))
    assert outcome.finished and figures_of(tmp_path) == {}
    assert checkpoints(tmp_path) == [4, 8, 14]
    errors = capsys.readouterr().err
    assert "step 12 is not evaluated: 2 checkpoints wait already" in errors
    assert "training ends before all checkpoints are evaluated" in errors
    wait_for(lambda: not any(is_running(each) for each in evaluators(tmp_path)))
    train_toy(tmp_path, options=options, evaluation_process=EvaluationProcess(make_stand_in))
    assert figures_of(tmp_path).keys() == {4, 8, 14}
    assert checkpoints(tmp_path) == [14]


@pytest.mark.slow
def test_a_stopped_run_waits_for_no_figure_and_the_next_one_evaluates_what_waited(tmp_path):
    class Stopping(Slow):
        def groups(self, epoch, start_group=0):
            for number, group in enumerate(super().groups(epoch, start_group)):
                if number == 5 and threading.current_thread() is threading.main_thread():
                    os.kill(os.getpid(), signal.SIGTERM)
                yield group

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    began = time.monotonic()
    process = EvaluationProcess(make_stand_in, 600)
    outcome, trainer = train_toy(tmp_path, batches=Stopping(), options=OPTIONS, evaluation_process=process)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert not outcome.finished and outcome.step < 12 and time.monotonic() - began < 60
    assert awaits_figures(trainer.checkpoints.folder(4))
    outcome, trainer = train_toy(tmp_path, options=OPTIONS, evaluation_process=EvaluationProcess(make_stand_in))
    assert outcome.finished and figures_of(tmp_path).keys() == {4, 8, 12}
    assert not awaits_figures(trainer.checkpoints.folder(12))


@pytest.mark.slow
def test_two_processes_that_train_together_have_one(tmp_path):
    options = {"max_steps": 12, "save_every_steps": 2, "evaluate_every_steps": 4, "evaluation_s": 0.3}
    both = start_two("tests.support.toy_tasks", tmp_path, *(f"{name}={value}" for name, value in options.items()))
    for process in both:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors[-4000:]
    assert {4, 12} <= figures_of(tmp_path).keys() <= {4, 8, 12}
    assert len(evaluators(tmp_path)) == 1


@pytest.mark.slow
def test_it_ends_with_a_training_that_is_killed(tmp_path):
    options = {
        "max_steps": 5000,
        "save_every_steps": 2,
        "evaluate_every_steps": 4,
        "pause_s": 0.05,
        "evaluation_s": 600,
    }
    process = start(
        "tests.support.toy_tasks", tmp_path, *(f"{name}={json.dumps(value)}" for name, value in options.items())
    )
    try:
        wait_for(lambda: evaluators(tmp_path) or process.poll() is not None)
        [process_id] = evaluators(tmp_path)
        assert is_running(process_id)
    finally:
        process.kill()
    wait_for(lambda: not is_running(process_id))
