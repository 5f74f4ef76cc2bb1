"""Spectra on the frames of the mel, and waveforms from them."""

from __future__ import annotations

import pytest
import torch

from processors.audio.short_time_fourier import FrameTransform


@pytest.mark.parametrize(("n_fft", "hop_size"), [(1024, 256), (512, 256), (1024, 128)])
def test_the_inverse_of_spectra_is_the_waveform(n_fft, hop_size):
    transform = FrameTransform(n_fft, hop_size)
    waveform = torch.randn(2, 20 * hop_size, generator=torch.Generator().manual_seed(0))
    spectra = transform.forward(waveform)
    assert spectra.shape == (2, 20, n_fft // 2 + 1)
    assert transform.inverse(spectra) == pytest.approx(waveform, abs=1e-5)


def test_frames_are_centred_on_their_hop():
    transform = FrameTransform(1024, 256)
    waveform = torch.zeros(1, 20 * 256)
    waveform[0, 10 * 256 + 128] = 1.0
    energy = transform.forward(waveform)[0].abs().square().sum(dim=1)
    assert energy.argmax() == 10 and energy[9] == pytest.approx(energy[11].item(), rel=1e-3)
    assert (energy > 0).nonzero().flatten().tolist() == [9, 10, 11] or energy[[7, 13]].max() < 1e-6
