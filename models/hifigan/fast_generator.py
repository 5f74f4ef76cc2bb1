"""HiFi-GAN's generator for inference: the same waveform, faster."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.weight_normed_convolution import WeightNormedConvolution, WeightNormedUpsampling

ResidualSums = Sequence[Sequence[WeightNormedConvolution]]
"""The convolutions of a residual block, for each of its residual sums in order."""

TILE_BYTES = 2**22
"""Size of a tile of a stage's activations on a CPU, so that they stay in the cache through all residual blocks.

Without tiles, the widest dilations reach half the speed of oneDNN's convolutions; with smaller ones, too much is
computed twice.
"""


class FastGenerator:
    """The generator with its current weights, for inference only.

    Weight norm is folded into the weights. On a CPU, activations are (B, C, 1, T) with channels last in memory
    (see `models.layers.convolve`), other operations work in place, and each convolution is fused with what follows it;
    a residual sum of a paired block is two calls of oneDNN:

        y --+-- leaky ReLU --> [conv1, bias, leaky ReLU] --> [conv2, bias, + y] --> y
            |                                                           ^
            +-----------------------------------------------------------+

    Args:
        first: the convolution before all stages.
        stages: each stage's upsampling and residual blocks.
        last: the convolution after all stages.
        leaky_slope: of all leaky ReLUs but the last.
        last_slope: of the last one.
        dtype: of weights and activations; convolutions accumulate in float32 in any case.
    """

    def __init__(
        self,
        first: WeightNormedConvolution,
        stages: Sequence[tuple[WeightNormedUpsampling, Sequence[ResidualSums]]],
        last: WeightNormedConvolution,
        *,
        leaky_slope: float,
        last_slope: float,
        dtype: torch.dtype,
    ) -> None:
        self._leaky_slope, self._last_slope, self._dtype = leaky_slope, last_slope, dtype
        with torch.no_grad():
            self._first, self._last = _Folded(first, dtype), _Folded(last, dtype)
            self._stages = [_FoldedStage(*stage, leaky_slope, dtype) for stage in stages]

    def __call__(self, mel: Tensor) -> Tensor:
        """Return (B, T_mel * hop_size) waveforms of (B, M, T_mel) log-mels."""
        x = mel.to(self._dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)  # (B, M, 1, T)
        x = self._first(x)
        for stage in self._stages:
            x = stage(F.leaky_relu_(x, self._leaky_slope))
        x = self._last(F.leaky_relu_(x, self._last_slope))
        return torch.tanh_(x.float()).flatten(1)


class _FoldedStage:
    """Upsamples (B, C, 1, T), then averages the outputs of the residual blocks."""

    def __init__(
        self, upsampling: WeightNormedUpsampling, blocks: Sequence[ResidualSums], slope: float, dtype: torch.dtype
    ) -> None:
        self._upsampling, self._slope = _FoldedUpsampling(upsampling, dtype), slope
        self._blocks = [[tuple(_Folded(each, dtype) for each in layers) for layers in block] for block in blocks]
        self._reach = max(sum(each.padding for layers in block for each in layers) for block in blocks)

    def __call__(self, x: Tensor) -> Tensor:
        x = self._upsampling(x)  # (B, C, 1, T) -> (B, C / 2, 1, T * rate)
        return self._residual_blocks_in_tiles(x) if x.device.type == "cpu" else self._residual_blocks(x)

    def _residual_blocks_in_tiles(self, x: Tensor) -> Tensor:
        """Apply the residual blocks tile by tile, each with its receptive field on both sides.

        x            |---------------------------------------|
        computed         |< reach >|=== tile ===|< reach >|
        kept                       |============|
        """
        length, n_steps = x.shape[3], self._steps_at_once(x)
        if len(x) == 1 and n_steps == length:
            return self._residual_blocks(x)
        y = torch.empty_like(x)
        for x_row, y_row in zip(x.split(1), y.split(1), strict=True):
            for start in range(0, length, n_steps):
                stop = min(start + n_steps, length)
                first, last = max(start - self._reach, 0), min(stop + self._reach, length)
                tile = self._residual_blocks(x_row[..., first:last])
                y_row[..., start:stop] = tile[..., start - first : stop - first]
        return y

    def _steps_at_once(self, x: Tensor) -> int:
        fitting = max(TILE_BYTES // (x.shape[1] * x.element_size()), 2 * self._reach, 1)
        n_tiles = max(round(x.shape[3] / fitting), 1)
        return -(-x.shape[3] // n_tiles)  # equal tiles: a short last one would be mostly overlap

    def _residual_blocks(self, x: Tensor) -> Tensor:
        """Return the mean of the residual blocks' outputs."""
        total: Tensor | None = None
        for block in self._blocks:
            y = x.clone()
            for layers in block:
                z = F.leaky_relu(y, self._slope)
                for layer in layers[:-1]:
                    z = layer(z, self._slope)
                y = layers[-1].add_to(y, z)
            total = y if total is None else total.add_(y)
        assert total is not None
        return total.mul_(1.0 / len(self._blocks))


class _Folded:
    """A convolution with its weight norm folded, over (B, C, 1, T)."""

    def __init__(self, convolution: WeightNormedConvolution, dtype: torch.dtype) -> None:
        weight = convolution.weight.detach().to(dtype).unsqueeze(2)
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = convolution.bias.detach().to(dtype)
        self._padding, self._dilation = [0, convolution.padding], [1, convolution.dilation]
        self._is_fused = fuses(weight)

    def __call__(self, x: Tensor, slope: float | None = None) -> Tensor:
        """Convolve, and with a slope apply a leaky ReLU."""
        if self._is_fused:
            name, scalars = ("none", []) if slope is None else ("leaky_relu", [slope])
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self._weight, self._bias, self._padding, [1, 1], self._dilation, 1, name, scalars, ""
            )
        else:
            y = self._convolve(x)
            if slope is not None:
                F.leaky_relu_(y, slope)
        return y

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of x to `total`, in place."""
        if not self._is_fused:
            return total.add_(self._convolve(x))
        convolution = (self._weight, self._bias, self._padding, [1, 1], self._dilation, 1)
        total = torch.ops.mkldnn._convolution_pointwise_(total, x, *convolution, "add", 1.0, None, [], None)
        return total

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._weight, self._bias, 1, self._padding, self._dilation)


class _FoldedUpsampling:
    def __init__(self, upsampling: WeightNormedUpsampling, dtype: torch.dtype) -> None:
        self._weight = upsampling.kernel.detach().to(dtype).unsqueeze(2)
        self._bias = upsampling.bias.detach().to(dtype)
        self._rate, self._padding = upsampling.rate, upsampling.padding

    def __call__(self, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, self._weight, self._bias, (1, self._rate), (0, self._padding))
        return y.contiguous(memory_format=torch.channels_last)


def fuses(weight: Tensor) -> bool:
    """Return whether oneDNN's fused convolutions, as used by torch.compile, support this weight."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise_"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
