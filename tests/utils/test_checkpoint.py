"""Checkpoints: atomic, rotated, checked on loading."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from config.paths import REPOSITORY
from utils.checkpoint import CheckpointError, CheckpointFolder, open_checkpoint
from utils.files import remove_partial_files
from utils.random_state import kept_random_state, random_state, seed_everything, set_random_state


def save(checkpoints: CheckpointFolder, step: int, valid_loss: float | None = None, value: float | None = None) -> Path:
    weights = {"network": {"weight": torch.full((3, 2), step if value is None else value)}}
    return checkpoints.save(
        step, weights=weights, training_state={"lr": 0.5}, metadata={"epoch": 1, "valid_loss": valid_loss}
    )


def names(checkpoints: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in checkpoints.path.iterdir())


def test_a_checkpoint_is_read_back_unchanged(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    weights = {"b": torch.randn(3, 4).t(), "scalar": torch.tensor(7), "half": torch.randn(2).bfloat16()}
    state = {"moments": [torch.randn(5)], "step": 3, "random": random_state(), "nested": {"a": (1, 2.5, None)}}
    folder = checkpoints.save(1000, weights={"generator": weights}, training_state=state, metadata={"epoch": 2})
    assert folder.name == "step-00001000"
    checkpoint = checkpoints.newest()
    assert checkpoint is not None and checkpoint.step == 1000 and checkpoint.metadata["epoch"] == 2
    for name, tensor in checkpoint.weights("generator").items():
        assert torch.equal(tensor, weights[name]) and tensor.dtype == weights[name].dtype
    back = checkpoint.training_state()
    assert torch.equal(back["moments"][0], state["moments"][0]) and back["nested"] == state["nested"]


def test_tied_weights_are_saved_under_each_name(tmp_path):
    network = nn.ModuleDict({"one": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    network["other"].weight = network["one"].weight
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(1, weights={"network": network.state_dict()}, training_state={}, metadata={})
    saved = open_checkpoint(tmp_path / "step-00000001").weights("network")
    assert torch.equal(saved["one.weight"], saved["other.weight"])


@pytest.mark.parametrize("damage", ["cut", "missing", "changed", "metadata", "no metadata"])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before_with_a_warning(tmp_path, capsys, damage):
    checkpoints = CheckpointFolder(tmp_path)
    save(checkpoints, 10)
    newest = save(checkpoints, 20)
    weights, metadata = newest / "network.safetensors", newest / "checkpoint.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif damage == "missing":
        (newest / "training_state.pt").unlink()
    elif damage == "changed":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif damage == "metadata":
        metadata.write_text(metadata.read_text()[:20])
    else:
        metadata.unlink()
    checkpoint = checkpoints.newest()
    assert checkpoint is not None and checkpoint.step == 10
    warning = capsys.readouterr().err
    assert "step-00000020" in warning and "looking for an older one" in warning


def test_a_folder_of_damaged_checkpoints_alone_is_an_error(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    (save(checkpoints, 10) / "checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match="every checkpoint in it is damaged"):
        checkpoints.newest()


def test_no_checkpoint_is_no_error(tmp_path):
    assert CheckpointFolder(tmp_path / "absent").newest() is None


def test_last_and_best_checkpoints_stay(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    for step, loss in ((1, 0.5), (2, 0.1), (3, None), (4, 0.3), (5, 0.9), (6, None)):
        save(checkpoints, step, loss)
    checkpoints.prune(keep_last=2, keep_best=2)
    assert names(checkpoints) == [f"step-{step:08d}" for step in (2, 4, 5, 6)]


def test_partial_checkpoints_are_ignored_and_deleted(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    save(checkpoints, 1)
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".step-00000002.0123abcd.partial")
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".step-00000000.removed.partial")
    assert [path.name for path in checkpoints.folders()] == ["step-00000001"]
    remove_partial_files(tmp_path)
    assert names(checkpoints) == ["step-00000001"]


def test_saving_a_step_again_replaces_it(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    save(checkpoints, 1, value=1.0)
    folder = save(checkpoints, 1, value=2.0)
    assert open_checkpoint(folder).weights("network")["weight"][0, 0] == 2.0
    assert names(checkpoints) == ["step-00000001"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [400, 20_000])
def test_full_disk_is_named_and_leaves_the_older_checkpoint(tmp_path, limit):
    """A limit on the size of files stands in for a full disk: writing fails after some bytes."""
    pytest.importorskip("resource")
    code = f"""
import resource, signal, sys, torch
from pathlib import Path
from utils.checkpoint import CheckpointError, CheckpointFolder
checkpoints = CheckpointFolder(sys.argv[1])
weights = {{"network": {{"weight": torch.zeros(1000)}}}}
checkpoints.save(1, weights=weights, training_state={{}}, metadata={{}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    checkpoints.save(2, weights=weights, training_state={{"moments": torch.zeros(10000)}}, metadata={{}})
except CheckpointError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "step-00000002: could not be written" in run.stdout and "older checkpoints are untouched" in run.stdout
    assert os.listdir(tmp_path) == ["step-00000001"]
    assert open_checkpoint(tmp_path / "step-00000001").step == 1


def test_full_disk_while_writing_facts_is_named(tmp_path, monkeypatch):
    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("utils.checkpoint.write_atomically", no_space)
    checkpoints = CheckpointFolder(tmp_path)
    with pytest.raises(CheckpointError, match=r"No space left on device.*MiB free"):
        save(checkpoints, 1)
    assert names(checkpoints) == []


def test_weights_of_another_shape_are_refused_and_listed(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    network = nn.Linear(3, 2)
    checkpoints.save(1, weights={"network": network.state_dict()}, training_state={}, metadata={})
    checkpoint = open_checkpoint(tmp_path / "step-00000001")
    checkpoint.load_module("network", nn.Linear(3, 2))
    with pytest.raises(CheckpointError, match=r"weight has shape \(2, 3\) where the network has \(2, 4\)"):
        checkpoint.load_module("network", nn.Linear(4, 2))
    with pytest.raises(CheckpointError, match="bias is unknown"):
        checkpoint.load_module("network", nn.Linear(3, 2, bias=False))
    with pytest.raises(CheckpointError, match="holds no weights of vocoder, only of network"):
        checkpoint.load_module("vocoder", network)


def test_pickled_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    checkpoints = CheckpointFolder(tmp_path / "checkpoint")
    checkpoints.save(1, weights={}, training_state={"evil": Evil()}, metadata={})
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    with pytest.raises(CheckpointError, match=r"training_state\.pt: cannot be read"):
        checkpoint.training_state()
    assert not (tmp_path / "owned").exists()


def test_random_state_restores_every_generator():
    def draw():
        return random_numbers.random(), np.random.rand(), torch.rand(1).item(), torch.randn(1).item()

    import random as random_numbers

    seed_everything(3)
    torch.randn(1), np.random.randn()  # leaves half a pair of normal numbers behind
    state = random_state()
    first = draw()
    set_random_state(state)
    with kept_random_state():
        draw()
    assert draw() == first
