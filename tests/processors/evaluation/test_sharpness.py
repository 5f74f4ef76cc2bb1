"""Sharpness of mels."""

from __future__ import annotations

import pytest
import torch

from processors.evaluation.measures.sharpness import SHARPNESS_NAMES, sharpness


def test_an_even_mel_has_no_detail():
    assert [getattr(sharpness(torch.full((5, 9), -3.0)), name) for name in SHARPNESS_NAMES] == [0.0, 0.0, 0.0]


def test_each_figure_measures_its_own_direction():
    over_time = sharpness(torch.tensor([0.0, 2.0] * 4).expand(6, -1))
    assert (over_time.deviation, over_time.change, over_time.curvature) == (1.0, 2.0, 0.0)
    over_bands = sharpness(torch.tensor([0.0, 1.0] * 3)[:, None].expand(-1, 8))
    assert (over_bands.deviation, over_bands.change, over_bands.curvature) == (0.0, 0.0, 2.0)


def test_a_smoothed_mel_is_less_sharp():
    torch.manual_seed(0)
    mel = torch.randn(20, 50)
    smooth = torch.nn.functional.avg_pool2d(mel[None, None], 3, stride=1)[0, 0]
    sharp, blurred = sharpness(mel), sharpness(smooth)
    assert all(getattr(blurred, name) < 0.7 * getattr(sharp, name) for name in SHARPNESS_NAMES)


@pytest.mark.parametrize("shape", [(2, 10), (10, 1), (10, 0)])
def test_too_small_a_mel_has_no_sharpness(shape):
    assert sharpness(torch.zeros(shape)) is None
