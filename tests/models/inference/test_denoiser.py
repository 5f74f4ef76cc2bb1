"""Denoising: the constant sound of a vocoder is removed, in pieces as in the whole, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import models.inference.vocoder as vocoder_module
from models.bundles.locate import open_bundle
from models.bundles.vocoder import VocoderError
from models.inference.denoiser import Denoiser
from models.inference.vocoder import NeuralVocoder, open_vocoder, open_vocoder_for
from models.layers.chunked_vocoder import ChunkedVocoder
from models.registry import make_task
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle

HOP_SIZE, N_MEL, HUM_PERIOD = 128, 20, 64


class HummingNetwork(torch.nn.Module):
    """Clicks as loud as the first band, silent at 0, over a hum whose period divides a frame; mirrored it goes on."""

    def forward(self, mel):
        hum = torch.cos(torch.arange(mel.shape[2] * HOP_SIZE) * (2 * math.pi / HUM_PERIOD))
        clicks = torch.zeros(len(mel), mel.shape[2], HOP_SIZE)
        clicks[:, :, 0] = mel[:, 0]
        return clicks.flatten(1) + 0.1 * hum

    def for_inference(self, dtype=torch.float32):
        return ChunkedVocoder(self, hop_size=HOP_SIZE, receptive_frames=1)


def hum_of(waveform):
    """Return the amplitude of the hum in the middle of a waveform."""
    middle = waveform[2048 : 2048 + 64 * HUM_PERIOD].unflatten(0, (-1, HUM_PERIOD)).mean(dim=0)
    return torch.fft.rfft(middle)[1].abs().item() * 2 / HUM_PERIOD


def test_a_planted_hum_is_lost_in_pieces_as_in_the_whole(monkeypatch):
    monkeypatch.setattr(vocoder_module, "open_vocoder_network", lambda bundle, device: HummingNetwork())
    humming, *others = (
        NeuralVocoder(tiny_vocoder_bundle(), denoising_strength=strength) for strength in (0.0, 0.5, 1.0)
    )
    torch.manual_seed(0)
    mel = torch.zeros(N_MEL, 1000)
    mel[0, ::100] = 0.5
    noisy = humming.waveform(mel)
    assert hum_of(noisy) == pytest.approx(0.1, abs=0.002)
    for vocoder, left in zip(others, (0.05, 0.0), strict=True):
        waveform = vocoder.waveform(mel)
        assert hum_of(waveform) == pytest.approx(left, abs=0.004) and waveform.shape == noisy.shape
        assert waveform[:: 100 * HOP_SIZE].min() > 0.3  # the clicks are still there
        for sizes in ([1000], [1, 3, 500, 496], [125] * 8):
            assert torch.equal(torch.cat(list(vocoder.stream(mel.split(sizes, dim=1)))), waveform)
    short = others[0].waveform(mel[:, :1])
    assert short.shape == (HOP_SIZE,) and short.isfinite().all()


def test_chunks_give_what_one_transform_gives():
    torch.manual_seed(0)
    waveform, biased = torch.randn(70_000), torch.randn(4000)
    settings = {"n_fft": 1024, "hop_length": 256, "window": torch.hann_window(1024)}
    whole, bias = (torch.stft(each, **settings, return_complex=True) for each in (waveform, biased))
    magnitude = (whole.abs() - 0.3 * bias[:, :1].abs()).clamp(min=0)
    expected = torch.istft(torch.polar(magnitude, whole.angle()), **settings, length=len(waveform))
    found = torch.cat(list(Denoiser(biased, 0.3).stream(waveform.split([1, 30_000, 39_999]))))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_published_denoiser(golden):
    folder = golden / "hifigan_nvidia"
    for name, values in (("hifigan_gen_checkpoint_6500.pt", "expected.npz"), ("v1_flat.pt", "expected_v1.npz")):
        expected = np.load(folder / values)
        waveform = open_vocoder(folder / name, denoising_strength=0.05).waveform(torch.from_numpy(expected["mel"][0]))
        np.testing.assert_allclose(waveform.numpy(), expected["denoised_005"].reshape(-1), atol=1e-4)


def test_strength_0_changes_no_bit_and_impossible_values_are_refused(tmp_path):
    bundle = tiny_vocoder_bundle()
    torch.manual_seed(1)
    mel = torch.randn(N_MEL, 50) - 4
    plain = NeuralVocoder(bundle).waveform(mel)
    assert torch.equal(NeuralVocoder(bundle, denoising_strength=0.0).waveform(mel), plain)
    assert not torch.allclose(NeuralVocoder(bundle, denoising_strength=0.5).waveform(mel), plain)
    with pytest.raises(VocoderError, match="a HiFiGAN takes no sigma"):
        NeuralVocoder(bundle, sigma=0.6)
    for value in (-0.1, 11.0, math.nan):
        with pytest.raises(VocoderError, match=r"denoising_strength: found .*; expected 0 to 10"):
            NeuralVocoder(bundle, denoising_strength=value)
    acoustic = tmp_path / "voice"
    tiny_bundle().save(acoustic)
    for options in ({"sigma": 0.6}, {"denoising_strength": 0.1}):
        with pytest.raises(VocoderError, match=f"griffin_lim takes no {next(iter(options))}"):
            open_vocoder_for(open_bundle(acoustic), "griffin_lim", **options)


@pytest.mark.slow
def test_the_noise_of_a_waveglow_can_be_scaled_and_its_bias_has_none(tmp_path):
    tiny = TinyModel("WaveGlow", tmp_path)
    task = make_task(tiny.settings())
    for coupling in task.modules["generator"].WN:
        torch.nn.init.normal_(coupling.end.weight, std=0.1)
    task.bundle(tmp_path / "bundle")
    mel = tiny.batch().mel[0]
    usual, same, silent, denoised, also = (
        open_vocoder(tmp_path / "bundle", sigma=sigma, denoising_strength=strength).waveform(mel)
        for sigma, strength in ((None, 0.0), (0.9, 0.0), (0.0, 0.0), (None, 0.1), (0.9, 0.1))
    )
    assert torch.equal(usual, same) and torch.equal(denoised, also) and silent.std() < usual.std()
    with torch.no_grad():
        task.modules["generator"].sigma = 0.0
        biased = task.modules["generator"](torch.zeros(1, len(mel), 88))[0]
    torch.testing.assert_close(torch.cat(list(Denoiser(biased, 0.1).stream([usual]))), denoised, rtol=0, atol=1e-5)
    with pytest.raises(VocoderError, match="sigma: found 3; expected 0 to 2"):
        open_vocoder(tmp_path / "bundle", sigma=3.0)
