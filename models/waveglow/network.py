"""WaveGlow: a normalizing flow between waveforms and noise, conditioned on the mel (arXiv:1811.00002, section 2).

    waveform --> groups of 8 samples --> [ invertible 1x1 convolution --> affine coupling ] x 12 --> z
                                                                              ^       two channels leave before
    mel --> transposed convolution --> groups of 8 samples -------------------+       steps 4 and 8

Noise at the right end, and the flow backwards, give a waveform. Parameters are named as in the published checkpoints
whose conditioning is split by layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from models.bundle import Bundle
from models.layers.checkpointed_block import CheckpointedBlock
from models.layers.chunked_vocoder import NumberedVocoder
from models.layers.frame_noise import frame_noise
from models.layers.weight_normed_convolution import WeightNormedConvolution, initialise_as_torch, without_weight_norm
from models.waveglow.settings import WaveGlowModelSettings, WaveGlowSettings


class Analysis(NamedTuple):
    """A waveform as the flow's latent variables.

    Attributes:
        z: (B, n_group, T) those that leave early first.
        log_s: of each step, () the sum of its logarithms of scales.
        log_det: of each step, () the logarithm of its matrix's determinant, times B * T; NaN where it is negative.
    """

    z: Tensor
    log_s: list[Tensor]
    log_det: list[Tensor]

    def loss(self, sigma: float) -> Tensor:
        """Return the negative log-likelihood per element but for a constant (equation 11)."""
        gain = torch.stack([*self.log_s, *self.log_det]).sum()
        return (self.z.float().square().sum() / (2 * sigma**2) - gain) / self.z.numel()


class InvertibleConvolution(nn.Module):
    """A 1x1 convolution by an invertible matrix, at first a rotation (Glow, arXiv:1807.03039, section 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        rotation[:, 0] *= torch.linalg.det(rotation).sign()  # the logarithm of the determinant exists
        self.conv.weight.data = rotation.unsqueeze(2)

    @property
    def matrix(self) -> Tensor:
        return self.conv.weight.squeeze(2).float()


class CouplingNetwork(CheckpointedBlock):
    """Computes shift and logarithm of scale of half of the channels from the other half and the mel (section 2.1).

    Dilated convolutions with a gate, as in WaveNet. The last convolution begins at 0, and the step as the identity.

    Args:
        half: channels of either half.
        conditions: channels of the conditioning.
        model: the other sizes.
    """

    def __init__(self, half: int, conditions: int, model: WaveGlowModelSettings) -> None:
        super().__init__()
        channels, n_layers = model.channels, model.n_layers
        self.start = WeightNormedConvolution(half, channels, 1)
        self.in_layers = nn.ModuleList(
            WeightNormedConvolution(channels, 2 * channels, model.kernel_size, 2**layer) for layer in range(n_layers)
        )
        self.cond_layers = nn.ModuleList(WeightNormedConvolution(conditions, 2 * channels, 1) for _ in range(n_layers))
        self.res_skip_layers = nn.ModuleList(
            WeightNormedConvolution(channels, 2 * channels if layer < n_layers - 1 else channels, 1)
            for layer in range(n_layers)
        )
        self.end = nn.Conv1d(channels, 2 * half, 1)
        nn.init.zeros_(self.end.weight)
        assert self.end.bias is not None
        nn.init.zeros_(self.end.bias)
        self.reach = (model.kernel_size - 1) // 2 * (2**n_layers - 1)

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and logarithm of scale, (B, half, T) each, from (B, half, T) and (B, conditions, T)."""
        x = self.start(x)
        total: Tensor | None = None
        for layer, condition, res_skip in zip(self.in_layers, self.cond_layers, self.res_skip_layers, strict=True):
            value, gate = (layer(x) + condition(conditions)).chunk(2, dim=1)
            y = res_skip(torch.tanh(value) * torch.sigmoid(gate))
            skip = y[:, -x.shape[1] :]
            total = skip if total is None else total + skip
            if y.shape[1] > x.shape[1]:
                x = x + y[:, : x.shape[1]]
        shift, log_scale = self.end(total).float().chunk(2, dim=1)
        return shift, log_scale


class WaveGlow(nn.Module):
    """Maps waveforms to noise and back.

    Args:
        model: its settings.
        n_mel: mel bins.
        hop_size: samples per frame.

    Attributes:
        sigma: standard deviation of the noise in use; at first that of the settings.
    """

    def __init__(self, model: WaveGlowModelSettings, n_mel: int, hop_size: int) -> None:
        super().__init__()
        self.hop_size, self.sigma, self._model = hop_size, model.sigma, model
        self.upsample = nn.ConvTranspose1d(n_mel, n_mel, model.upsample_kernel_size, stride=hop_size)
        self.WN, self.convinv = nn.ModuleList(), nn.ModuleList()
        channels = model.n_group
        for flow in range(model.n_flows):
            channels -= model.n_early_size * self._leaves_before(flow)
            self.convinv.append(InvertibleConvolution(channels))
            self.WN.append(CouplingNetwork(channels // 2, n_mel * model.n_group, model))
        initialise_as_torch(self)

    @classmethod
    def from_settings(cls, settings: WaveGlowSettings) -> WaveGlow:
        """Return a flow with random weights."""
        return cls(settings.model, settings.preprocess.n_mel, settings.preprocess.hop_size)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> WaveGlow:
        """Return the flow of a bundle, with its weights."""
        assert isinstance(bundle.settings, WaveGlowSettings)
        network = cls.from_settings(bundle.settings)
        bundle.load_into(network)
        return network

    def _leaves_before(self, flow: int) -> bool:
        return flow > 0 and flow % self._model.n_early_every == 0

    def analyse(self, mel: Tensor, waveform: Tensor) -> Analysis:
        """Map (B, T_mel * hop_size) waveforms to noise, with their (B, M, T_mel) log-mels."""
        conditions = self._conditions(mel)
        x = waveform.unflatten(1, (-1, self._model.n_group)).transpose(1, 2)  # (B, T_wav) -> (B, n_group, T)
        left, log_s, log_det = [], [], []
        for flow, (mixing, coupling) in enumerate(zip(self.convinv, self.WN, strict=True)):
            if self._leaves_before(flow):
                left.append(x[:, : self._model.n_early_size])
                x = x[:, self._model.n_early_size :]
            matrix = cast(InvertibleConvolution, mixing).matrix
            with torch.autocast(x.device.type, enabled=False):
                x = matrix @ x.float()
                log_det.append(x.shape[0] * x.shape[2] * torch.logdet(matrix))
            first, second = x.chunk(2, dim=1)
            shift, log_scale = coupling(first, conditions)
            x = torch.cat([first, log_scale.exp() * second + shift], dim=1)
            log_s.append(log_scale.sum())
        return Analysis(torch.cat([*left, x], dim=1), log_s, log_det)

    def generate(self, mel: Tensor, z: Tensor) -> Tensor:
        """Return the (B, T_mel * hop_size) waveforms of (B, M, T_mel) log-mels and (B, n_group, T) latent variables."""
        conditions, early = self._conditions(mel), self._model.n_early_size
        n_left = early * sum(map(self._leaves_before, range(self._model.n_flows)))
        x = z[:, n_left:]
        for flow in reversed(range(self._model.n_flows)):
            first, second = x.chunk(2, dim=1)
            shift, log_scale = self.WN[flow](first, conditions)
            x = torch.cat([first, (second - shift) * (-log_scale).exp()], dim=1)
            # float32: half precision has no inverse.
            with torch.autocast(x.device.type, enabled=False):
                x = torch.linalg.inv(cast(InvertibleConvolution, self.convinv[flow]).matrix) @ x.float()
            if self._leaves_before(flow):
                x = torch.cat([z[:, n_left - early : n_left], x], dim=1)
                n_left -= early
        return x.transpose(1, 2).flatten(1)

    def forward(
        self,
        mel: Tensor,
        frames: Tensor | None = None,
        utterances: Tensor | None = None,
        *,
        waveform: Tensor | None = None,
    ) -> Tensor | Analysis:
        """Generate a waveform of each log-mel, or analyse one that is given.

        Args:
            mel: (B, M, T_mel).
            frames: (B, T_mel) number of each frame, which decides the noise; None for 0, 1, ...
            utterances: (B,) number of each utterance, which decides it, too; None for 0.
            waveform: (B, T_mel * hop_size) to `analyse`; here, so that gradients are averaged over processes.

        Returns:
            (B, T_mel * hop_size) in [-1, 1].
        """
        if waveform is not None:
            return self.analyse(mel, waveform)
        if frames is None:
            frames = torch.arange(mel.shape[2], device=mel.device).expand(len(mel), -1)
        noise = frame_noise(frames, self.hop_size, seed=self._model.noise_seed, utterances=utterances)
        noise = noise.unflatten(1, (self._model.n_group, -1)).transpose(2, 3).flatten(2)  # (B, hop, T_mel) -> groups
        return self.generate(mel, noise * self.sigma).clamp(-1.0, 1.0)

    def _conditions(self, mel: Tensor) -> Tensor:
        """Return (B, M * n_group, T) conditioning: for each group of samples the upsampled bands, band by band."""
        upsampled = self.upsample(mel)[:, :, : mel.shape[2] * self.hop_size]
        conditions: Tensor = upsampled.unflatten(2, (-1, self._model.n_group)).transpose(2, 3).flatten(1, 2)
        return conditions

    @property
    def receptive_frames(self) -> int:
        """Frames before and after its own that a sample depends on."""
        reach = sum(cast(CouplingNetwork, coupling).reach for coupling in self.WN) * self._model.n_group
        frames_per_sample = math.ceil(self._model.upsample_kernel_size / self.hop_size) - 1
        return int(math.ceil((reach + self._model.n_group) / self.hop_size) + frames_per_sample)

    def for_inference(self, dtype: torch.dtype = torch.float32) -> NumberedVocoder:
        """Return a vocoder with the current weights, in `dtype` (`models.contracts.VocoderNetwork`)."""
        return NumberedVocoder.of_network(
            without_weight_norm(self), dtype, hop_size=self.hop_size, receptive_frames=self.receptive_frames
        )
