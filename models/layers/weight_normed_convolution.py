"""Weight-normed convolutions of vocoders."""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.normed_convolution import WeightNormed

Network = TypeVar("Network", bound=nn.Module)
Layer = TypeVar("Layer", nn.Conv1d, nn.ConvTranspose1d)
_INITIAL_STD = 0.01  # HiFi-GAN's `init_weights`


class WeightNormedConvolution(WeightNormed):
    """A weight-normed convolution from (B, in_channels, T) to (B, out_channels, T): "same" padding, odd kernel."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        weight = _initial_weight(out_channels, in_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, in_channels * kernel_size))
        self.dilation, self.padding = dilation, dilation * (kernel_size - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)

    def plain(self) -> nn.Conv1d:
        """Return the same in torch's own layer, with weight norm folded."""
        n_out, n_in, kernel_size = self.weight.shape
        layer = nn.Conv1d(n_in, n_out, kernel_size, padding=self.padding, dilation=self.dilation)
        return _with_weights(layer, self.weight, self.bias)


class WeightNormedUpsampling(WeightNormed):
    """A weight-normed transposed convolution from (B, in_channels, T) to (B, out_channels, T * rate).

    It makes `kernel_size - rate` samples too many, of which half are cut at each end. Of an odd number, UnivNet cuts
    one more at the start, HiFi-GAN at the end:

        made            |-----------------------------------|      rate 4, kernel 7, T = 3: 15 samples
        kept by UnivNet     |===========================|          cut: 2 and 1
        by HiFi-GAN       |===========================|            cut: 1 and 2

    The latter is computed as a kernel that begins with one more weight of 0, which leaves an even number to cut.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: at least `rate`.
        rate: upsampling factor, the stride.
        more_at_end: whether more is cut at the end.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, rate: int, *, more_at_end: bool = False
    ) -> None:
        weight = _initial_weight(in_channels, out_channels, kernel_size)
        super().__init__(weight, _initial_bias(out_channels, out_channels * kernel_size))
        is_odd = (kernel_size - rate) % 2
        self._zeros, self.output_padding = (is_odd, 0) if more_at_end else (0, is_odd)
        self.kernel_size, self.rate, self.padding = kernel_size + self._zeros, rate, (kernel_size - rate + 1) // 2

    @property
    def kernel(self) -> Tensor:
        """The (in_channels, out_channels, kernel_size) weight to convolve with."""
        return F.pad(self.weight, (self._zeros, 0)) if self._zeros else self.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.kernel, self.bias, self.rate, self.padding, self.output_padding)

    def plain(self) -> nn.ConvTranspose1d:
        """Return the same in torch's own layer, with weight norm folded."""
        n_in, n_out, kernel_size = self.kernel.shape
        layer = nn.ConvTranspose1d(n_in, n_out, kernel_size, self.rate, self.padding, self.output_padding)
        return _with_weights(layer, self.kernel, self.bias)


def without_weight_norm(network: Network) -> Network:
    """Return a copy of a network for inference, with its weight-normed convolutions as torch's own layers."""
    folded = copy.deepcopy(network)
    for module in list(folded.modules()):
        for name, child in module.named_children():
            if isinstance(child, WeightNormedConvolution | WeightNormedUpsampling):
                setattr(module, name, child.plain())
    return folded


def initialise_as_torch(network: nn.Module) -> None:
    """Draw the weights of all weight-normed layers as torch draws those of its own convolutions."""
    for module in network.modules():
        if isinstance(module, WeightNormed):
            bound = 1 / math.sqrt(module.weight_v[0].numel())
            with torch.no_grad():
                module.weight_v.uniform_(-bound, bound)
                norm = torch.linalg.vector_norm(
                    module.weight_v, dim=tuple(range(1, module.weight_v.ndim)), keepdim=True
                )
                module.weight_g.copy_(norm)


def _with_weights(layer: Layer, weight: Tensor, bias: Tensor) -> Layer:
    assert layer.bias is not None
    layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
    return layer


def _initial_weight(*shape: int) -> Tensor:
    return torch.randn(shape) * _INITIAL_STD


def _initial_bias(channels: int, fan_in: int) -> Tensor:
    # As `torch.nn.Conv1d`.
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(channels).uniform_(-bound, bound)
