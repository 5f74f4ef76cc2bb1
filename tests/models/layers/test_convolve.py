"""The convolution over time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.layers.convolve import convolve


@pytest.mark.parametrize("leaky_slope", [None, 0.1])
@pytest.mark.parametrize("length", [40, 41, 43])
@pytest.mark.parametrize(
    ("channels", "kernel_size", "options"),
    [
        ((1, 4), 15, {"padding": 7}),
        ((4, 6), 5, {"padding": 2, "stride": 3}),
        ((8, 8), 7, {"padding": 3, "stride": 2, "groups": 4}),
        ((8, 16), 7, {"padding": 3, "stride": 4, "groups": 2}),
        ((8, 16), 8, {"padding": 0, "stride": 4, "groups": 2}),
        ((8, 8), 7, {"padding": 3, "groups": 4}),
        ((8, 8), 19, {"padding": 9, "groups": 4}),
        ((8, 16), 31, {"padding": 15, "stride": 2, "groups": 2}),
        ((32, 40), 5, {"padding": 2, "stride": 3}),
        ((40, 32), 5, {"padding": 2}),
        ((6, 3), 3, {"padding": 4, "dilation": 4}),
    ],
)
def test_convolution_and_gradients_equal_torchs(length, channels, kernel_size, options, leaky_slope):
    generator = torch.Generator().manual_seed(0)
    c_in, c_out = channels
    x = torch.randn(3, c_in, length, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(c_out, c_in // options.get("groups", 1), kernel_size, generator=generator, dtype=torch.float64)
    bias = torch.randn(c_out, generator=generator, dtype=torch.float64, requires_grad=True)
    weight.requires_grad_()
    ours = convolve(x, weight, bias, leaky_slope=leaky_slope, **options)
    theirs = F.conv1d(x, weight, bias, **options)
    if leaky_slope is not None:
        theirs = F.leaky_relu(theirs, leaky_slope)
    torch.testing.assert_close(ours, theirs)
    towards = torch.randn(theirs.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(theirs, (x, weight, bias), towards)
    torch.testing.assert_close(torch.autograd.grad(ours, (x, weight, bias), towards), expected)


def test_half_precision_is_as_exact_as_torchs():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 16, 100, generator=generator), torch.randn(16, 4, 9, generator=generator)
    exact = F.conv1d(x, weight, stride=2, padding=4, groups=4)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = convolve(x, weight, None, stride=2, padding=4, groups=4), F.conv1d(x, weight, None, 2, 4, 1, 4)
    assert ours.dtype == torch.bfloat16
    assert (ours - exact).abs().mean() <= 1.2 * (theirs - exact).abs().mean()
