"""Convolution over time for tensors that keep time before channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import winograd

_convolution_backward = torch.ops.aten.convolution_backward


class Conv1d(nn.Module):
    """Convolve (B, T, C) over T; zeros stand before the first position, after the last one, and on padding.

    Normalisation, attention and gathering work on channels last, and so do oneDNN's and cuDNN's fastest kernels, so
    nothing is copied into another layout: the tensor is viewed as an image of height 1. A kernel of 1 is a linear
    layer; on CPUs it is a convolution too, since MKL's float32 product reaches only half the speed of an AMD processor.
    Weights have the shape of `torch.nn.Conv1d`'s, (out, in, kernel), and its initialisation.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: odd.
        relu: whether a ReLU follows.
        bias: whether a bias is added.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, relu: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        assert kernel_size % 2 == 1, "an even kernel has no middle"
        like = nn.Conv1d(in_channels, out_channels, kernel_size, bias=bias)
        self.weight, self.relu = like.weight, relu
        self.bias = like.bias  # type: ignore[assignment]  # None only for those who asked for it
        self._cast: dict[torch.dtype, tuple[Tensor, Tensor | None]] | None = None

    def forward(self, x: Tensor, is_padding: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: (B, T, in_channels).
            is_padding: (B, T, 1) where x counts as 0, whatever its values; kernels above 1 need it.

        Returns:
            (B, T, out_channels), anything on padding.
        """
        if x.device.type == "cpu" and torch.is_grad_enabled():
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            convolved: Tensor = _TrainedOnCpu.apply(  # type: ignore[no-untyped-call]
                x, self.weight, self.bias, is_padding, self.relu, dtype
            )
            return convolved
        if is_padding is not None:
            x = x.masked_fill(is_padding, 0.0)
        weight, bias = self._weights(x.device.type)
        if weight.shape[2] == 1 and (x.device.type != "cpu" or torch.compiler.is_exporting()):
            y = F.linear(x, weight.squeeze(2), bias)
        else:
            y = _as_rows(_convolve(_as_images(x), weight.unsqueeze(2), bias))
        return F.relu(y) if self.relu else y

    def prepare_for_inference(self) -> None:
        """Store the weights channels last, as oneDNN would reorder them at each call, and cast them once for autocast.

        Not for training: torch's fused optimizers assume the same layout for weights and gradients.
        """
        # The shape stays (out, in, kernel).
        self.weight.data = self.weight.data.transpose(1, 2).contiguous().transpose(1, 2)
        self._cast = {}

    def _weights(self, device_type: str) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias, in the data type of autocast once they no longer change."""
        if self._cast is None or torch.is_grad_enabled() or not torch.is_autocast_enabled(device_type):
            return self.weight, self.bias
        dtype = torch.get_autocast_dtype(device_type)
        if dtype not in self._cast:
            with torch.inference_mode(False):  # for calls without inference mode, too
                bias = None if self.bias is None else self.bias.detach().to(dtype)
                self._cast[dtype] = self.weight.detach().to(dtype), bias
        return self._cast[dtype]

    def extra_repr(self) -> str:
        out_channels, in_channels, kernel_size = self.weight.shape
        return f"{in_channels}, {out_channels}, kernel_size={kernel_size}, relu={self.relu}"


def _as_images(x: Tensor) -> Tensor:
    return x.transpose(1, 2).unsqueeze(2)  # (B, T, C) -> (B, C, 1, T), channels last in memory


def _as_rows(images: Tensor) -> Tensor:
    return images.squeeze(2).transpose(1, 2)  # (B, C, 1, T) -> (B, T, C)


def _convolve(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(images, weight, bias, padding=(0, weight.shape[3] // 2))


class _TrainedOnCpu(torch.autograd.Function):
    """The same with gradients, faster on a CPU than autograd's.

    Weights are cast and reordered in one pass, mask and ReLU work in place, and the weights' gradient in float32 is
    computed with time last: with channels last oneDNN 3.12 computes that one product at less than half speed (kernel
    9, 256 to 1024 channels: 212 against 456 GFLOP/s on two Zen 5 cores; all others are faster with channels last).
    Large float32 kernels take fewer multiplications (`models.layers.winograd`).
    """

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        is_padding: Tensor | None,
        relu: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        if is_padding is not None:
            x = x.to(dtype, copy=True).masked_fill_(is_padding, 0.0)
        x = x.to(dtype)
        images = _as_images(x)
        context.relu, context.is_winograd = relu, winograd.saves_time(x, weight)
        if context.is_winograd:
            y = winograd.convolve(x, weight, bias)
            weight = weight.unsqueeze(2)
        else:
            weight = weight.unsqueeze(2).to(dtype, memory_format=torch.channels_last)
            y = _as_rows(_convolve(images, weight, None if bias is None else bias.to(dtype)))
        if relu:
            y.relu_()
        context.save_for_backward(images, weight, y if relu else None, is_padding)
        return y

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, y, is_padding = context.saved_tensors
        if context.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0.0)
        of_bias = gradient.sum(dim=(0, 1)) if context.needs_input_grad[2] else None
        requested = context.needs_input_grad[:2]
        gradients = _winograd_gradients if context.is_winograd else _plain_gradients
        of_x, of_weight = gradients(gradient, images, weight, requested)
        if of_x is not None and is_padding is not None:
            of_x.masked_fill_(is_padding, 0.0)
        return of_x, of_weight, of_bias, None, None, None


def _winograd_gradients(
    of_y: Tensor, images: Tensor, weight: Tensor, requested: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    of_x = winograd.gradient_of_x(of_y, weight.squeeze(2)) if requested[0] else None
    of_weight = winograd.gradient_of_weight(of_y, _as_rows(images), weight.shape[3]) if requested[1] else None
    return of_x, of_weight


def _plain_gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, requested: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    of_y = _as_images(gradient)
    geometry = ([1, 1], [0, weight.shape[3] // 2], [1, 1], False, [0, 0], 1)
    of_x = of_weight = None
    if requested[0]:
        of_x = _as_rows(_convolution_backward(of_y, images, weight, None, *geometry, [True, False, False])[0])
    if weight.dtype == torch.float32 and weight.shape[3] > 1:
        # Only the layout of the weight argument matters here; the weight's own would select channels last again.
        of_y, images, weight = of_y.contiguous(), images.contiguous(), torch.empty(weight.shape)
    if requested[1]:
        of_weight = _convolution_backward(of_y, images, weight, None, *geometry, [False, True, False])[1].squeeze(2)
    return of_x, of_weight
