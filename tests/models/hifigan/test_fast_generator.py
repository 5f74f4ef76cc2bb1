"""The generator prepared for inference."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from config.paths import REPOSITORY
from models.hifigan import fast_generator
from models.hifigan.network import Generator
from models.hifigan.settings import HiFiGANModelSettings
from tests.support.small_generator import SHAPES, make_generator


def mel_of(n_frames):
    return torch.randn(12, n_frames, generator=torch.Generator().manual_seed(1))


def signal_to_noise(reference, waveform):
    return 10 * torch.log10(reference.square().sum() / (reference - waveform).square().sum()).item()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize(("dtype", "decibels"), [(torch.float32, 60), (torch.bfloat16, 35)])
def test_the_fast_generator_equals_the_generator(shape, dtype, decibels, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(fast_generator, "fuses", lambda weight: False)
    generator, mel = make_generator(shape), mel_of(40)
    with torch.no_grad():
        whole = generator(mel[None])[0]
    made = generator.for_inference(dtype).waveform(mel)
    assert whole.std() > 0.01
    assert made.dtype == torch.float32 and signal_to_noise(whole, made) > decibels


@pytest.mark.parametrize("version", ["hifigan_v2", "hifigan_v3"])
@pytest.mark.parametrize(("dtype", "decibels"), [(torch.float32, 60), (torch.bfloat16, 35)])
def test_golden_waveforms_are_unchanged(golden, version, dtype, decibels):
    folder = golden / version
    config = json.loads((folder / "config.json").read_text())
    values = {name: config[name] for name in HiFiGANModelSettings.model_fields if name in config}
    values |= {"mpd_periods": [2], "discriminator_channel_divisor": 1}
    generator = Generator(HiFiGANModelSettings.model_validate_json(json.dumps(values)), config["num_mels"])
    generator.load_state_dict(torch.load(folder / "g_00000000", weights_only=True)["generator"])
    expected = np.load(folder / "expected.npz")
    made = generator.for_inference(dtype)(torch.from_numpy(expected["mel"]))
    assert signal_to_noise(torch.from_numpy(expected["waveform"][0]), made) > decibels


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_no_sample_depends_on_more_than_the_receptive_frames(shape):
    generator, mel = make_generator(shape), mel_of(80)
    hop_size, reach = generator.hop_size, generator.receptive_frames
    changed = mel.clone()
    changed[:, 40] += 5.0
    with torch.no_grad():
        differs = (generator(mel[None]) - generator(changed[None]))[0].abs().unflatten(0, (80, hop_size)).amax(1) > 1e-6
    touched = differs.nonzero().flatten()
    assert 40 - reach <= touched.min() and touched.max() <= 40 + reach
    assert touched.max() - 40 >= reach - 2  # nor much less: an overlap is computed twice


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 32, 33, 100])
def test_chunks_put_together_are_the_whole(shape, n_frames):
    speaking, mel = make_generator(shape).for_inference(), mel_of(n_frames)
    whole = speaking(mel[None])[0]
    torch.testing.assert_close(speaking.waveform(mel, chunk_frames=16), whole, rtol=0, atol=1e-5)
    chunks = list(speaking.stream(mel, chunk_frames=16))
    assert [len(chunk) for chunk in chunks[:-1]] == [16 * (len(whole) // n_frames)] * (len(chunks) - 1)
    torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("n_frames", [1, 13, 40])
def test_tiling_changes_no_waveform(shape, n_frames, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(fast_generator, "fuses", lambda weight: False)
    generator, mel = make_generator(shape), torch.stack([mel_of(n_frames), -mel_of(n_frames)])
    monkeypatch.setattr(fast_generator, "TILE_BYTES", 1)  # the smallest that are ever made
    with torch.no_grad():
        torch.testing.assert_close(generator.for_inference()(mel), generator(mel), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_long_mel_takes_no_more_memory_than_its_waveform():
    """In one piece, these 400,000 frames would take over a gigabyte."""
    program = """
import torch
from utils.machine import peak_memory_mib as peak
from tests.support.small_generator import make_generator
torch.set_num_threads(1)
speaking = make_generator().for_inference()
total = 0
for chunk in speaking.stream(torch.zeros(12, 4000)):
    total += len(chunk)
before = peak()
for chunk in speaking.stream(torch.zeros(12, 1).expand(12, 400_000)):
    total += len(chunk)
print(peak() - before, total)
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    grown_mib, total = map(float, printed.stdout.split())
    assert total == 404_000 * 8 and grown_mib < 20
