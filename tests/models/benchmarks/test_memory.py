"""Memory of a training step: its parts, counted once each, and the batch that needs most."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import bins.memory
from models.benchmarks import memory
from models.benchmarks.made_up import made_up_settings
from models.benchmarks.memory import OutOfMemoryError, SavedTensors, step_memory
from models.registry import MODELS
from tests.support.tiny_features import PREPROCESS
from tests.support.tiny_models import SMALL, TinyModel, batches_of

ADAM = 2  # moments per parameter


def test_saved_tensors_are_counted_once_and_until_the_backward_pass():
    layer, x = nn.Linear(8, 8, bias=False), torch.randn(4, 8)
    with SavedTensors([layer]) as saved:
        y = torch.tanh(layer(x))  # keeps x and its own output; the weight is not counted
        z = y * y  # keeps the output once more
        assert saved.bytes == saved.peak_bytes == x.nbytes + y.nbytes
        z.sum().backward()
    assert (saved.bytes, saved.peak_bytes) == (0, x.nbytes + y.nbytes)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["FastPitch", "HiFiGAN"])
def test_parts_are_those_of_the_networks_and_the_longest_batch_is_taken(tmp_path, model_type):
    tiny = TinyModel(model_type, tmp_path, "train.batch_size=3", "train.ema_decay=0.5")
    task = tiny.task()
    n_bytes = sum(each.nbytes for module in task.modules.values() for each in module.parameters())
    found = step_memory(tiny.settings(), cpu=True)
    parts = found.parts
    assert n_bytes <= parts["parameters"] < 1.1 * n_bytes and parts["gradients"] == n_bytes
    assert ADAM * n_bytes <= parts["optimizer state"] < (ADAM + 0.1) * n_bytes
    assert 0 < parts["moving averages"] <= parts["parameters"] and parts["activations for the gradients"] > 0
    most = max(batch.padded.get("frames", batch.counts["frames"]) for batch in batches_of(task))
    assert re.search(rf"3 utterances or segments, {most} mel frames", found.batch)
    assert "peak resident set" in found.measured and len([*found.lines()]) == len(parts) + 3


@pytest.mark.slow
def test_the_command_measures_every_model_without_a_corpus(capsys):
    parser = bins.memory._parser()
    for model_type, model in MODELS.items():
        overrides = (*PREPROCESS, *SMALL.get(model_type, ()), "train.batch_size=2", "train.precision=fp32")
        settings = [f"--set={override}" for override in overrides]
        arguments = ["--config", model.config, "--made_up_s", "0.5", "--gpu", "", *settings]
        bins.memory.main(parser.parse_args(arguments))
        printed = capsys.readouterr().out
        assert re.search(r"a step of 2 utterances or segments, \d+ mel frames with padding, fp32\n", printed)
        assert re.search(r"computed, together +\d+ MiB\n", printed)


def test_a_batch_that_does_not_fit_is_one_sentence(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(memory.TrainStep, "take", full)
    settings = made_up_settings("config/fastspeech2.json", [*SMALL["FastSpeech2"], "train.max_frames_per_batch=100"])
    with pytest.raises(OutOfMemoryError, match=r"1 utterances .* lower train.batch_size \(now 16\), or"):
        step_memory(settings, 1.0, cpu=True)
