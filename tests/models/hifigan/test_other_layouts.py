"""Generators in the files of NVIDIA and Amphion give their reference waveforms, by whatever a user points at."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch

from models.bundle import BundleError
from models.bundles.locate import find_bundle
from models.hifigan.original import open_published
from models.hifigan.other_layouts import flat
from models.inference.vocoder import open_vocoder

NVIDIA = [
    ("hifigan_gen_checkpoint_6500.pt", "expected.npz"),
    ("v1_nested_ema.pt", "expected_v1.npz"),
    ("v1_flat.pt", "expected_v1.npz"),
    ("v1_flat_trailing_axis.pt", "expected_v1.npz"),
]


def assert_waveform(path, expected):
    vocoder = open_vocoder(path)
    waveform = vocoder.waveform(torch.from_numpy(expected["mel"][0])).numpy()
    np.testing.assert_allclose(waveform, expected["waveform"].reshape(-1), atol=1e-4)


@pytest.mark.parametrize(("file", "expected"), NVIDIA)
def test_golden_files_of_nvidia(golden, file, expected):
    folder = golden / "hifigan_nvidia"
    assert_waveform(folder / file, np.load(folder / expected))


@pytest.mark.slow
def test_golden_folders_of_nvidia_and_amphion(golden, tmp_path):
    assert_waveform(golden / "hifigan_nvidia", np.load(golden / "hifigan_nvidia" / "expected.npz"))
    folder = golden / "hifigan_amphion"
    expected = np.load(folder / "expected.npz")
    [step] = (folder / "checkpoint").iterdir()
    for path in (folder, folder / "checkpoint", step, step / "pytorch_model.bin", folder / "hifigan_small.pt"):
        assert_waveform(path, expected)
    shutil.copytree(folder / "checkpoint", tmp_path / "X" / "checkpoints")
    shutil.copy(folder / "args.json", tmp_path / "X")
    for path in (tmp_path / "X", tmp_path / "X" / "checkpoints"):
        assert_waveform(path, expected)
    assert find_bundle(tmp_path / "X").settings.preprocess.sample_rate == 24000


def test_the_generator_of_lightnings_file_is_read_with_the_original_settings(golden, tmp_path):
    folder = golden / "hifigan_v3"
    generator = torch.load(folder / "g_00000000", weights_only=True)["generator"]
    shutil.copy(folder / "config.json", tmp_path)
    others = {"discriminator.mpd.0.bias": torch.zeros(1)}
    nested = {
        re.sub(r"resblocks\.(\d+)", lambda block: f"resblocks.{int(block[1]) // 3}.{int(block[1]) % 3}", name): tensor
        for name, tensor in generator.items()
    }
    state = {f"generator.{name}": tensor for name, tensor in nested.items()} | others
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.2.0", "epoch": 3}, tmp_path / "hifigan.ckpt")
    assert_waveform(tmp_path / "hifigan.ckpt", np.load(folder / "expected.npz"))


def test_names_of_wrapped_and_nested_networks_are_the_originals():
    weights = {
        "module.conv_pre.weight_v": torch.zeros(4, 3, 7, 1),
        "_orig_mod.module.ups.0.bias": torch.zeros(4),
        "resblocks.1.2.convs1.0.weight_g": torch.zeros(4, 1, 1),
        "resblocks.0.1.convs.0.bias": torch.zeros(4),
    }
    renamed = flat(weights)
    assert list(renamed) == [
        "conv_pre.weight_v",
        "ups.0.bias",
        "resblocks.5.convs1.0.weight_g",
        "resblocks.1.convs.0.bias",
    ]
    assert renamed["conv_pre.weight_v"].shape == (4, 3, 7)
    alone = {"resblocks.5.convs1.0.weight_g": torch.zeros(4, 1, 1)}
    assert list(flat(alone)) == list(alone)


def test_what_is_missing_or_foreign_is_named(tmp_path):
    lacking = tmp_path / "hifigan_gen_checkpoint_10.pt"
    torch.save({"generator": {"conv_pre.bias": torch.zeros(1)}}, lacking)
    with pytest.raises(BundleError, match="lacks config, train_setup, which NVIDIA's HiFi-GAN files have"):
        open_published(lacking)
    step = tmp_path / "X" / "checkpoint" / "epoch-0001_step-0000002_loss-0.5"
    step.mkdir(parents=True)
    torch.save({"conv_pre.bias": torch.zeros(1)}, step / "pytorch_model.bin")
    (tmp_path / "X" / "args.json").write_text(json.dumps({"model": {"generator": "bigvgan"}}))
    with pytest.raises(BundleError, match=r"args\.json: describes no HiFi-GAN under model\.hifigan"):
        open_published(step / "pytorch_model.bin")
    (tmp_path / "X" / "args.json").write_text("{")
    with pytest.raises(BundleError, match=r"args\.json: is not JSON5"):
        find_bundle(tmp_path / "X")
    wrapped = tmp_path / "hifigan.pt"
    torch.save({"generator_state_dict": {"conv_pre.bias": torch.zeros(1)}}, wrapped)
    with pytest.raises(BundleError, match=r"lacks args\.json, which Amphion writes"):
        open_published(wrapped)
