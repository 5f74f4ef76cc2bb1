"""Failing trainings: they end with exit code 1 and a sentence, with loader workers and with two processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from config.load import write_settings
from config.paths import REPOSITORY
from tests.support.commands import call, start_two
from tests.support.tiny_models import TinyModel
from utils.checkpoint import CheckpointFolder
from utils.errors import RecitalError
from utils.failures import FailureError, failures_in_training

TO_LOWER = {"train.batch_size": 16, "train.max_frames_per_batch": 0}
TWO_PROCESSES = "--multi_gpu --num_processes 2 --num_machines 1 --main_process_port 0"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("failing")
    every = dict.fromkeys(("log", "valid", "sample", "save"), 3)
    settings = TinyModel("FastSpeech2", folder).settings(
        f"log_dir={folder / 'log'}",
        "train.num_workers=1",
        "train.max_steps=6",
        "train.max_epochs=0",
        "train.batch_size=2",
        "train.precision=fp32",
        *(f"train.{name}_every_steps={steps}" for name, steps in every.items()),
    )
    write_settings(folder / "settings.json", settings)
    return folder / "settings.json"


PROGRAM = "tests.support.failing_training"


def train(config: Path, failure: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a training that fails; one that does not end raises `subprocess.TimeoutExpired`."""
    return call(PROGRAM, failure, "--config", config, "--name", failure, *arguments, timeout=120)


def test_a_program_error_ends_training(config):
    ended = train(config, "bug")
    assert ended.returncode == 1 and ended.stderr.endswith("ValueError: a mistake in the program\n")


def test_nan_loss_with_debug_ends_training(config):
    ended = train(config, "nan", "--debug")
    assert (
        ended.returncode == 1 and "Traceback" in ended.stderr and "step 1: the loss of network is nan" in ended.stderr
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("memory", "out of main memory (1048576.00 GiB requested"),
        ("killed_worker", "a data loader process was killed"),
        ("full_bundle", "the disk is full"),
        ("full_checkpoint", "step-00000003: could not be written"),
        ("full_tensorboard", "the disk is full"),
    ],
)
def test_a_failure_of_the_machine_ends_training_with_one_sentence(config, failure, sentence):
    ended = train(config, failure)
    errors = [line for line in ended.stderr.splitlines() if not line.startswith("training: ")]
    assert ended.returncode == 1 and len(errors) == 1, ended.stderr
    assert errors[0].startswith("error: ") and sentence in errors[0]
    left = [path.name for path in (config.parent / "log").rglob("*.partial")]
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["accelerate.commands.launch", "utils.launch"])
def test_failure_of_one_of_two_processes_ends_both_and_their_launcher(config, launcher):
    command = [sys.executable, "-m", launcher, *TWO_PROCESSES.split(), "-m", PROGRAM, "bug", "--config", str(config)]
    ended = subprocess.run([*command, "--name", launcher], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and ended.stderr.count("\nValueError: a mistake in the program") == 1, ended.stderr
    assert sum(line.startswith("error: another training process") for line in ended.stderr.splitlines()) == 1
    assert ("torch.distributed.elastic" in ended.stderr) == (launcher != "utils.launch"), ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("bug", "ValueError: a mistake in the program"),
        ("memory", "error: out of main memory"),
        ("full_bundle", "error: the disk is full"),
        ("full_tensorboard", "error: the disk is full"),
    ],
)
def test_failure_of_one_of_two_processes_ends_both(config, failure, sentence):
    two = start_two(PROGRAM, failure, "--config", config, "--name", f"two_{failure}")
    errors = [process.communicate(120)[1] for process in two]
    said = [line for each in errors for line in each.splitlines() if line.startswith(("error: ", "ValueError: "))]
    assert [process.returncode for process in two] == [1, 1], errors
    assert len(said) == 2 and sum(line.startswith(sentence) for line in said) == 1, errors


@pytest.mark.slow
def test_interrupted_launcher_leaves_a_checkpoint_and_no_traceback(config):
    name, flags = "interrupted", ["--set", "train.max_steps=100000", "--set", "train.valid_every_steps=100000"]
    command = [sys.executable, "-m", "utils.launch", *TWO_PROCESSES.split(), "-m", "bins.train", "--config"]
    launched = subprocess.Popen(
        [*command, str(config), "--name", name, *flags], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    checkpoints = config.parent / "log" / name / "checkpoint"
    while launched.poll() is None and not list(checkpoints.glob("step-*")):
        time.sleep(0.1)
    launched.send_signal(signal.SIGINT)
    _, errors = launched.communicate(timeout=120)
    assert launched.returncode == 130 and "Traceback" not in errors, errors
    assert CheckpointFolder(checkpoints).newest() is not None


@pytest.mark.slow
def test_launcher_names_missing_gpus(config):
    asked = ",".join(map(str, range(max(torch.cuda.device_count(), 1) + 1)))
    ended = subprocess.run(
        [sys.executable, "-m", "utils.launch", *TWO_PROCESSES.split(), "-m", "bins.train", "--gpu", asked],
        cwd=REPOSITORY,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": asked},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: --gpu {asked}: asks for") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity"),
            "out of GPU memory (2.50 GiB requested): lower train.batch_size (now 16) or "
            "train.max_frames_per_batch (now no limit), and raise train.gradient_accumulation_steps by as much as "
            "train.batch_size gets smaller; the same command resumes from the last checkpoint",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
            "out of GPU memory: l",
        ),
        (MemoryError("Caught MemoryError in DataLoader worker process 0."), "out of main memory: l"),
        (RuntimeError("unable to write to file </torch_12_3>: No space left on device (28)"), "out of shared memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full (experiment); free some space"),
        (OSError(errno.EFBIG, "File too large", "a/file"), "the disk is full (a/file); free some space"),
        (SafetensorError("Error while serializing: I/O error: No space left on device"), "the disk is full (exp"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer [::1]:2"), "another training process"),
    ],
)
def test_each_failure_of_the_machine_has_its_message(error, sentence):
    with pytest.raises(FailureError) as caught, failures_in_training("experiment", TO_LOWER):
        raise error
    assert str(caught.value).startswith(sentence) and caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "no file"), RecitalError("x")])
def test_other_errors_are_not_changed(error):
    with pytest.raises(type(error)) as caught, failures_in_training("experiment", TO_LOWER):
        raise error
    assert caught.value is error
