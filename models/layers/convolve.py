"""Convolutions over time, in the memory layouts that are fastest on the device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Taps of the largest kernel whose gradient oneDNN computes fast; from 15 on a tap takes six times as long.
_MAX_TAPS = 14
# With fewer channels, a matrix product costs more than oneDNN's gradient of the weights.
_MIN_CHANNELS_OF_PRODUCT = 32


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    leaky_slope: float | None = None,
) -> Tensor:
    """Convolve over time, as `torch.nn.functional.conv1d` does, with an optional leaky ReLU.

    On a CPU the channels of a time step are adjacent in memory, and stay so through a chain of convolutions and
    activations: oneDNN is then about 1.3 times as fast in bf16 as with time last.

        (B, C, T) contiguous     c0 t0, c0 t1, c0 t2, ... | c1 t0, c1 t1, ...
        (B, C, T) channels last  t0 c0, t0 c1, t0 c2, ... | t1 c0, t1 c1, ...

    Args:
        x: (B, C_in, T).
        weight: (C_out, C_in / groups, K).
        bias: (C_out,) or None.
        stride: steps from one output to the next.
        padding: zeros at each end.
        dilation: steps from one tap to the next.
        groups: blocks of channels that are convolved separately.
        leaky_slope: negative slope, above 0, of a leaky ReLU after the convolution; None for no activation.

    Returns:
        (B, C_out, T_out).
    """
    if x.device.type != "cpu":
        y = F.conv1d(x, weight, bias, stride, padding, dilation, groups)
        return y if leaky_slope is None else F.leaky_relu(y, leaky_slope, inplace=True)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    geometry = _Geometry(stride, padding, dilation, groups)
    convolved: Tensor = _OnCpu.apply(x, weight, bias, geometry, leaky_slope, dtype)  # type: ignore[no-untyped-call]
    return convolved


class _Geometry(NamedTuple):
    stride: int
    padding: int
    dilation: int
    groups: int


class _OnCpu(torch.autograd.Function):
    """A convolution whose output and two gradients are each computed in the fastest way.

    Of a leaky ReLU only the result is kept: its sign implies the slope.
    """

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: _Geometry,
        leaky_slope: float | None,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = x.to(dtype).transpose(1, 2).contiguous()  # (B, C_in, T) -> (B, T, C_in)
        weight = weight.to(dtype)
        if bias is not None:
            bias = bias.to(dtype)
        stride, padding, dilation, groups = geometry
        context.geometry, context.length = geometry, rows.shape[1]
        if _is_polyphase(geometry):
            rows = _phases_of_rows(rows, weight.shape[2], geometry)
            y = F.conv2d(_as_images(rows), _phases_of_weight(weight, stride).unsqueeze(2), bias, groups=groups)
        else:
            taps = weight.unsqueeze(2)
            y = F.conv2d(_as_images(rows), taps, bias, (1, stride), (0, padding), (1, dilation), groups)
        y = y.squeeze(2)
        if leaky_slope is not None:
            F.leaky_relu(y, leaky_slope, inplace=True)
        of_x, of_weight, *_ = context.needs_input_grad
        context.leaky_slope, context.weight_shape = leaky_slope, weight.shape
        context.save_for_backward(
            weight if of_x else None, rows if of_weight else None, None if leaky_slope is None else y
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, rows, y = context.saved_tensors
        if y is not None:
            gradient = torch.ops.aten.leaky_relu_backward(gradient, y, context.leaky_slope, True)
        of_y = gradient.transpose(1, 2).contiguous()  # (B, T_out, C_out)
        of_x = of_weight = of_bias = None
        if weight is not None:
            of_x = _gradient_of_x(of_y, weight, context.length, context.geometry)
        if rows is not None:
            of_weight = _gradient_of_weight(of_y, rows, context.weight_shape, context.geometry)
        if context.needs_input_grad[2]:
            of_bias = of_y.sum(dim=(0, 1))
        return of_x, of_weight, of_bias, None, None, None


def _as_images(rows: Tensor) -> Tensor:
    return rows.transpose(1, 2).unsqueeze(2)  # (B, T, C) -> (B, C, 1, T), channels last in memory


def _gradient_of_x(of_y: Tensor, weight: Tensor, length: int, geometry: _Geometry) -> Tensor:
    like = of_y.new_empty(len(of_y), length, weight.shape[1] * geometry.groups)
    of_x, _ = _gradients(of_y, like, weight, geometry, (True, False))
    return of_x.squeeze(2)


def _gradient_of_weight(of_y: Tensor, rows: Tensor, shape: torch.Size, geometry: _Geometry) -> Tensor:
    """Return (C_out, C_in / groups, K) from (B, T_out, C_out) and the rows that forward convolved."""
    stride, padding, dilation, groups = geometry
    c_out, c_in, n_taps = shape
    if groups == dilation == 1 and min(c_in, c_out) >= _MIN_CHANNELS_OF_PRODUCT:
        return _gradient_as_product(of_y, rows, n_taps, geometry)
    if _is_polyphase(geometry):
        of_phases = _gradient_in_pieces(of_y, rows, -(-n_taps // stride), groups)
        return _weight_of_phases(of_phases, stride, n_taps)
    if n_taps > _MAX_TAPS and stride == dilation == 1:
        return _gradient_in_pieces(of_y, F.pad(rows, (0, 0, padding, padding)), n_taps, groups)
    _, of_weight = _gradients(of_y, rows, of_y.new_empty(shape), geometry, (False, True))
    return of_weight.squeeze(2)


def _gradient_as_product(of_y: Tensor, rows: Tensor, n_taps: int, geometry: _Geometry) -> Tensor:
    """Multiply the outputs' gradients by the windows that they were computed from.

    The windows are the rows of one matrix (im2col); with 3 taps and stride 1:

        padded rows    [r0][r1][r2][r3][r4]
        window 0       [r0  r1  r2]
        window 1           [r1  r2  r3]
        window 2               [r2  r3  r4]        (T_out, K * C_in)
    """
    c_in = rows.shape[2]
    padded = F.pad(rows, (0, 0, geometry.padding, geometry.padding))
    of_batch, of_time, _ = padded.stride()
    shape = (len(rows), of_y.shape[1], n_taps * c_in)
    windows = padded.as_strided(shape, (of_batch, geometry.stride * of_time, 1)).flatten(0, 1)
    product: Tensor = (of_y.flatten(0, 1).t() @ windows).unflatten(1, (n_taps, c_in))
    return product.transpose(1, 2).contiguous()


def _gradient_in_pieces(of_y: Tensor, padded: Tensor, n_taps: int, groups: int) -> Tensor:
    """Compute the gradient of a few taps at a time, for a convolution of stride 1 without padding."""
    n_pieces = -(-n_taps // _MAX_TAPS)
    n_out, width = of_y.shape[1], padded.shape[2] // groups
    pieces = []
    for piece in range(n_pieces):
        start, stop = n_taps * piece // n_pieces, n_taps * (piece + 1) // n_pieces
        inputs = padded[:, start : stop + n_out - 1].contiguous()
        like = of_y.new_empty(of_y.shape[2], width, stop - start)
        _, of_piece = _gradients(of_y, inputs, like, _Geometry(1, 0, 1, groups), (False, True))
        pieces.append(of_piece.squeeze(2))
    return torch.cat(pieces, dim=2)


def _gradients(
    of_y: Tensor, rows: Tensor, weight: Tensor, geometry: _Geometry, requested: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Return torch's gradients of (B, C_in, 1, T) inputs and (C_out, C_in / groups, 1, K) weights, as requested."""
    stride, padding, dilation, groups = geometry
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        _as_images(of_y),
        _as_images(rows),
        weight.unsqueeze(2),
        None,
        [1, stride],
        [0, padding],
        [1, dilation],
        False,
        [0, 0],
        groups,
        [*requested, False],
    )
    return of_x, of_weight


def _is_polyphase(geometry: _Geometry) -> bool:
    """Return whether to compute a convolution as one of stride 1 over `stride` times the channels, without padding.

    The same sums, but in groups of few channels oneDNN's strided kernels reach a third of the speed of its others. With
    stride 2 and 5 taps, each step of the reshaped input holds two steps, its phases, as channels:

        input    [x0  x1][x2  x3][x4  x5][x6  x7]        (T, C) -> (T / 2, 2 C)
        weight   [w0  w1][w2  w3][w4   0]                (5, C) -> (3, 2 C), for output 0
                         [w0  w1][w2  w3][w4   0]        for output 1
    """
    return geometry.stride > 1 and geometry.groups > 1 and geometry.dilation == 1


def _phases_of_rows(rows: Tensor, n_taps: int, geometry: _Geometry) -> Tensor:
    stride, padding, _, groups = geometry
    n_out = (rows.shape[1] + 2 * padding - n_taps) // stride + 1
    taps = -(-n_taps // stride)
    length = (n_out + taps - 1) * stride
    padded = F.pad(rows, (0, 0, padding, length - padding - rows.shape[1]))
    phases: Tensor = padded.unflatten(2, (groups, -1)).unflatten(1, (-1, stride))  # (B, T / s, s, groups, C)
    return phases.transpose(2, 3).flatten(2)  # (B, T / s, groups * s * C)


def _phases_of_weight(weight: Tensor, stride: int) -> Tensor:
    n_taps = weight.shape[2]
    taps = -(-n_taps // stride)
    weight = F.pad(weight, (0, taps * stride - n_taps)).unflatten(2, (taps, stride))  # (C_out, C, K / s, s)
    return weight.permute(0, 3, 1, 2).flatten(1, 2)


def _weight_of_phases(phases: Tensor, stride: int, n_taps: int) -> Tensor:
    weight: Tensor = phases.unflatten(1, (stride, -1)).permute(0, 2, 3, 1)  # (C_out, C, K / s, s)
    return weight.flatten(2)[..., :n_taps].contiguous()
