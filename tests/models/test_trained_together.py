"""Every registered model learns the same from a batch at once, in two micro-batches, and in two processes."""

from __future__ import annotations

import pytest
import torch

from tests.support.commands import start_two
from tests.support.tiny_features import write_features
from tests.support.two_trainings import CASES, OPTIONS, train
from utils.checkpoint import open_checkpoint


def weights_in(folder):
    """Return the weights of all networks of the last checkpoint, and their moving averages."""
    checkpoint = open_checkpoint(folder / "checkpoint" / f"step-{OPTIONS.max_steps:08d}")
    names = [path.stem for path in sorted(checkpoint.folder.glob("*.safetensors"))]
    return {f"{name}.{key}": value for name in names for key, value in checkpoint.weights(name).items()}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Return the folder in which two processes have trained all cases, from features in `features`."""
    folder = tmp_path_factory.mktemp("two")
    write_features(folder / "features" / "processed")
    processes = start_two("tests.support.two_trainings", folder)
    ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert not any(code for _, code in ends), "\n".join(errors[-4000:] for (_, errors), _ in ends)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("further_models")
@pytest.mark.parametrize("case", CASES)
def test_two_processes_and_two_micro_batches_equal_one_batch_twice_as_large(two_processes, case):
    features, folder = two_processes / "features", two_processes / "one" / case
    train(case, features, folder / "whole", 4)
    train(case, features, folder / "halves", 2, accumulation=2)
    whole = weights_in(folder / "whole")
    assert any("average" in name or "ema" in name for name in whole)
    for other in (folder / "halves", two_processes / "two" / case):
        torch.testing.assert_close(weights_in(other), whole, rtol=1e-4, atol=1e-5)
