"""Convolutions over time, in the memory layouts that the device computes fastest."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Of a kernel whose gradient oneDNN computes by its fast kernels; from 15 on it takes six times as long per tap.
_MOST_TAPS = 14
# With fewer, a matrix product costs more than oneDNN's gradient of the weights.
_FEWEST_CHANNELS_OF_A_PRODUCT = 32


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
    """Convolve over time, as `torch.nn.functional.conv1d` does; on request apply a leaky ReLU, too.

    On a CPU the channels of one time step come to lie side by side in memory, and stay so through a chain of
    convolutions and activations: there oneDNN is about 1.3 times as fast in bf16 as with time last.

    Args:
        x: (B, C_in, T).
        weight: (C_out, C_in / groups, K).
        bias: (C_out,) or None.
        stride: steps from one output to the next.
        padding: zeros at each end.
        dilation: steps from one tap to the next.
        groups: blocks of channels that do not hear each other.
        leaky_slope: slope below 0, above 0 itself, of a leaky ReLU after the convolution; None for no activation.

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
    """A convolution whose sums and two gradients are each written in the way that is fastest.

    Of a leaky ReLU only the result is kept: its sign tells the slope.
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
            y = F.conv2d(_as_pictures(rows), _phases_of_weight(weight, stride).unsqueeze(2), bias, groups=groups)
        else:
            taps = weight.unsqueeze(2)
            y = F.conv2d(_as_pictures(rows), taps, bias, (1, stride), (0, padding), (1, dilation), groups)
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


def _as_pictures(rows: Tensor) -> Tensor:
    return rows.transpose(1, 2).unsqueeze(2)  # (B, T, C) -> (B, C, 1, T), channels last in memory


def _gradient_of_x(of_y: Tensor, weight: Tensor, length: int, geometry: _Geometry) -> Tensor:
    like = of_y.new_empty(len(of_y), length, weight.shape[1] * geometry.groups)
    of_x, _ = _gradients(of_y, like, weight, geometry, (True, False))
    return of_x.squeeze(2)


def _gradient_of_weight(of_y: Tensor, rows: Tensor, shape: torch.Size, geometry: _Geometry) -> Tensor:
    """Give (C_out, C_in / groups, K) from (B, T_out, C_out) and the rows that forward convolved."""
    stride, padding, dilation, groups = geometry
    c_out, c_in, n_taps = shape
    if groups == dilation == 1 and min(c_in, c_out) >= _FEWEST_CHANNELS_OF_A_PRODUCT:
        return _gradient_as_product(of_y, rows, n_taps, geometry)
    if _is_polyphase(geometry):
        of_phases = _gradient_in_pieces(of_y, rows, -(-n_taps // stride), groups)
        return _weight_of_phases(of_phases, stride, n_taps)
    if n_taps > _MOST_TAPS and stride == dilation == 1:
        return _gradient_in_pieces(of_y, F.pad(rows, (0, 0, padding, padding)), n_taps, groups)
    _, of_weight = _gradients(of_y, rows, of_y.new_empty(shape), geometry, (False, True))
    return of_weight.squeeze(2)


def _gradient_as_product(of_y: Tensor, rows: Tensor, n_taps: int, geometry: _Geometry) -> Tensor:
    """Multiply the outputs' gradients by what each output heard, its taps side by side."""
    c_in = rows.shape[2]
    padded = F.pad(rows, (0, 0, geometry.padding, geometry.padding))
    of_batch, of_time, _ = padded.stride()
    windows = (len(rows), of_y.shape[1], n_taps * c_in)
    heard = padded.as_strided(windows, (of_batch, geometry.stride * of_time, 1)).flatten(0, 1)
    product: Tensor = (of_y.flatten(0, 1).t() @ heard).unflatten(1, (n_taps, c_in))
    return product.transpose(1, 2).contiguous()


def _gradient_in_pieces(of_y: Tensor, padded: Tensor, n_taps: int, groups: int) -> Tensor:
    """Compute a few taps' gradients at a time, of a convolution of stride 1 without padding."""
    n_pieces = -(-n_taps // _MOST_TAPS)
    n_out, width = of_y.shape[1], padded.shape[2] // groups
    pieces = []
    for piece in range(n_pieces):
        start, stop = n_taps * piece // n_pieces, n_taps * (piece + 1) // n_pieces
        heard = padded[:, start : stop + n_out - 1].contiguous()
        like = of_y.new_empty(of_y.shape[2], width, stop - start)
        _, of_piece = _gradients(of_y, heard, like, _Geometry(1, 0, 1, groups), (False, True))
        pieces.append(of_piece.squeeze(2))
    return torch.cat(pieces, dim=2)


def _gradients(
    of_y: Tensor, rows: Tensor, weight: Tensor, geometry: _Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Give those of (B, C_in, 1, T) and (C_out, C_in / groups, 1, K) that are wanted, as torch computes them."""
    stride, padding, dilation, groups = geometry
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        _as_pictures(of_y),
        _as_pictures(rows),
        weight.unsqueeze(2),
        None,
        [1, stride],
        [0, padding],
        [1, dilation],
        False,
        [0, 0],
        groups,
        [*wanted, False],
    )
    return of_x, of_weight


def _is_polyphase(geometry: _Geometry) -> bool:
    """Whether a convolution is written as one of stride 1 over `stride` times the channels, without padding.

    The same sums. In groups of few channels, oneDNN's strided kernels reach a third of the speed of its others.
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
