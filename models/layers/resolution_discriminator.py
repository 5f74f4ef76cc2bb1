"""Multi-resolution discriminators: spectra of several window sizes, scored as images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.discriminator import DiscriminatorOutput, Discriminators, score_planes
from models.layers.normed_convolution import WeightNormedPlane

# The small pair's spectra are compressed: without, loud partials outweigh the rest of the picture.
_COMPRESSION = 0.3


class Resolution(NamedTuple):
    """Window of a short-time Fourier transform, in samples."""

    n_fft: int
    hop_size: int
    win_size: int


class Plane(NamedTuple):
    """The geometry of one convolution over bins and frames."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]


CHANNELS, LEAKY_SLOPE = 32, 0.2  # UnivNet's
UNIVNET_RESOLUTIONS = (Resolution(1024, 120, 600), Resolution(2048, 240, 1200), Resolution(512, 50, 240))
UNIVNET_PLANES = (
    Plane((3, 9), (1, 1)),
    *(Plane((3, 9), (1, 2)) for _ in range(3)),
    Plane((3, 3), (1, 1)),
)
SMALL_RESOLUTIONS = tuple(Resolution(n_fft, n_fft // 4, n_fft) for n_fft in (512, 1024, 2048))
SMALL_PLANES = (
    Plane((7, 5), (2, 2)),
    Plane((5, 3), (2, 1)),
    Plane((5, 3), (2, 2)),
    Plane((5, 3), (2, 1)),
    Plane((5, 3), (2, 2)),
)


class ResolutionDiscriminator(nn.Module):
    """Scores the spectrum of one window size by convolutions over frequency and time.

    UnivNet's (arXiv:2106.07889, section 2.2) sees the magnitude; with `is_complex` real and imaginary part are two
    planes, the magnitude to the power of 0.3 and the phase left as it is.

    Args:
        resolution: of the transform.
        planes: geometry of the convolutions, without the last, which gives the score.
        channels: of each of them.
        leaky_slope: of the leaky ReLUs.
        is_complex: whether the phase is seen.
        has_window: whether a Hann window is applied; UnivNet's published code applies none.
    """

    window: Tensor

    def __init__(
        self,
        resolution: Resolution,
        planes: Sequence[Plane],
        *,
        channels: int,
        leaky_slope: float,
        is_complex: bool,
        has_window: bool,
    ) -> None:
        super().__init__()
        self._resolution, self._leaky_slope, self._is_complex = resolution, leaky_slope, is_complex
        make_window = torch.hann_window if has_window else torch.ones
        self.register_buffer("window", make_window(resolution.win_size), persistent=False)
        widths = [2 if is_complex else 1, *(channels for _ in planes)]
        self.convs = nn.ModuleList(
            WeightNormedPlane(before, channels, plane.kernel_size, plane.stride)
            for before, plane in zip(widths, planes, strict=False)
        )
        self.conv_post = WeightNormedPlane(channels, 1, (3, 3))

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Score (B, T_wav) waveforms."""
        return score_planes(self._spectrum(waveform), self.convs, self.conv_post, self._leaky_slope)

    def _spectrum(self, waveform: Tensor) -> Tensor:
        """Return (B, 1 or 2, n_bins, n_frames)."""
        n_fft, hop_size, win_size = self._resolution
        # float32: the transform has no half precision, and roots of small powers have no finite gradient in it.
        with torch.autocast(waveform.device.type, enabled=False):
            padding = (n_fft - hop_size) // 2
            padded = F.pad(waveform.float(), (padding, padding), mode="reflect")
            spectrum = torch.stft(padded, n_fft, hop_size, win_size, self.window, center=False, return_complex=True)
            power = spectrum.real.square() + spectrum.imag.square() + 1e-9
            if not self._is_complex:
                return power.sqrt().unsqueeze(1)
            scale = power.pow((_COMPRESSION - 1) / 2)
            return torch.stack([spectrum.real * scale, spectrum.imag * scale], dim=1)


class MultiResolutionDiscriminator(Discriminators):
    """One discriminator for each window size; by default UnivNet's."""

    def __init__(
        self,
        resolutions: Sequence[Resolution] = UNIVNET_RESOLUTIONS,
        planes: Sequence[Plane] = UNIVNET_PLANES,
        *,
        channels: int = CHANNELS,
        leaky_slope: float = LEAKY_SLOPE,
        is_complex: bool = False,
        has_window: bool = False,
    ) -> None:
        super().__init__(
            ResolutionDiscriminator(
                resolution,
                planes,
                channels=channels,
                leaky_slope=leaky_slope,
                is_complex=is_complex,
                has_window=has_window,
            )
            for resolution in resolutions
        )
