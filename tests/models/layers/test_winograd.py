"""Convolution with fewer multiplications."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.layers import winograd
from models.layers.conv1d import Conv1d


@pytest.mark.parametrize(("length", "kernel_size"), [(17, 3), (1, 5), (12, 7), (10, 9), (2, 11)])
def test_outputs_and_gradients_equal_torchs_within_rounding(length, kernel_size):
    generator = torch.Generator().manual_seed(0)
    x, towards = torch.randn(2, length, 8, generator=generator), torch.randn(2, length, 6, generator=generator)
    weight, bias = torch.randn(6, 8, kernel_size, generator=generator), torch.randn(6, generator=generator)
    exact_x, exact_weight = x.double().requires_grad_(), weight.double().requires_grad_()
    exact = F.conv1d(exact_x.mT, exact_weight, bias.double(), padding=kernel_size // 2).mT
    exact.backward(towards.double())
    tolerance = {"rtol": 1e-5, "atol": 3e-5}
    torch.testing.assert_close(winograd.convolve(x, weight, bias).double(), exact.detach(), **tolerance)
    torch.testing.assert_close(winograd.gradient_of_x(towards, weight).double(), exact_x.grad, **tolerance)
    of_weight = winograd.gradient_of_weight(towards, x, kernel_size)
    torch.testing.assert_close(of_weight.double(), exact_weight.grad, **tolerance)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_layer_trains_large_float32_kernels_alike(monkeypatch):
    torch.manual_seed(0)
    layer, x, is_padding = Conv1d(128, 128, 3, relu=True), torch.randn(2, 520, 128), torch.zeros(2, 520, 1).bool()
    is_padding[1, 400:] = True
    assert winograd.saves_time(x, layer.weight) and not winograd.saves_time(x.bfloat16(), layer.weight.bfloat16())

    def outputs_and_gradients():
        inputs = x.clone().requires_grad_()
        y = layer(inputs, is_padding)
        y = y.masked_fill(is_padding, 0.0)
        return y.detach(), *torch.autograd.grad(y.square().mean(), (inputs, layer.weight, layer.bias))

    fast = outputs_and_gradients()
    monkeypatch.setattr(winograd, "saves_time", lambda *_: False)
    for ours, plain in zip(fast, outputs_and_gradients(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6 + 1e-5 * float(plain.abs().max()))
    assert not torch.equal(fast[0], outputs_and_gradients()[0])
