"""The trainer: exact resuming, accumulation, processes, precision, validation, warnings."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.commands import start, start_two
from tests.support.toy_tasks import BadAt, ToyBatches, ToyGan, ToyRegression, make_batch, train_toy
from tests.support.two_processes import TASKS
from utils.checkpoint import CheckpointError, open_checkpoint
from utils.errors import RecitalError
from utils.logbook import read_logbook
from utils.meters import LossWatch
from utils.processes import TrainingError
from utils.stop_request import StopRequest
from utils.task import Optimization, Sum, Term, Update
from utils.trainer import TrainerOptions


def weights_of(folder: Path, step: int) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder / "checkpoint" / f"step-{step:08d}")
    names = [path.stem for path in sorted(checkpoint.folder.glob("*.safetensors"))]
    return {f"{name}.{key}": value for name in names for key, value in checkpoint.weights(name).items()}


def greatest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[key] - other[key]).abs().max().item() for key in one)


def steady_lines(folder: Path) -> list[dict]:
    """Return the logbook's lines without times."""
    lines = read_logbook(folder / "logbook.jsonl")
    return [{name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines]


@pytest.mark.slow
def test_regression_is_learned(tmp_path):
    outcome, _ = train_toy(tmp_path, max_steps=150, log_every_steps=10, valid_every_steps=50)
    lines = read_logbook(tmp_path / "logbook.jsonl")
    losses = [line["train/network/loss"] for line in lines if "train/network/loss" in line]
    assert outcome.finished and outcome.step == 150
    assert losses[-1] < losses[0] / 3
    assert outcome.valid_losses["loss"] < 1.0


def test_generator_updates_leave_no_gradients_in_the_discriminator(tmp_path):
    task = ToyGan()
    train_toy(tmp_path, task, max_steps=5)
    assert len(task.gradients_seen) == 5
    assert not any(flag for flags in task.gradients_seen for flag in flags)
    assert all(parameter.requires_grad for module in task.modules.values() for parameter in module.parameters())


def test_gan_steps_are_those_of_a_plain_loop(tmp_path):
    """A loop written for this model alone ends in the same weights."""
    torch.manual_seed(0)
    start, batches = ToyGan(), ToyBatches()
    alone = copy.deepcopy(start)
    optimizations = alone.optimizers()
    for epoch in (0, 1):
        for [batch] in batches.groups(epoch):
            story = alone.updates(batch, 0)
            for name in ("discriminator", "generator"):
                update = next(story)
                for module in alone.modules.values():
                    module.zero_grad()
                sum(term.weight * term.value for term in update.terms.values()).backward()
                optimizations[name].optimizer.step()
        for optimization in optimizations.values():
            optimization.scheduler.step()
    train_toy(tmp_path, start, batches, max_steps=0, max_epochs=2)
    theirs = {f"{name}.{key}": v for name, m in alone.modules.items() for key, v in m.state_dict().items()}
    assert greatest_difference(weights_of(tmp_path, 24), theirs) < 1e-6


@pytest.mark.parametrize("make_task", [ToyRegression, ToyGan])
def test_accumulated_batches_equal_one_large_batch(tmp_path, make_task):
    options = TrainerOptions(max_steps=12, gradient_clip=0.5, save_every_steps=12, log_every_steps=4)
    for name, batch_size, accumulation in (("large", 6, 1), ("small", 2, 3)):
        torch.manual_seed(5)
        train_toy(tmp_path / name, make_task(), ToyBatches(24, batch_size, accumulation), options)
    assert greatest_difference(weights_of(tmp_path / "large", 12), weights_of(tmp_path / "small", 12)) < 2e-6
    for large, small in zip(steady_lines(tmp_path / "large"), steady_lines(tmp_path / "small"), strict=True):
        assert large == pytest.approx(small, rel=1e-4, abs=1e-6)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    """Return the folder in which two gloo processes ran `tests/support/two_processes.py`."""
    folder = tmp_path_factory.mktemp("two_processes")
    for process in start_two("tests.support.two_processes", folder):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-4000:]
    return folder


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", TASKS)
def test_two_processes_equal_one_with_batches_twice_as_large(tmp_path, two_processes, name, accumulation):
    """With a moving average, and with an optimizer that rests at first."""
    together = two_processes / f"{name}-{accumulation}"
    torch.manual_seed(5)
    options = TrainerOptions(max_steps=9, gradient_clip=0.5, save_every_steps=9, log_every_steps=3)
    train_toy(tmp_path, TASKS[name](), ToyBatches(24, 8), options)
    assert greatest_difference(weights_of(tmp_path, 9), weights_of(together, 9)) < 2e-6
    for one, two in zip(steady_lines(tmp_path), steady_lines(together), strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-6)


def test_two_processes_resume_to_the_bit_each_with_its_own_random_numbers(two_processes):
    straight, stopped = (weights_of(two_processes / name, 9) for name in ("straight", "stopped"))
    assert greatest_difference(straight, stopped) == 0.0


def test_bad_data_in_one_process_stops_both_and_is_named_by_both(two_processes):
    for rank in (0, 1):
        message = (two_processes / f"error-{rank}.txt").read_text()
        assert "step 3" in message and "squared inf" in message and "toy-" in message


def test_schedule_steps_once_per_optimizer_step_whatever_the_number_of_processes(two_processes):
    for line in read_logbook(two_processes / "regression-2" / "logbook.jsonl"):
        if "learning_rate/network" in line:
            assert line["learning_rate/network"] == pytest.approx(0.05 * 0.99 ** line["step"])


# Resuming


@pytest.mark.slow
@pytest.mark.parametrize("make_task", [lambda: ToyRegression(dropout=0.5), ToyGan], ids=["regression", "gan"])
def test_resume_continues_the_same_run(tmp_path, make_task):
    """Stopped in the middle of the second epoch, between two lines of the logbook."""
    options = TrainerOptions(save_every_steps=1000, log_every_steps=10, valid_every_steps=4, sample_every_steps=1000)
    for stops, name in (((50,), "straight"), ((17, 50), "stopped")):
        for max_steps in stops:
            torch.manual_seed(1)
            train_toy(tmp_path / name, make_task(), options=options, max_steps=max_steps)
    assert greatest_difference(weights_of(tmp_path / "straight", 50), weights_of(tmp_path / "stopped", 50)) == 0.0


@pytest.mark.parametrize("stops", [(17, 50), (17, 30, 50), (17, 24, 50)], ids=str)
def test_a_run_with_changed_settings_resumes_exactly(tmp_path, stops):
    """Changed after step 17 of epochs of 12; stopped again within an epoch, and where one begins."""

    def train(name, stops):
        for number, max_steps in enumerate(stops):
            torch.manual_seed(1)
            changed = number > 0
            task = ToyRegression(dropout=0.5, learning_rate=0.02 if changed else 0.05)
            batches = ToyBatches(batch_size=4 if changed else 2)
            options = TrainerOptions(max_steps=max_steps, save_every_steps=1000, log_every_steps=10)
            train_toy(tmp_path / name, task, batches, options, adjustable={"batch_size": batches.batch_size})
        return open_checkpoint(tmp_path / name / "checkpoint" / "step-00000050")

    straight, stopped = train("straight", (17, 50)), train("stopped", stops)
    assert straight.metadata["epoch"] == stopped.metadata["epoch"] == 7 and straight.metadata["group"] == 3
    wanted, found = straight.weights("network"), stopped.weights("network")
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    lines = steady_lines(tmp_path / "stopped")
    rates = {line["step"]: line[key] for key in ("learning_rate/network",) for line in lines if key in line}
    assert rates[10] == pytest.approx(0.05 * 0.99**10) and rates[50] == pytest.approx(0.02 * 0.99**50, rel=1e-12)


def start_toy(folder: Path, **changes):
    return start("tests.support.toy_tasks", folder, *(f"{name}={json.dumps(value)}" for name, value in changes.items()))


def wait_for_step(folder: Path, step: int, process) -> None:
    while process.poll() is None:
        path = folder / "logbook.jsonl"
        if path.exists() and any(line["step"] >= step for line in read_logbook(path)):
            return
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_run_resumes_exactly(tmp_path):
    """Killed with SIGKILL at random moments, many of them while saving, which happens at every other step."""
    steps, options = 120, {"save_every_steps": 2, "keep_last": 2}
    straight = start_toy(tmp_path / "straight", max_steps=steps, **options)
    rng = random.Random(3)
    killed = tmp_path / "killed"
    for kill_at in (9, 33, 60, 96):
        process = start_toy(killed, max_steps=steps, pause_s=0.002, **options)
        wait_for_step(killed, kill_at, process)
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _, errors = start_toy(killed, max_steps=steps, **options).communicate()
    assert straight.wait() == 0, straight.communicate()
    assert greatest_difference(weights_of(tmp_path / "straight", steps), weights_of(killed, steps)) == 0.0, errors
    assert steady_lines(tmp_path / "straight") == steady_lines(killed)
    assert sorted(os.listdir(killed / "checkpoint")) == sorted(os.listdir(tmp_path / "straight" / "checkpoint"))


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]], ids=str)
def test_signal_ends_a_run_with_a_checkpoint_of_its_last_step(tmp_path, numbers):
    """Also if a launcher passes on a Ctrl-C that the run received itself."""
    process = start_toy(tmp_path, max_steps=100_000, save_every_steps=50_000)
    wait_for_step(tmp_path, 3, process)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.01)
    printed, errors = process.communicate(timeout=60)
    outcome = json.loads(printed.splitlines()[-1])
    assert process.returncode == 0 and not outcome["finished"] and outcome["signal_number"] == numbers[0], errors
    assert open_checkpoint(tmp_path / "checkpoint" / f"step-{outcome['step']:08d}").step == outcome["step"]


def test_a_repeated_signal_after_the_block_is_ignored():
    """But a later Ctrl-C has its former effect."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores SIGINT
    with StopRequest() as request:
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    request._noted_at -= 10
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, inherited)


def test_more_validations_and_samples_do_not_change_a_run(tmp_path):
    for name, every in (("seldom", 100), ("often", 1)):
        torch.manual_seed(1)
        task = ToyRegression(dropout=0.5)
        train_toy(tmp_path / name, task, max_steps=10, valid_every_steps=every, sample_every_steps=every)
    assert greatest_difference(weights_of(tmp_path / "seldom", 10), weights_of(tmp_path / "often", 10)) == 0.0


def test_resume_from_an_older_checkpoint_sets_later_checkpoints_aside(tmp_path):
    _, trainer = train_toy(tmp_path, max_steps=12, save_every_steps=4, keep_last=5, log_every_steps=2)
    older = open_checkpoint(tmp_path / "checkpoint" / "step-00000004")
    trainer.fit(older)
    names = sorted(os.listdir(tmp_path / "checkpoint"))
    assert "step-00000012.superseded" in names and "step-00000012" in names
    steps = [line["step"] for line in read_logbook(tmp_path / "logbook.jsonl") if "train/network/loss" in line]
    assert steps == [2, 4, 6, 8, 10, 12]


def test_resume_with_another_network_lists_what_differs(tmp_path):
    train_toy(tmp_path, max_steps=4)
    task = ToyRegression()
    task.modules["network"] = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    with pytest.raises(CheckpointError, match=r"0\.weight has shape \(16, 3\) where the network has \(8, 3\)"):
        train_toy(tmp_path, task, max_steps=8)


def test_a_finished_run_is_not_changed(tmp_path):
    train_toy(tmp_path, max_steps=4)
    outcome, _ = train_toy(tmp_path, max_steps=4)
    assert outcome.finished and outcome.step == 4


# What must not pass


@pytest.mark.parametrize("accumulation", [1, 2])
def test_infinite_loss_stops_before_the_weights_are_touched_and_names_the_batch(tmp_path, accumulation):
    task = ToyRegression()
    batches = ToyBatches(accumulation=accumulation)
    bad = BadAt(batches, 6)
    [*_, culprit] = list(batches.groups(0))[5]
    with pytest.raises(TrainingError) as caught:
        train_toy(tmp_path, task, bad, max_steps=12, save_every_steps=5, keep_best=0)
    message = str(caught.value)
    assert message.startswith("step 6: the loss of network is inf (squared inf, mean inf in the batch of ")
    assert all(name in message for name in culprit.ids) and message.count("toy-") == len(culprit.ids)
    kept = weights_of(tmp_path, 5)
    left = {f"network.{key}": value for key, value in task.modules["network"].state_dict().items()}
    assert greatest_difference(kept, left) == 0.0


def test_a_nan_gradient_stops_a_run_with_a_finite_loss(tmp_path):
    class Steep(ToyRegression):
        def _terms(self, batch, predicted):
            terms = super()._terms(batch, predicted)
            return {**terms, "root": Term(torch.sqrt(predicted.sum() * 0.0))}  # 0, with an infinite slope

    with pytest.raises(TrainingError, match=r"step 1: the gradient norm of network is nan .*root -?0 in the batch"):
        train_toy(tmp_path, Steep())


def test_fp16_on_the_cpu_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"train\.precision: fp16 needs a GPU"):
        train_toy(tmp_path, precision="fp16")


def test_data_without_a_batch_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="yields no batches"):
        train_toy(tmp_path, batches=ToyBatches(n_utterances=1, batch_size=2))


# How it trains


def test_bf16_learns_with_weights_in_float32(tmp_path):
    task = ToyRegression()
    train_toy(tmp_path, task, precision="bf16", max_steps=60, log_every_steps=10)
    losses = [line["train/network/loss"] for line in steady_lines(tmp_path) if "train/network/loss" in line]
    assert losses[-1] < losses[0] / 2
    assert {parameter.dtype for parameter in task.modules["network"].parameters()} == {torch.float32}


def test_fp16_leaves_out_steps_that_overflow_and_resumes_with_its_loss_scale(tmp_path, monkeypatch):
    """On the CPU, where fp16 is allowed in this test only."""
    monkeypatch.setattr("utils.train_step.why_not", lambda precision, device: "")

    class Counting(ToyRegression):
        def optimizers(self):
            made = super().optimizers()
            self.optimizer, self.scheduler = made["network"].optimizer, made["network"].scheduler
            return made

    for stops, name in (((30,), "straight"), ((11, 30), "stopped")):
        for max_steps in stops:
            torch.manual_seed(1)
            task = Counting(dropout=0.1)
            train_toy(tmp_path / name, task, precision="fp16", max_steps=max_steps, log_every_steps=5)
            steps_taken = int(next(iter(task.optimizer.state.values()))["step"])
            assert 0 < steps_taken < max_steps and task.scheduler.last_epoch == steps_taken
    assert greatest_difference(weights_of(tmp_path / "straight", 30), weights_of(tmp_path / "stopped", 30)) == 0.0
    scales = [line["loss_scale"] for line in steady_lines(tmp_path / "straight") if "loss_scale" in line]
    assert scales[-1] < 65536.0
    assert all(math.isfinite(value) for value in weights_of(tmp_path / "straight", 30)["network.0.weight"].flatten())


def test_networks_compute_in_bf16_where_asked(tmp_path):
    seen = set()

    class Watched(ToyRegression):
        def _terms(self, batch, predicted):
            seen.add(predicted.dtype)
            return super()._terms(batch, predicted)

    train_toy(tmp_path, Watched(), precision="bf16", max_steps=1)
    assert seen == {torch.bfloat16}


def test_gradients_are_clipped_and_their_norm_is_logged_unclipped(tmp_path):
    class Plain(ToyRegression):
        def optimizers(self):
            optimizer = torch.optim.SGD(self.modules["network"].parameters(), lr=1.0)
            return {"network": Optimization(optimizer, ("network",))}

    task = Plain()
    before = copy.deepcopy(task.modules["network"].state_dict())
    train_toy(tmp_path, task, max_steps=1, gradient_clip=0.01, log_every_steps=1)
    after = task.modules["network"].state_dict()
    moved = math.sqrt(sum((after[key] - before[key]).pow(2).sum().item() for key in before))
    assert moved == pytest.approx(0.01, rel=1e-3)
    assert read_logbook(tmp_path / "logbook.jsonl")[0]["gradient_norm/network"] > 0.1


def test_epochs_end_a_run_and_step_their_schedules(tmp_path):
    outcome, _ = train_toy(tmp_path, ToyGan(), max_steps=0, max_epochs=3)
    assert outcome.finished and outcome.step == 36
    last = [line for line in read_logbook(tmp_path / "logbook.jsonl") if "learning_rate/generator" in line][-1]
    assert last["learning_rate/generator"] == pytest.approx(0.1 * 0.5**3) and last["epoch"] == 3


def test_lowest_validation_loss_is_kept_beside_the_newest(tmp_path):
    class Scripted(ToyRegression):
        losses = iter([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])

        def validate(self, batch):
            return {"loss": Sum(next(self.losses), 1)}

    train_toy(tmp_path, Scripted(), max_steps=6, valid_every_steps=1, save_every_steps=1, keep_last=1, keep_best=2)
    steps = [int(name.removeprefix("step-")) for name in sorted(os.listdir(tmp_path / "checkpoint"))]
    assert steps == [2, 4, 6]


def test_new_lowest_validation_loss_is_saved_though_no_checkpoint_is_due(tmp_path):
    train_toy(tmp_path, max_steps=12, valid_every_steps=3, save_every_steps=100, keep_last=1, keep_best=1)
    checkpoints = sorted((tmp_path / "checkpoint").iterdir())
    losses = {line["step"]: line["valid/loss"] for line in steady_lines(tmp_path) if "valid/loss" in line}
    best = min(losses, key=lambda step: losses[step])
    assert f"step-{best:08d}" in [path.name for path in checkpoints]
    assert open_checkpoint(checkpoints[0]).metadata["best_valid_loss"] == losses[best]


def test_validation_is_the_mean_over_all_units_of_all_batches(tmp_path):
    task = ToyRegression()
    members = np.arange(100, 107)
    trainer = train_toy(tmp_path, task, max_steps=1)[1]
    with torch.no_grad():
        batch = make_batch(members)
        whole = task.validate(batch)["loss"]
    trainer.evaluation.batches = [make_batch(members[:1]), make_batch(members[1:5]), make_batch(members[5:])]
    assert trainer.evaluation.validate()["loss"] == pytest.approx(float(whole.total) / whole.count, rel=1e-5)


def test_bundle_is_that_of_the_newest_checkpoint(tmp_path):
    task = ToyRegression()
    train_toy(tmp_path, task, max_steps=12, save_every_steps=4)
    assert task.bundles == 3
    weight = weights_of(tmp_path, 12)["network.0.weight"].sum().item()
    assert float((tmp_path / "bundle" / "weights.txt").read_text()) == weight


def test_the_test_split_is_measured_once_at_the_end(tmp_path, capsys):
    def no_data():
        raise RecitalError("the store is damaged")

    options = TrainerOptions(max_steps=4, log_every_steps=2)
    for _ in range(2):  # the second run has nothing left to train
        train_toy(tmp_path, options=options, log_to={"test_batches": lambda: [make_batch(np.arange(5))]})
    lines = read_logbook(tmp_path / "logbook.jsonl")
    assert [line["step"] for line in lines if line.get("test/loss", 0) > 0] == [4]
    outcome, _ = train_toy(tmp_path / "damaged", options=options, log_to={"test_batches": no_data})
    assert outcome.finished and "test split is not measured: the store is damaged" in capsys.readouterr().err


def test_padding_share_and_speed_are_in_the_logbook(tmp_path):
    train_toy(tmp_path, max_steps=12, log_every_steps=12)
    batches = [batch for group in ToyBatches().groups(0) for batch in group]
    real = sum(batch.counts["frames"] for batch in batches)
    places = sum(batch.padded["frames"] for batch in batches)
    line = read_logbook(tmp_path / "logbook.jsonl")[0]
    assert line["speed/frames_padding_share"] == pytest.approx(1 - real / places)
    assert line["speed/frames_per_second"] > 0 and 0 <= line["speed/data_wait_share"] <= 1


def test_an_optimizer_may_rest_for_the_first_steps(tmp_path):
    def train(name, *stops):
        for max_steps in stops:
            torch.manual_seed(2)
            task = ToyGan(start_step=5)
            train_toy(tmp_path / name, task, max_steps=max_steps, save_every_steps=3, keep_last=9, log_every_steps=1)
        return [open_checkpoint(tmp_path / name / "checkpoint" / f"step-{step:08d}") for step in (3, 6, 9)]

    early, later, last = (checkpoint.weights("discriminator") for checkpoint in train("straight", 9))
    torch.manual_seed(2)
    fresh = ToyGan().modules["discriminator"].state_dict()
    assert all(torch.equal(early[name], fresh[name]) and not torch.equal(later[name], fresh[name]) for name in fresh)
    stopped = train("stopped", 3, 9)[-1].weights("discriminator")
    assert all(torch.equal(stopped[name], last[name]) for name in last)
    lines = [line for line in read_logbook(tmp_path / "straight" / "logbook.jsonl") if "train/generator/loss" in line]
    assert [line["step"] for line in lines if "train/discriminator/loss" in line] == [6, 7, 8, 9]


@pytest.mark.slow
def test_an_optimizer_may_rest_in_fp16(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.train_step.why_not", lambda precision, device: "")
    for stops, name in (((40,), "straight"), ((3, 40), "stopped")):
        for max_steps in stops:
            torch.manual_seed(2)
            train_toy(tmp_path / name, ToyGan(start_step=5), precision="fp16", max_steps=max_steps, log_every_steps=1)
    straight = weights_of(tmp_path / "straight", 40)
    assert greatest_difference(straight, weights_of(tmp_path / "stopped", 40)) == 0.0
    torch.manual_seed(2)
    fresh = ToyGan().modules["discriminator"].state_dict()
    assert all(not torch.equal(straight[f"discriminator.{name}"], fresh[name]) for name in fresh)


class Undecided(ToyRegression):
    """Rests for the first micro-batch of a step only."""

    def updates(self, batch, step):
        [update] = super().updates(batch, step)
        self.rests = not getattr(self, "rests", False)
        yield Update("network", {}) if self.rests else update


def test_an_optimizer_cannot_rest_for_a_part_of_a_step(tmp_path):
    with pytest.raises(AssertionError, match="network skips a part of the step only"):
        train_toy(tmp_path, Undecided(), ToyBatches(accumulation=2))


class BundlesItsWeights(ToyRegression):
    def bundle(self, folder):
        torch.save(self.modules["network"].state_dict(), folder / "weights.pt")


def test_averaged_weights_are_evaluated_and_resumed(tmp_path):
    decay = 0.6

    def make_task():
        torch.manual_seed(0)
        return BundlesItsWeights(ema_decay=decay)

    task = make_task()
    train_toy(tmp_path / "straight", task, max_steps=6, save_every_steps=1, keep_last=9)
    saved = [open_checkpoint(tmp_path / "straight" / "checkpoint" / f"step-{step:08d}") for step in range(1, 7)]
    expected = make_task().modules["network"].state_dict()
    for number, checkpoint in enumerate(saved):
        share = 1 - min(decay, (1 + number) / (10 + number))
        weights = checkpoint.weights("network")
        expected = {name: expected[name] + share * (weights[name] - expected[name]) for name in expected}
    averaged = saved[-1].weights("network_average")
    torch.testing.assert_close(averaged, expected)
    assert not torch.allclose(averaged["0.weight"], saved[-1].weights("network")["0.weight"])
    bundled = torch.load(tmp_path / "straight" / "bundle" / "weights.pt", weights_only=True)
    assert all(torch.equal(bundled[name], averaged[name]) for name in averaged)
    assert all(
        torch.equal(task.modules["network"].state_dict()[name], value)
        for name, value in saved[-1].weights("network").items()
    )
    for max_steps in (4, 6):
        train_toy(tmp_path / "stopped", make_task(), max_steps=max_steps, save_every_steps=1)
    resumed = open_checkpoint(tmp_path / "stopped" / "checkpoint" / "step-00000006").weights("network_average")
    assert all(torch.equal(resumed[name], averaged[name]) for name in averaged)


def test_an_average_that_starts_late_starts_from_the_weights(tmp_path):
    for max_steps, decay in ((4, 0.0), (5, 0.9)):
        torch.manual_seed(0)
        train_toy(tmp_path, ToyRegression(ema_decay=decay), max_steps=max_steps, save_every_steps=1, keep_last=9)
    before, after = (weights_of(tmp_path, step) for step in (4, 5))
    for name, value in before.items():
        expected = value + 0.9 * (after[name] - value)  # the first share: 1 - 1/10
        torch.testing.assert_close(after[name.replace("network.", "network_average.")], expected)


def test_a_warning_is_repeated_only_after_it_was_absent(tmp_path, capsys):
    class Worried(ToyRegression):
        def diagnose(self, losses, step):
            assert "train/network/squared" in losses
            self.lines = getattr(self, "lines", 0) + 1
            return ["the loss is high"] * (self.lines != 4) + ["it is late"] * (self.lines > 6)

    train_toy(tmp_path, Worried(), max_steps=8, log_every_steps=1)
    warnings = re.findall(r"step (\d): (the loss is high|it is late)", capsys.readouterr().err)
    assert warnings == [("1", "the loss is high"), ("5", "the loss is high"), ("7", "it is late")]


def test_stalled_validation_is_warned_of_in_resumed_runs_too(tmp_path, capsys):
    class Scripted(ToyRegression):
        losses = iter([3.0, 2.0] + [2.0, 5.0] * 5 + [1.0] + [2.0] * 10)

        def validate(self, batch):
            return {"loss": Sum(next(self.losses), 1)}

    for max_steps in (7, 23):
        train_toy(tmp_path, Scripted(), max_steps=max_steps, valid_every_steps=1)
    warnings = re.findall(r"step (\d+): the validation loss has not decreased in 10", capsys.readouterr().err)
    assert warnings == ["12", "23"]


def test_diverging_losses_are_warned_of_but_single_outliers_are_not():
    watch = LossWatch()
    steady = [10.0, 5.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert not any(watch.train({"mel": loss, "pitch": 1.0, "bound": -loss}) for loss in [*steady, 4.0, 1.0, 1.0, 1.0])
    assert any(watch.train({"mel": 10.0, "pitch": 1.0}) for _ in range(3))
    again = LossWatch()
    again.load_state_dict(watch.state_dict())
    [concern] = again.train({"mel": 10.0, "pitch": 1.0})
    assert concern.startswith("mel has grown to over 3 times its lowest")


def test_first_steps_of_a_training_raise_no_warning(tmp_path, capsys):
    watch = LossWatch()
    assert not any(watch.train({"mel": loss}) for loss in (0.1, 5.0, 2.0, 1.0, 1.0, 1.0))

    class WarmsUp(ToyRegression):
        def _terms(self, batch, predicted):
            terms = super()._terms(batch, predicted)
            self.n_calls = getattr(self, "n_calls", 0) + 1
            return {**terms, "risen": Term(torch.tensor(1.0 if self.n_calls < 8 else 50.0), weight=0.0)}

    for name, warmup_steps in (("warm", 30), ("cold", 0)):
        train_toy(tmp_path / name, WarmsUp(), max_steps=30, log_every_steps=1, warmup_steps=warmup_steps)
        assert ("risen has grown" in capsys.readouterr().err) == (name == "cold")


def test_a_diverging_training_loss_is_warned_of(tmp_path, capsys):
    task = ToyRegression(learning_rate=0.02)
    optimizers = task.optimizers

    def diverging():
        made = optimizers()
        optimizer = made["network"].optimizer
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 40 else 500.0)
        return {"network": Optimization(optimizer, ("network",), scheduler)}

    task.optimizers = diverging
    train_toy(tmp_path, task, max_steps=60, log_every_steps=5)
    assert "train/network/squared has grown" in capsys.readouterr().err
