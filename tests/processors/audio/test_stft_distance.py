"""The multi-resolution STFT distance."""

from __future__ import annotations

import math

import pytest
import torch

from processors.audio.stft_distance import multi_resolution_stft


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_a_waveform_is_at_no_distance_from_itself():
    waveform = noise(0, 2, 4000)
    assert multi_resolution_stft(waveform, waveform) == (0.0, 0.0)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_another_level_is_as_far_as_its_factor(gain):
    waveform = noise(0, 2, 4000)
    distance = multi_resolution_stft(waveform * gain, waveform)
    assert distance.spectral_convergence.item() == pytest.approx(abs(gain - 1), rel=1e-3)
    assert distance.log_magnitude.item() == pytest.approx(abs(math.log(gain)), rel=1e-2)


def test_the_distance_of_a_batch_is_the_mean_of_its_waveforms():
    made, target = noise(0, 3, 3000), noise(1, 3, 3000) * torch.tensor([[0.1], [1.0], [3.0]])
    together = torch.stack(multi_resolution_stft(made, target))
    apart = torch.stack(
        [torch.stack(multi_resolution_stft(made[row : row + 1], target[row : row + 1])) for row in range(3)]
    )
    torch.testing.assert_close(together, apart.mean(dim=0))


def test_silence_has_finite_gradients():
    made = torch.zeros(1, 3000, requires_grad=True)
    sum(multi_resolution_stft(made, torch.zeros(1, 3000))).backward()
    assert made.grad.isfinite().all()


def test_silence_is_no_farther_than_the_quietest_speech():
    made = noise(0, 1, 3000)
    of_silence = multi_resolution_stft(made, torch.zeros(1, 3000))
    assert of_silence.spectral_convergence.item() == pytest.approx(10, rel=0.1)  # 20 dB louder than the quietest


def test_half_precision_around_it_changes_nothing():
    made, target = noise(0, 1, 3000), noise(1, 1, 3000)
    plain = multi_resolution_stft(made, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert multi_resolution_stft(made, target) == plain


def test_a_few_samples_are_enough():
    assert multi_resolution_stft(noise(0, 1, 100), noise(1, 1, 100)).log_magnitude.isfinite()
