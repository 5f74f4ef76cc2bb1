"""UnivNet's generator (arXiv:2106.07889, section 2.1).

Noise at frame rate is upsampled to a waveform, block by block; the mel acts on it by convolutions whose kernels a small
network predicts from it, for each frame its own (LVCNet, arXiv:2102.10815, section 3.1).

    mel ----> kernel predictor ------------+ kernel and bias per frame and layer
                                           v
    noise --> conv --> [ upsampling --> 4 x (dilated conv --> location-variable conv --> gate) ] x 3 --> conv, tanh

Parameters are named as in the published checkpoints, so that these load without renaming.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.bundle import Bundle
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.chunked_vocoder import NumberedVocoder
from models.layers.frame_noise import frame_noise
from models.layers.weight_normed_convolution import (
    WeightNormedConvolution,
    WeightNormedUpsampling,
    initialise_as_torch,
    without_weight_norm,
)
from models.univnet.settings import UnivNetModelSettings, UnivNetSettings

LVC_KERNEL_SIZE = 3
"""Taps of the location-variable convolutions."""
_N_RESIDUALS = 3
_FIRST_PREDICTOR_KERNEL_SIZE = 5
_EDGE_KERNEL_SIZE = 7


class Kernels(NamedTuple):
    """Kernels and biases of a block's location-variable convolutions.

    Attributes:
        weight: (B, T_mel, n_layers, taps, C, 2 * C).
        bias: (B, T_mel, n_layers, 2 * C).
    """

    weight: Tensor
    bias: Tensor


class KernelPredictor(nn.Module):
    """Predicts the kernels of a block from the mel, for each frame its own.

    Args:
        n_mel: mel bins.
        hidden_size: its channels.
        kernel_size: of all convolutions but the first.
        channels: C of the block.
        n_layers: of the block.
        leaky_slope: of the leaky ReLUs.
    """

    def __init__(
        self, n_mel: int, hidden_size: int, kernel_size: int, channels: int, n_layers: int, leaky_slope: float
    ) -> None:
        super().__init__()
        self._shape = (n_layers, channels, 2 * channels, LVC_KERNEL_SIZE)
        activation = nn.LeakyReLU(leaky_slope)

        def convolution(out_channels: int = hidden_size) -> WeightNormedConvolution:
            return WeightNormedConvolution(hidden_size, out_channels, kernel_size)

        first = WeightNormedConvolution(n_mel, hidden_size, _FIRST_PREDICTOR_KERNEL_SIZE)
        self.input_conv = nn.Sequential(first, activation)
        # The first element stands where the published code has a dropout of 0.
        self.residual_convs = nn.ModuleList(
            nn.Sequential(nn.Identity(), convolution(), activation, convolution(), activation)
            for _ in range(_N_RESIDUALS)
        )
        self.kernel_conv = convolution(math.prod(self._shape))
        self.bias_conv = convolution(n_layers * 2 * channels)
        self.reach_frames = (_FIRST_PREDICTOR_KERNEL_SIZE - 1) // 2
        self.reach_frames += (2 * _N_RESIDUALS + 1) * ((kernel_size - 1) // 2)

    def forward(self, mel: Tensor) -> Kernels:
        """Predict the kernels for (B, M, T_mel) log-mels."""
        # float32: rounding here would change all samples of a frame at once, and these layers are small.
        with torch.autocast(mel.device.type, enabled=False):
            x = self.input_conv(mel.float())
            for residual in self.residual_convs:
                x = x + residual(x)
        n_layers, channels, out_channels, taps = self._shape
        # One product per frame, its rows in the order in which the kernels are used: a convolution would put frames
        # last, and all of its output would have to be transposed.
        weight, reach = self.kernel_conv.weight, self.kernel_conv.weight.shape[2] // 2
        windows = F.pad(x, (reach, reach)).unfold(2, weight.shape[2], 1)  # (B, hidden, T_mel, kernel_size)
        windows = windows.transpose(1, 2).flatten(2)

        def ordered(rows: Tensor) -> Tensor:
            inner: Tensor = rows.unflatten(0, self._shape).permute(0, 3, 1, 2, *range(4, rows.ndim + 3))
            return inner.flatten(0, 3)

        kernels = F.linear(windows, ordered(weight.flatten(1)), ordered(self.kernel_conv.bias))
        bias = self.bias_conv(x).transpose(1, 2)
        return Kernels(
            kernels.unflatten(2, (n_layers, taps, channels, out_channels)), bias.unflatten(2, (n_layers, out_channels))
        )


class Block(CheckpointedBlock):
    """Upsamples, then convolves by kernels predicted from the mel.

    Args:
        model: its settings.
        n_mel: mel bins.
        stride: upsampling factor.
        samples_per_frame: T / T_mel of the block's output.
    """

    def __init__(self, model: UnivNetModelSettings, n_mel: int, stride: int, samples_per_frame: int) -> None:
        super().__init__()
        channels, slope = model.channels, model.leaky_slope
        self._samples_per_frame = samples_per_frame
        self.kernel_predictor = KernelPredictor(
            n_mel, model.predictor_size, model.predictor_kernel_size, channels, len(model.dilations), slope
        )
        self.convt_pre = nn.Sequential(
            nn.LeakyReLU(slope), WeightNormedUpsampling(channels, channels, 2 * stride, stride)
        )
        self.conv_blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(slope),
                WeightNormedConvolution(channels, channels, 3, dilation),
                nn.LeakyReLU(slope),
            )
            for dilation in model.dilations
        )

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Upsample (B, C, T) by the stride, with (B, M, T_mel) log-mels."""
        x = self.convt_pre(x).float()  # the sum of all layers keeps its digits in half precision
        kernels = self.kernel_predictor(mel)
        for number, layer in enumerate(self.conv_blocks):
            y = locally_convolved(
                layer(x), kernels.weight[:, :, number], kernels.bias[:, :, number], self._samples_per_frame
            )
            gate, value = y.chunk(2, dim=2)
            gated = (torch.sigmoid(gate) * torch.tanh(value)).transpose(1, 2)
            x = x + gated.flatten(2)  # (B, C, T_mel, samples per frame) -> (B, C, T)
        return x

    def reach_before(self, reach: int) -> tuple[int, int]:
        """Return how many samples of the input and frames of the mel the output within a reach depends on."""
        layers = [cast(WeightNormedConvolution, layer[1]) for layer in cast(list[nn.Sequential], self.conv_blocks)]
        reach += sum(layer.padding + LVC_KERNEL_SIZE // 2 for layer in layers)
        upsampling = cast(WeightNormedUpsampling, self.convt_pre[1])
        frames = -(-reach // self._samples_per_frame) + self.kernel_predictor.reach_frames
        return -(-(reach + upsampling.kernel_size - 1 - upsampling.padding) // upsampling.rate), frames


def locally_convolved(x: Tensor, weight: Tensor, bias: Tensor, samples_per_frame: int) -> Tensor:
    """Convolve each frame's samples with a kernel of its own (arXiv:2102.10815, equation 3).

    A product of matrices per frame and tap, whose columns are the frame's samples, shifted by the tap.

    Args:
        x: (B, C, T_mel * samples_per_frame).
        weight: (B, T_mel, taps, C, C_out).
        bias: (B, T_mel, C_out).
        samples_per_frame: samples that share a kernel.

    Returns:
        (B, T_mel, C_out, samples_per_frame).
    """
    taps, length = weight.shape[2], x.shape[2]
    padded = F.pad(x, (taps // 2, taps // 2))
    weight = weight.flatten(0, 1).transpose(2, 3).to(x.dtype)  # (B * T_mel, taps, C_out, C)
    y = bias.flatten(0, 1).unsqueeze(2).to(x.dtype).repeat(1, 1, samples_per_frame)
    for tap in range(taps):
        samples = padded[:, :, tap : tap + length].unflatten(2, (-1, samples_per_frame)).transpose(1, 2)
        y = y.baddbmm_(weight[:, tap], samples.flatten(0, 1))  # in place: half of the time is copying
    by_row: Tensor = y.unflatten(0, (len(x), -1))
    return by_row


class UnivNet(nn.Module):
    """Generates a waveform from noise and a mel.

    Args:
        model: its settings.
        n_mel: mel bins.
    """

    def __init__(self, model: UnivNetModelSettings, n_mel: int) -> None:
        super().__init__()
        self.hop_size = math.prod(model.strides)
        self.noise_size, self.noise_seed = model.noise_size, model.noise_seed
        rates = [math.prod(model.strides[: number + 1]) for number in range(len(model.strides))]
        self.res_stack = nn.ModuleList(
            Block(model, n_mel, stride, rate) for stride, rate in zip(model.strides, rates, strict=True)
        )
        self.conv_pre = WeightNormedConvolution(model.noise_size, model.channels, _EDGE_KERNEL_SIZE)
        self.conv_post = nn.Sequential(
            nn.LeakyReLU(model.leaky_slope), WeightNormedConvolution(model.channels, 1, _EDGE_KERNEL_SIZE)
        )
        initialise_as_torch(self)

    @classmethod
    def from_settings(cls, settings: UnivNetSettings) -> UnivNet:
        """Return a generator with random weights."""
        return cls(settings.model, settings.preprocess.n_mel)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> UnivNet:
        """Return the generator of a bundle, with its weights."""
        assert isinstance(bundle.settings, UnivNetSettings)
        network = cls.from_settings(bundle.settings)
        bundle.load_into(network)
        return network

    def forward(self, mel: Tensor, frames: Tensor | None = None, utterances: Tensor | None = None) -> Tensor:
        """Generate the waveform of each log-mel.

        Args:
            mel: (B, M, T_mel).
            frames: (B, T_mel) number of each frame, which decides the noise; None for 0, 1, ...
            utterances: (B,) number of each utterance, which decides it, too; None for 0.

        Returns:
            (B, T_mel * hop_size) in [-1, 1].
        """
        if frames is None:
            frames = torch.arange(mel.shape[2], device=mel.device).expand(len(mel), -1)
        noise = frame_noise(frames, self.noise_size, seed=self.noise_seed, utterances=utterances)
        return self.generate(mel, noise.to(mel.dtype))

    def generate(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Return the (B, T_mel * hop_size) waveforms of (B, M, T_mel) log-mels and (B, noise_size, T_mel) noise."""
        x = _reflecting(self.conv_pre, noise)
        for block in self.res_stack:
            x = block(x, mel)
        activation, last = self.conv_post
        return torch.tanh(_reflecting(last, activation(x)).float()).squeeze(1)

    @property
    def receptive_frames(self) -> int:
        """Frames before and after its own that a sample depends on."""
        reach, frames = _EDGE_KERNEL_SIZE // 2, []
        for block in reversed(cast(list[Block], self.res_stack)):
            reach, of_mel = block.reach_before(reach)
            frames.append(of_mel)
        return max(*frames, reach + _EDGE_KERNEL_SIZE // 2)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> NumberedVocoder:
        """Return a vocoder with the current weights, in `dtype` (`models.contracts.VocoderNetwork`)."""
        return NumberedVocoder.of_network(
            without_weight_norm(self), dtype, hop_size=self.hop_size, receptive_frames=self.receptive_frames
        )


def _reflecting(convolution: nn.Module, x: Tensor) -> Tensor:
    """Convolve with the edges reflected instead of zeros; however short x is, to and fro."""
    reach, last = _EDGE_KERNEL_SIZE // 2, x.shape[2] - 1
    if last >= reach:
        x = F.pad(x, (reach, reach), mode="reflect")
    else:
        places = torch.arange(-reach, x.shape[2] + reach, device=x.device)
        x = x[:, :, last - (places % max(2 * last, 1) - last).abs()]
    y: Tensor = convolution(x)[:, :, reach:-reach]
    return y
