"""Convolutions over time, in the memory layout that the device computes fastest."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over time, as `torch.nn.functional.conv1d` does.

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

    Returns:
        (B, C_out, T_out).
    """
    if x.device.type != "cpu":
        return F.conv1d(x, weight, bias, stride, padding, dilation, groups)
    rows = x.transpose(1, 2).contiguous()  # (B, C_in, T) -> (B, T, C_in)
    if stride > 1 and groups > 1 and dilation == 1:
        rows, weight, stride, padding = *_polyphase(rows, weight, stride, padding, groups), 1, 0
    pictures = rows.transpose(1, 2).unsqueeze(2)  # (B, C_in, 1, T), channels last
    y = F.conv2d(pictures, weight.unsqueeze(2), bias, (1, stride), (0, padding), (1, dilation), groups)
    return y.squeeze(2)


def _polyphase(rows: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> tuple[Tensor, Tensor]:
    """Write a strided convolution as one of stride 1 over `stride` times the channels, without padding.

    The same sums. In groups of few channels, oneDNN's strided kernels reach a third of the speed of its others.
    """
    n_taps = weight.shape[2]
    n_out = (rows.shape[1] + 2 * padding - n_taps) // stride + 1
    taps = -(-n_taps // stride)
    length = (n_out + taps - 1) * stride
    padded = F.pad(rows, (0, 0, padding, length - padding - rows.shape[1]))
    phases = padded.unflatten(2, (groups, -1)).unflatten(1, (-1, stride))  # (B, T / s, s, groups, C)
    rows = phases.transpose(2, 3).flatten(2)  # (B, T / s, groups * s * C)
    weight = F.pad(weight, (0, taps * stride - n_taps)).unflatten(2, (taps, stride))  # (C_out, C, K / s, s)
    return rows, weight.permute(0, 3, 1, 2).flatten(1, 2)
