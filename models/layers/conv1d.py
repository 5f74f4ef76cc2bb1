"""Convolution over time for tensors that keep time before channels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv1d(nn.Module):
    """Convolve (B, T, C) over T; zeros stand before the first and behind the last place.

    Normalisation, attention and gathering all want channels last, and so do oneDNN's and cuDNN's fastest
    kernels, so nothing here is ever transposed: the tensor is handed over as a picture of height 1. A kernel of 1
    is a linear layer; on CPUs it is computed as a convolution too, for MKL's float32 product takes half of an AMD
    processor only. Weights have the shape of `torch.nn.Conv1d`'s, (out, in, kernel), and its initial values.

    Padding within the batch must be zero already where it could be seen: with kernels above 1.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: an odd number of places.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        assert kernel_size % 2 == 1, "an even kernel has no middle"
        like = nn.Conv1d(in_channels, out_channels, kernel_size)
        assert like.bias is not None
        self.weight, self.bias = like.weight, like.bias

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (B, T, in_channels). Returns: (B, T, out_channels)."""
        kernel_size = self.weight.shape[2]
        if kernel_size == 1 and x.device.type != "cpu":
            return F.linear(x, self.weight.squeeze(2), self.bias)
        pictures = x.transpose(1, 2).unsqueeze(2)  # (B, T, C) -> (B, C, 1, T), channels last in memory
        weight = self.weight.unsqueeze(2)
        if _wants_own_gradient(x, kernel_size):
            convolved = _Float32Convolution.apply(pictures, weight, self.bias)
        else:
            convolved = F.conv2d(pictures, weight, self.bias, padding=(0, kernel_size // 2))
        return convolved.squeeze(2).transpose(1, 2)

    def extra_repr(self) -> str:
        out_channels, in_channels, kernel_size = self.weight.shape
        return f"{in_channels}, {out_channels}, kernel_size={kernel_size}"


def _wants_own_gradient(x: Tensor, kernel_size: int) -> bool:
    return (
        kernel_size > 1
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


class _Float32Convolution(torch.autograd.Function):
    """A float32 convolution on CPU whose weights' gradient is computed with time last.

    oneDNN 3.12 computes that one gradient at less than half speed when channels are last (kernel 9, 256 to 1024
    channels: 212 against 456 GFLOP/s on two Zen 5 cores), while the other two products are faster so.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        context.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=(0, weight.shape[3] // 2))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        x, weight = context.saved_tensors
        wants_x, wants_weight, wants_bias = context.needs_input_grad
        of_x = of_weight = of_bias = None
        if wants_x:
            of_x = _backward(gradient, x, weight, [True, False, False])[0]
        if wants_weight:
            time_last = (gradient.contiguous(), x.contiguous(), weight)
            of_weight = _backward(*time_last, [False, True, False])[1]
        if wants_bias:
            of_bias = gradient.sum(dim=(0, 2, 3))
        return of_x, of_weight, of_bias


def _backward(gradient: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Tensor, ...]:
    padding = [0, weight.shape[3] // 2]
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, wanted
    )
