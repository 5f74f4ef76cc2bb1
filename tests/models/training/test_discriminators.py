"""Sets of discriminators."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.training.discriminators import make_discriminators
from models.training.settings import REFLECTED_SAMPLES, DiscriminatorName

NAMES = get_args(DiscriminatorName)


def small(name):
    torch.manual_seed(0)
    return make_discriminators([name], channel_divisor=16)[name]


def test_modules_have_the_names_and_the_order_of_the_setting():
    assert list(make_discriminators(("mrd_small", "mpd_small"))) == ["mrd_small", "mpd_small"]


def test_the_multi_resolution_discriminator_has_the_published_size():
    [discriminator] = make_discriminators(["mrd"]).values()
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 280_902


@pytest.mark.parametrize("name", sorted(REFLECTED_SAMPLES))
def test_a_segment_has_to_be_longer_than_what_is_reflected(name):
    discriminator, shortest = small(name), REFLECTED_SAMPLES[name] + 1
    assert all(output.score.isfinite().all() for output in discriminator(torch.randn(2, shortest)))
    with pytest.raises(RuntimeError, match="less than the corresponding input dimension"):
        discriminator(torch.randn(2, shortest - 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_waveform_is_judged_alone_as_in_a_batch(name):
    discriminator, waveforms = small(name).eval(), torch.randn(3, 1024)
    together = discriminator(waveforms)
    for row in range(3):
        for ours, theirs in zip(discriminator(waveforms[row : row + 1]), together, strict=True):
            periods = len(theirs.score) // 3  # a row of scores for each
            rows = slice(row * periods, (row + 1) * periods)
            torch.testing.assert_close(ours.score, theirs.score[rows], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "sees_phase"), [("mrd", False), ("mrd_small", True)])
def test_only_the_small_spectra_show_the_phase(name, sees_phase):
    waveform = torch.randn(1, 1024)
    for upright, inverted in zip(small(name)(waveform), small(name)(-waveform), strict=True):
        assert torch.allclose(upright.score, inverted.score) != sees_phase


def test_silence_has_finite_gradients():
    for name in NAMES:
        waveform = torch.zeros(1, 1024, requires_grad=True)
        sum(output.score.mean() for output in small(name)(waveform)).backward()
        assert waveform.grad.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_short_segments_have_the_same_gradients_in_half_precision(name):
    """Down to planes of one frame, where oneDNN's gradient is wrong with a stride."""
    discriminator, waveform = small(name), 0.1 * torch.randn(2, max(REFLECTED_SAMPLES.values()) + 1)
    gradients = []
    for is_half in (False, True):
        discriminator.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = sum((output.score.float() - 1).square().mean() for output in discriminator(waveform))
        loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in discriminator.parameters()]))
    assert torch.dist(*gradients) < 0.1 * gradients[0].norm()


def test_the_small_pair_costs_a_hundredth_of_hifigans():
    def operations(names):
        waveform = torch.zeros(1, 8192)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            for discriminators in make_discriminators(names).values():
                discriminators(waveform)
        return counter.get_total_flops()

    assert operations(("mrd_small", "mpd_small")) < 0.011 * operations(("mpd", "msd"))
