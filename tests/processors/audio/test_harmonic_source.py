"""The pulse train that follows F0."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from processors.audio.harmonic_source import UNVOICED_HZ, HarmonicSource

SAMPLE_RATE, HOP_SIZE = 22050, 256


@pytest.fixture
def source():
    return HarmonicSource(SAMPLE_RATE, HOP_SIZE)


def pulse_train(source, f0_hz):
    followed = source.follow(f0_hz)
    return source.pulses(followed.held_hz, followed.start_phase).flatten(1)


@pytest.mark.parametrize("hz", [80.0, 203.7, 415.3])
def test_every_harmonic_up_to_the_nyquist_frequency_is_equally_strong_and_nothing_else_is_there(source, hz):
    waveform = pulse_train(source, torch.full((1, 128), hz))[0].double().numpy()
    time = np.arange(len(waveform)) / SAMPLE_RATE
    n_harmonics = int(SAMPLE_RATE / 2 // hz)
    harmonics = hz * np.arange(1, n_harmonics + 1)
    window = np.hanning(len(waveform))
    strength = np.abs(np.exp(-2j * np.pi * np.outer(harmonics, time)) @ (waveform * window)) * 2 / window.sum()
    assert strength == pytest.approx(np.full(n_harmonics, n_harmonics**-0.5), rel=0.01)
    assert np.mean(waveform**2) == pytest.approx(0.5, rel=0.02)  # of n cosines of 1 / sqrt(n)


def test_frequency_follows_a_glide(source):
    f0_hz = torch.linspace(100, 300, 200)[None]
    waveform = pulse_train(source, f0_hz)[0].numpy()
    peaks = [at for at in range(1, len(waveform) - 1) if waveform[at] > 3 and waveform[at - 1 : at + 2].argmax() == 1]
    middles = (np.array(peaks[1:]) + peaks[:-1]) / 2
    found = SAMPLE_RATE / np.diff(peaks)
    true = np.interp(middles / HOP_SIZE - 0.5, np.arange(200), f0_hz[0])
    assert len(peaks) == pytest.approx(f0_hz.mean().item() * len(waveform) / SAMPLE_RATE, abs=2)
    assert found == pytest.approx(true, rel=0.025)  # a sample more or less


def test_f0_is_held_where_unvoiced_and_depends_on_nothing_later(source):
    f0_hz = torch.tensor([[0.0, 0.0, 120.0, 130.0, 0.0, 0.0, 90.0, 0.0]])
    held = source.follow(f0_hz).held_hz
    assert held[0].tolist() == [UNVOICED_HZ, UNVOICED_HZ, 120.0, 130.0, 130.0, 130.0, 90.0, 90.0]
    assert torch.equal(source.follow(f0_hz[:, :5]).held_hz, held[:, :5])


@pytest.mark.parametrize("lengths", [[7, 1, 12], [1] * 20])
def test_stretches_continue_the_phase_of_the_whole(source, lengths):
    generator = torch.Generator().manual_seed(0)
    f0_hz = 100 + 200 * torch.rand(2, 20, generator=generator)
    f0_hz[:, 5:9] = 0
    whole = source.follow(f0_hz, torch.tensor([0.25, 0.5]))
    state, phases = None, []
    for stretch in f0_hz.split(lengths, dim=1):
        part = source.follow(stretch, torch.tensor([0.25, 0.5]), state)
        phases.append(part.start_phase)
        state = part.state
    distance = (torch.cat(phases, dim=1) - whole.start_phase).abs()
    assert torch.minimum(distance, 1 - distance).max() < 1e-9
