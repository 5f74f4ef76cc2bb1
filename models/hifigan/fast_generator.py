"""HiFi-GAN's generator made ready to speak: the same waveform, sooner, and in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.layers.weight_normed_convolution import WeightNormedConvolution, WeightNormedUpsampling

ResidualSums = Sequence[Sequence[WeightNormedConvolution]]
"""The convolutions of a residual block: those of each of its residual sums, in their order."""

TILE_BYTES = 2**22
"""Of a stage's activations on a CPU, convolved one after the other while the processor's cache holds them.

Without, the widest dilations over long sequences reach half of the arithmetic that oneDNN's convolutions otherwise do;
in smaller tiles, too much is computed twice.
"""


class FastGenerator:
    """The generator with its weights as they are now, for inference alone.

    Weight norm is folded; on a CPU, channels lie next to each other in memory through the whole network, bias, leaky
    ReLU and residual sums are done by the convolution that comes before them, and the others in place. Residual blocks
    go over tiles of a stage that fit the cache.

    Args:
        first: the convolution before all stages.
        stages: each stage's upsampling and residual blocks.
        last: the convolution behind all stages.
        leaky_slope: of all leaky ReLUs but the last.
        last_slope: of that.
        dtype: of weights and activations; sums within a convolution are float32 in any case.
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
    """Lengthens a sequence, then gives the mean of what the residual blocks make of it, over (B, C, 1, T)."""

    def __init__(
        self, upsampling: WeightNormedUpsampling, blocks: Sequence[ResidualSums], slope: float, dtype: torch.dtype
    ) -> None:
        self._upsampling, self._slope = _FoldedUpsampling(upsampling, dtype), slope
        self._blocks = [[tuple(_Folded(each, dtype) for each in layers) for layers in block] for block in blocks]
        self._reach = max(sum(each.padding for layers in block for each in layers) for block in blocks)

    def __call__(self, x: Tensor) -> Tensor:
        x = self._upsampling(x)  # (B, C, 1, T) -> (B, C / 2, 1, T * rate)
        return self._mixed_in_tiles(x) if x.device.type == "cpu" else self._mixed(x)

    def _mixed_in_tiles(self, x: Tensor) -> Tensor:
        length, n_steps = x.shape[3], self._steps_at_once(x)
        if len(x) == 1 and n_steps == length:
            return self._mixed(x)
        made = torch.empty_like(x)
        for row, made_row in zip(x.split(1), made.split(1), strict=True):
            for start in range(0, length, n_steps):
                stop = min(start + n_steps, length)
                first, last = max(start - self._reach, 0), min(stop + self._reach, length)
                tile = self._mixed(row[..., first:last])
                made_row[..., start:stop] = tile[..., start - first : stop - first]
        return made

    def _steps_at_once(self, x: Tensor) -> int:
        fitting = max(TILE_BYTES // (x.shape[1] * x.element_size()), 2 * self._reach, 1)
        n_tiles = max(round(x.shape[3] / fitting), 1)
        return -(-x.shape[3] // n_tiles)  # tiles of one length: a short rest would be mostly overlap

    def _mixed(self, x: Tensor) -> Tensor:
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
        """Convolve; with a slope, a leaky ReLU follows."""
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
        """Add the convolved x to `total`, in place."""
        if not self._is_fused:
            return total.add_(self._convolve(x))
        convolution = (self._weight, self._bias, self._padding, [1, 1], self._dilation, 1)
        total = torch.ops.mkldnn._convolution_pointwise_(total, x, *convolution, "add", 1.0, None, [], None)
        return total

    def _convolve(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._weight, self._bias, 1, self._padding, self._dilation)


class _FoldedUpsampling:
    def __init__(self, upsampling: WeightNormedUpsampling, dtype: torch.dtype) -> None:
        self._weight = upsampling.weight.detach().to(dtype).unsqueeze(2)
        self._bias = upsampling.bias.detach().to(dtype)
        self._rate, self._padding = upsampling.rate, upsampling.padding

    def __call__(self, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, self._weight, self._bias, (1, self._rate), (0, self._padding))
        return y.contiguous(memory_format=torch.channels_last)


def fuses(weight: Tensor) -> bool:
    """Whether oneDNN's fused convolutions, which torch's own compiler uses, are there for a weight like this."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise_"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
