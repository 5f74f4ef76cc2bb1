"""Lyre: sizes, harmonics at F0, F0 prediction, and F0 given or not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from config.load import SettingsError, load_settings
from models.bundle import Bundle
from models.bundles.vocoder import VocoderError
from models.inference.vocoder import NeuralVocoder
from models.lyre.f0_predictor import F0Logits, decoded_f0, f0_losses
from models.lyre.network import NOISE_FRAMES, Lyre
from models.registry import settings_class
from processors.audio.mel import MelSpectrogram
from tests.support.tiny_models import TinyModel
from tests.support.tiny_vocoder import tiny_vocoder_bundle


def published(folder, *overrides):
    config = folder / "exp_config.json"
    config.write_text('{base_config: "config/lyre.json", dataset: ["a"], dataset_path: {a: "none"}}')
    return load_settings(config, overrides, settings_class).settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return published(tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="module")
def untrained(settings):
    torch.manual_seed(0)
    return Lyre.from_settings(settings).eval()


def vowel(settings, f0_hz, n_frames=120):
    """Return the log-mel of a sum of harmonics under a falling envelope."""
    preprocess = settings.preprocess
    time = np.arange(n_frames * preprocess.hop_size) / preprocess.sample_rate
    harmonics = np.arange(1, int(8000 // f0_hz) + 1)
    waveform = (np.cos(2 * np.pi * f0_hz * np.outer(harmonics, time)) * (0.1 * 0.8**harmonics)[:, None]).sum(axis=0)
    return MelSpectrogram.from_settings(preprocess)(torch.from_numpy(waveform).float()[None])


def test_sizes(untrained):
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in untrained.named_children()}
    assert round((counts["layers"] + counts["head"]) / 1e6, 2) == 4.12
    assert counts["f0_predictor"] < 0.5e6
    assert sum(weight.numel() for weight in untrained.state_dict().values()) == sum(
        counts.values()
    )  # no buffer is saved


@pytest.mark.parametrize("f0_hz", [110.0, 196.0])
def test_an_untrained_network_already_puts_its_harmonics_where_f0_says(settings, untrained, f0_hz):
    mel = vowel(settings, f0_hz)
    contour = torch.full((1, mel.shape[2]), f0_hz)
    with torch.no_grad():
        waveform = untrained(mel, contour).waveform[0].double()
    lags = torch.fft.irfft(torch.fft.rfft(waveform, n=2 * len(waveform)).abs().square())
    shortest, longest = int(22050 / 400), int(22050 / 60)
    period = shortest + int(lags[shortest:longest].argmax())
    assert 22050 / period == pytest.approx(f0_hz, rel=0.01)


def test_an_untrained_network_has_about_the_mels_level(settings, untrained):
    mel = vowel(settings, 150.0)
    with torch.no_grad():
        waveform = untrained(mel, torch.full((1, mel.shape[2]), 150.0)).waveform
    again = MelSpectrogram.from_settings(settings.preprocess)(waveform)
    assert (again - mel)[:, :20, 5:-5].mean().abs() < 1.0  # in nepers: harmonics are neither lost nor doubled


def test_f0_is_decoded_between_bins():
    f0_hz = torch.tensor([[55.0, 123.4, 0.0, 300.0, 888.0]])
    position = (f0_hz.clamp(min=50.0).log() - np.log(50.0)) / (np.log(1100.0 / 50.0) / 255)
    bins = -(torch.arange(256.0) - position.unsqueeze(2)).square() / (2 * 1.2**2)
    logits = F0Logits(bins, torch.where(f0_hz > 0, 4.0, -4.0))
    assert decoded_f0(logits) == pytest.approx(f0_hz, rel=0.002)
    right = f0_losses(logits, f0_hz)
    wrong = f0_losses(logits, torch.tensor([[110.0, 246.8, 0.0, 150.0, 444.0]]))
    assert wrong.bins > right.bins + 1.0 and wrong.voicing == right.voicing
    assert f0_losses(logits, f0_hz.flip(1)).voicing == right.voicing  # voiced and unvoiced frames are the same
    assert f0_losses(logits, torch.full((1, 5), 100.0)).voicing > right.voicing


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    tiny = TinyModel("Lyre", tmp_path_factory.mktemp("tiny")).settings()
    torch.manual_seed(0)
    return Bundle(tiny, Lyre.from_settings(tiny).state_dict())


def test_f0_can_be_given_and_moves_the_sound(bundle):
    vocoder = NeuralVocoder(bundle)
    assert vocoder.takes_f0
    n_mel = bundle.settings.preprocess.n_mel
    mel = torch.randn(n_mel, 70, generator=torch.Generator().manual_seed(0)) - 4
    low, high = (vocoder.waveform(mel, torch.full((70,), f0_hz)) for f0_hz in (100.0, 200.0))
    assert low.shape == high.shape and not torch.allclose(low, high, atol=1e-3)
    torch.testing.assert_close(vocoder.waveform(mel, vocoder.predict_f0(mel)), vocoder.waveform(mel))
    f0_hz = torch.linspace(100, 200, 70)
    pieces = vocoder.stream(mel.split(20, dim=1), f0_hz.split(20))
    torch.testing.assert_close(torch.cat(list(pieces)), vocoder.waveform(mel, f0_hz), atol=1e-5, rtol=0)


def test_vocoders_without_f0_refuse_it():
    vocoder = NeuralVocoder(tiny_vocoder_bundle())
    with pytest.raises(VocoderError, match="a HiFiGAN takes no F0"):
        vocoder.waveform(torch.zeros(20, 10), torch.zeros(10))
    with pytest.raises(VocoderError, match="a HiFiGAN takes no F0"):
        vocoder.predict_f0(torch.zeros(20, 10))


def test_noise_depends_on_the_place_in_the_utterance_and_repeats(bundle):
    network = Lyre.from_bundle(bundle).eval()
    mel, f0_hz = torch.full((1, bundle.settings.preprocess.n_mel, 30), -4.0), torch.zeros(1, 30)

    def at(frame):
        return network(mel, f0_hz, torch.tensor([frame])).waveform

    with torch.no_grad():
        first, later, repeated = at(0), at(7), at(NOISE_FRAMES)
    assert not torch.allclose(first, later, atol=1e-3)
    assert torch.equal(first, repeated)  # unvoiced: the phase, which goes on, is silent


def test_overlaps_that_do_not_add_up_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="not a multiple of hop_size"):
        published(tmp_path, "preprocess.hop_size=300")


def test_a_bundle_in_half_precision_sounds_nearly_alike(bundle):
    weights = {name: weight.half().float() for name, weight in bundle.weights.items()}
    mel = torch.randn(bundle.settings.preprocess.n_mel, 50, generator=torch.Generator().manual_seed(0)) - 4
    f0_hz = torch.full((50,), 150.0)
    whole, half = (
        NeuralVocoder(each).waveform(mel, f0_hz) for each in (bundle, dataclasses.replace(bundle, weights=weights))
    )
    assert (whole - half).norm() < 0.02 * whole.norm()
