"""Weight norm and spectral norm of convolutions.

Parameters are named as `torch.nn.utils.weight_norm` and `spectral_norm` name theirs (`weight_g`, `weight_v`;
`weight_orig`, `weight_u`, `weight_v`), so that checkpoints of both load without renaming.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormed(nn.Module):
    """A weight reparametrised as g * v / |v|, the norm taken for each index of its first dimension.

    T. Salimans, D. Kingma, "Weight Normalization", arXiv:1602.07868, section 2.

    Args:
        weight: initial value.
        bias: (channels,) initial value.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        others = tuple(range(1, weight.ndim))
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(weight, dim=others, keepdim=True))
        self.weight_v = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())

    @property
    def weight(self) -> Tensor:
        """The weight itself, in float32, with a gradient to both its parts."""
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


class WeightNormedPlane(WeightNormed):
    """A weight-normed convolution over planes, (B, C, height, width).

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: over height and width.
        stride: likewise.
        padding: likewise; half a kernel by default, which keeps the size where the stride is 1 and the kernel odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] | None = None,
    ) -> None:
        bound = 1 / math.sqrt(in_channels * math.prod(kernel_size))  # as torch's own convolutions begin
        weight = torch.empty(out_channels, in_channels, *kernel_size).uniform_(-bound, bound)
        super().__init__(weight, torch.empty(out_channels).uniform_(-bound, bound))
        height, width = kernel_size
        self._stride, self._padding = stride, (height // 2, width // 2) if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        stride = self._stride
        if x.shape[3] == 1 and self.weight_v.shape[3] == 2 * self._padding[1] + 1:
            # One output, whatever the stride; with a stride above 1, oneDNN's gradient of a bf16 weight is not finite.
            stride = stride[0], 1
        return F.conv2d(x, self.weight, self.bias, stride, self._padding)


class SpectralNormed(nn.Module):
    """A weight divided by its largest singular value, which power iteration follows.

    T. Miyato and others, "Spectral Normalization", arXiv:1802.05957, algorithm 1. Iterates once per step of a training
    (`advance`), not once per pass as in torch, so that all micro-batches of a step have the same weight.

    Args:
        weight: initial value.
        bias: (channels,) initial value.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())
        self._advanced_at: int | None = None  # the step of the latest `advance`
        matrix = weight.flatten(1)
        self.register_buffer("weight_u", F.normalize(torch.randn(matrix.shape[0]), dim=0, eps=1e-12))
        self.register_buffer("weight_v", F.normalize(torch.randn(matrix.shape[1]), dim=0, eps=1e-12))
        with torch.no_grad():
            for _ in range(15):
                self._iterate()

    @property
    def weight(self) -> Tensor:
        """The weight itself, in float32."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            # Copies: the next iteration is in place, and must not reach this pass's gradients.
            u, v = self.weight_u.clone(), self.weight_v.clone()
            return self.weight_orig / torch.dot(u, self.weight_orig.flatten(1) @ v)

    def advance(self, step: int) -> None:
        """Iterate once in a training step, unless the weight is frozen or has been advanced in this step."""
        if self.training and self.weight_orig.requires_grad and self._advanced_at != step:
            with torch.no_grad(), torch.autocast(self.weight_orig.device.type, enabled=False):
                self._iterate()
            self._advanced_at = step

    def _iterate(self) -> None:
        matrix = self.weight_orig.detach().flatten(1)
        self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0, eps=1e-12))
        self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0, eps=1e-12))
