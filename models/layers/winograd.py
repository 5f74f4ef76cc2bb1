"""Convolutions over time with fewer multiplications, by Winograd's minimal filtering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_TILE = 3  # outputs of a tile, and taps of a group
_N_PRODUCTS = 5
_MIN_CHANNELS, _MIN_FRAMES = 128, 1024  # below, the transforms cost more than they save

# The kernel's transform; those of inputs and outputs are written out below. Interpolation points 0, -1, 1, 2, infinity.
_OF_TAPS = torch.tensor(
    [[1 / 2, 0, 0], [-1 / 2, -1 / 2, -1 / 2], [-1 / 6, 1 / 6, -1 / 6], [1 / 6, 1 / 3, 2 / 3], [0, 0, 1]]
)


def saves_time(x: Tensor, weight: Tensor) -> bool:
    """Return whether a (O, C, K) kernel is faster so on (B, T, C) inputs: large float32 ones, above one tap.

    In bfloat16 the transforms would round too much.
    """
    return (
        x.dtype == weight.dtype == torch.float32
        and weight.shape[2] > 1
        and min(weight.shape[:2]) >= _MIN_CHANNELS
        and x.shape[0] * x.shape[1] >= _MIN_FRAMES
        and torch.backends.mkldnn.is_available()
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve over time, zeros standing beyond both ends.

    Three outputs of a kernel of three taps take five products instead of nine (A. Lavin, S. Gray, arXiv:1509.09308,
    section 4, there in two dimensions). Longer kernels are split into groups of three taps, each as long as the step
    from tile to tile; so the products are five convolutions over tiles, one tap per group, which oneDNN computes:

        taps     [w0 w1 w2][w3 w4 w5][w6 w7 w8]         --> u0, u1, u2, five numbers each
        inputs   [x0 x1 x2  x3 x4]                      --> v0
                          [x3 x4 x5  x6 x7]             --> v1, and so on
        outputs  [y0 y1 y2]                             <-- u0 v0 + u1 v1 + u2 v2

    The error is about that of the plain sum in float32, whose order is different.

    Args:
        x: (B, T, C).
        weight: (O, C, K), K odd.
        bias: (O,) or None.

    Returns:
        (B, T, O).
    """
    n_taps = weight.shape[2]
    kernels = _transformed_kernels(weight)
    inputs = _transformed_inputs(x, n_taps).transpose(2, 3).unsqueeze(3)  # (5, B, C, 1, tiles + groups - 1)
    products = [F.conv2d(each, kernel) for each, kernel in zip(inputs, kernels, strict=True)]
    rows = [product.squeeze(2).transpose(1, 2) for product in products]  # (B, tiles, O)
    return _outputs(rows, bias, x.shape[1])


def gradient_of_x(of_y: Tensor, weight: Tensor) -> Tensor:
    """Return the (B, T, C) gradient of the input; `of_y` is (B, T, O), `weight` (O, C, K)."""
    return convolve(of_y, weight.flip(2).transpose(0, 1), None)


def gradient_of_weight(of_y: Tensor, x: Tensor, n_taps: int) -> Tensor:
    """Return the (O, C, K) gradient of the kernel; `of_y` is (B, T, O), `x` (B, T, C)."""
    n_rows, _, n_channels = x.shape
    n_groups = -(-n_taps // _TILE)
    inputs = _transformed_inputs(x, n_taps)  # (5, B, tiles + groups - 1, C)
    of_products = _transformed_gradients(of_y)  # (5, B, tiles, O)
    n_tiles, width = of_products.shape[2], n_groups * n_channels
    of_product, of_row, of_tile, _ = inputs.stride()
    windows = inputs.as_strided((_N_PRODUCTS, n_rows, n_tiles, width), (of_product, of_row, of_tile, 1))
    of_kernels = of_products.flatten(1, 2).transpose(1, 2) @ windows.reshape(_N_PRODUCTS, n_rows * n_tiles, width)
    of_taps = (_OF_TAPS.t() @ of_kernels.flatten(1)).view(_TILE, -1, n_groups, n_channels)
    return of_taps.permute(1, 3, 2, 0).flatten(2)[:, :, :n_taps].contiguous()


def _transformed_kernels(weight: Tensor) -> Tensor:
    """Return (5, O, C, 1, groups) kernels over tiles, channels last in memory, of (O, C, K)."""
    n_out, n_channels, n_taps = weight.shape
    n_groups = -(-n_taps // _TILE)
    padded = F.pad(weight, (0, n_groups * _TILE - n_taps)).unflatten(2, (n_groups, _TILE))
    taps = padded.permute(3, 0, 2, 1).reshape(_TILE, -1)  # (3, O * groups * C)
    kernels: Tensor = (_OF_TAPS @ taps).view(_N_PRODUCTS, n_out, 1, n_groups, n_channels)
    return kernels.permute(0, 1, 4, 2, 3)


def _transformed_inputs(x: Tensor, n_taps: int) -> Tensor:
    """Return (5, B, tiles + groups - 1, C) of (B, T, C)."""
    n_rows, length, n_channels = x.shape
    n_tiles = -(-length // _TILE) + -(-n_taps // _TILE) - 1
    before = n_taps // 2
    padded = F.pad(x, (0, 0, before, n_tiles * _TILE + 2 - before - length))
    d0, d1, d2, d3, d4 = (padded[:, start : start + n_tiles * _TILE : _TILE] for start in range(_N_PRODUCTS))
    v = x.new_empty(_N_PRODUCTS, n_rows, n_tiles, n_channels)
    torch.sub(d3, d1, out=v[3])
    torch.add(v[3], d0 - d2, alpha=2, out=v[0])  # 2 d0 - d1 - 2 d2 + d3
    torch.sub(v[3], d1 + d2, out=v[1])  # -2 d1 - d2 + d3
    torch.sub(v[3], d2 - d1, alpha=3, out=v[2])  # 2 d1 - 3 d2 + d3
    torch.sub(d4 - d2, v[3], alpha=2, out=v[4])  # 2 d1 - d2 - 2 d3 + d4
    return v


def _outputs(products: Sequence[Tensor], bias: Tensor | None, length: int) -> Tensor:
    """Return (B, T, O) of five (B, tiles, O), which are overwritten."""
    m0, m1, m2, m3, m4 = products
    total, difference = m1 + m2, m1.sub_(m2)
    if bias is not None:
        total += bias
        difference += bias
    y = m0.new_empty(len(m0), length, m0.shape[2])
    for start, (others, factor) in enumerate(((m0.add_(total), 1), (difference, 2), (m4.add_(total), 4))):
        outputs = y[:, start::_TILE]
        n_tiles = outputs.shape[1]
        torch.add(others[:, :n_tiles], m3[:, :n_tiles], alpha=factor, out=outputs)
    return y


def _transformed_gradients(of_y: Tensor) -> Tensor:
    """Return the (5, B, tiles, O) gradients of the products, of (B, T, O): the transpose of `_outputs`."""
    n_rows, length, n_out = of_y.shape
    n_tiles = -(-length // _TILE)
    first, second, third = F.pad(of_y, (0, 0, 0, n_tiles * _TILE - length)).unflatten(1, (n_tiles, _TILE)).unbind(2)
    of_products = of_y.new_empty(_N_PRODUCTS, n_rows, n_tiles, n_out)
    of_products[0], of_products[4] = first, third
    outer = first + third
    torch.add(outer, second, out=of_products[1])
    torch.sub(outer, second, out=of_products[2])
    torch.add(torch.add(first, second, alpha=2), third, alpha=4, out=of_products[3])
    return of_products
