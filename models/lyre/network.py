"""Lyre's generator: harmonics, noise and a free part, shaped in the STFT domain at frame rate.

Two published ideas meet here: all is computed once per frame and becomes a waveform by one inverse STFT (Vocos,
arXiv:2306.00814, section 3), and what the frames shape is a harmonic source that follows F0 (HiFTNet, arXiv:2309.09493;
Wavehax, arXiv:2411.06807) beside noise. A third part has a phase of its own. All three begin as the magnitudes that the
mel's pseudo-inverse gives, so that an untrained generator is already intelligible.

    mel --+--> F0 predictor --> F0 --> pulse train --STFT--> harmonics --+
          |                     |                                        | gain, angle
          +---------------------+--> ConvNeXt blocks --> six numbers ----+--> sum --inverse STFT--> waveform
          |                                            per frame and bin | gain           ^
          +--> pseudo-inverse --> magnitudes             noise ----------+                |
                                                         free part: gain, cos, sin -------+
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.bundle import Bundle
from models.layers.convnext import ConvNeXtStack
from models.layers.mel_scale import from_log_mel
from models.lyre.f0_predictor import F0Logits, F0Predictor, decoded_f0
from models.lyre.inference import Conditions, LyreVocoder
from models.lyre.settings import LyreModelSettings, LyreSettings
from processors.audio.harmonic_source import HarmonicSource
from processors.audio.mel import MelSpectrogram
from processors.audio.short_time_fourier import FrameTransform

NOISE_FRAMES = 2048
"""Frames after which the noise repeats: 24 s."""
_N_PARTS = 6
_LOG_F0_CENTRE, _LOG_F0_SPREAD = 5.2, 0.5  # of speech
# The head begins near 0 and learns slowly: in these units a step of Adam changes a gain by as much as an angle.
_GAIN_STEP, _ANGLE_STEP = 3.0, 10.0
# First log gains: harmonics as the mel says, noise and the free part below them.
_NOISE_LEVEL, _FREE_LEVEL = -1.5, -2.5
_MAX_LOG_GAIN = 12.0
_MIN_MAGNITUDE = 1e-4
_HARMONIC_PEAK = 1 / 64  # the spectrum of the harmonic source has peaks of about n_fft times as much
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class LyreOutput(NamedTuple):
    """Outputs of a generator.

    Attributes:
        waveform: (B, T_mel * hop_size), about in [-1, 1].
        f0_logits: of the F0 predictor.
    """

    waveform: Tensor
    f0_logits: F0Logits


class Lyre(nn.Module):
    """Computes a waveform from a mel and F0, or from a mel alone with F0 predicted from it.

    Args:
        model: its settings.
        mel: definition of the mels.
    """

    inverse_mel: Tensor
    noise: Tensor

    def __init__(self, model: LyreModelSettings, mel: MelSpectrogram) -> None:
        super().__init__()
        self.n_bins, self.hop_size = mel.n_fft // 2 + 1, mel.hop_size
        self.f0_predictor = F0Predictor(mel.n_mel, model.f0_hidden_size, model.f0_inner_size, model.f0_n_blocks)
        self.layers = ConvNeXtStack(mel.n_mel + 2, model.hidden_size, model.inner_size, model.n_blocks)
        self.head = nn.Linear(model.hidden_size, _N_PARTS * self.n_bins)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.source = HarmonicSource(mel.sample_rate, mel.hop_size)
        self._transform = FrameTransform(mel.n_fft, mel.hop_size)
        # Made from the settings and a fixed seed, so no bundle needs them.
        self.register_buffer("inverse_mel", _inverse_filter_bank(mel.filter_bank), persistent=False)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(NOISE_FRAMES, self.n_bins, 2, generator=generator) * math.sqrt(0.5)
        self.register_buffer("noise", noise, persistent=False)

    @classmethod
    def from_settings(cls, settings: LyreSettings) -> Lyre:
        """Return a generator with random weights."""
        return cls(settings.model, MelSpectrogram.from_settings(settings.preprocess))

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Lyre:
        """Return the generator of a bundle, with its weights."""
        assert isinstance(bundle.settings, LyreSettings)
        network = cls.from_settings(bundle.settings)
        bundle.load_into(network)
        return network

    @property
    def receptive_frames(self) -> int:
        """How many frames before and after its own a sample depends on, given F0 and phase."""
        reach = self._transform.reach_frames
        return reach + max(self.layers.reach_frames, reach + 1)  # a pulse train depends on the next frame's F0

    def forward(self, mel: Tensor, f0_hz: Tensor | None = None, first_frame: Tensor | None = None) -> LyreOutput:
        """Generate waveforms.

        Args:
            mel: (B, M, T_mel) log-mel.
            f0_hz: (B, T_mel) in Hz, 0 where unvoiced; None to take the predicted one.
            first_frame: (B,) place of the first frames within their utterances, which decides noise and first phase;
                None for the beginning.
        """
        logits = self.f0_predictor(mel)
        if f0_hz is None:
            f0_hz = decoded_f0(logits)
        if first_frame is None:
            first_frame = torch.zeros(len(mel), dtype=torch.long, device=mel.device)
        held = self.source.follow(f0_hz, (first_frame.double() * _GOLDEN_RATIO) % 1.0)
        frames = first_frame.unsqueeze(1) + torch.arange(mel.shape[2], device=mel.device)
        conditions = Conditions(mel, f0_hz, held.held_hz, held.start_phase, frames % NOISE_FRAMES)
        return LyreOutput(self.generate(conditions), logits)

    def generate(self, conditions: Conditions) -> Tensor:
        """Return the (B, T_mel * hop_size) waveforms of stretches of utterances."""
        parts = self.parts(conditions.mel, conditions.f0_hz)
        # float32: phases have no meaning in half precision.
        with torch.autocast(parts.device.type, enabled=False):
            return self._transform.inverse(self._spectrum(parts.float(), conditions))

    def parts(self, mel: Tensor, f0_hz: Tensor) -> Tensor:
        """Return the (B, T_mel, 6 * n_bins) description of spectra, of (B, M, T_mel) log-mels and (B, T_mel) F0."""
        is_voiced = f0_hz > 0
        log_f0 = (f0_hz.clamp(min=1.0).log() - _LOG_F0_CENTRE) / _LOG_F0_SPREAD
        pitch = torch.stack([log_f0 * is_voiced, is_voiced.float()], dim=2)
        x = self.layers(torch.cat([from_log_mel(mel), pitch], dim=2))
        parts: Tensor = self.head(x.to(self.head.weight.dtype))
        return parts

    def _spectrum(self, parts: Tensor, conditions: Conditions) -> Tensor:
        """Return the (B, T_mel, n_bins) spectra that six numbers per bin describe."""
        pulses = self.source.pulses(conditions.held_hz, conditions.start_phase)
        pulses = pulses * (conditions.f0_hz > 0).unsqueeze(2)
        harmonics = self._transform.forward(pulses.flatten(1))
        noise = self.noise[conditions.noise_frame]
        return torch.complex(*self.shaped(parts, conditions.mel, harmonics.real, harmonics.imag, noise))

    def shaped(
        self, parts: Tensor, mel: Tensor, harmonics_real: Tensor, harmonics_imag: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the (B, T_mel, n_bins) real and imaginary parts of the sum of harmonics, noise and the free part.

        Args:
            parts: (B, T_mel, 6 * n_bins), see `parts`.
            mel: (B, M, T_mel) log-mel.
            harmonics_real: (B, T_mel, n_bins) of the pulse train's spectrum.
            harmonics_imag: likewise.
            noise: (B, T_mel, n_bins, 2) real and imaginary parts.
        """
        gain, angle, noise_gain, free_gain, free_cos, free_sin = parts.unflatten(2, (_N_PARTS, -1)).unbind(dim=2)
        magnitude = (mel.transpose(1, 2).exp() @ self.inverse_mel).clamp(min=_MIN_MAGNITUDE)

        def gained(gain: Tensor, level: float = 0.0) -> Tensor:
            return magnitude * (gain * _GAIN_STEP + level).clamp(max=_MAX_LOG_GAIN).exp()

        harmonic = gained(gain, math.log(1 / (_HARMONIC_PEAK * self._transform.n_fft)))
        angle = math.pi * torch.tanh(angle * _GAIN_STEP)
        cos, sin = harmonic * angle.cos(), harmonic * angle.sin()
        noise_magnitude = gained(noise_gain, _NOISE_LEVEL)
        # As if a little more than 0 were added to the cosine, so that the angle of nothing is 0.
        free_cos, free_sin = free_cos * _ANGLE_STEP + 1e-3, free_sin * _ANGLE_STEP
        length = torch.rsqrt(free_cos.square() + free_sin.square() + 1e-12)
        free = gained(free_gain, _FREE_LEVEL) * length
        real = cos * harmonics_real - sin * harmonics_imag + noise_magnitude * noise[..., 0] + free * free_cos
        imag = cos * harmonics_imag + sin * harmonics_real + noise_magnitude * noise[..., 1] + free * free_sin
        return real, imag

    def for_inference(self, dtype: torch.dtype = torch.float32) -> LyreVocoder:
        """Return a vocoder with the present weights, whose large products are computed in `dtype`."""
        frozen = copy.deepcopy(self).eval().requires_grad_(False)
        for module in [frozen.head, *frozen.layers.modules()]:
            if isinstance(module, nn.Linear):
                module.to(dtype)
        return LyreVocoder(
            frozen.f0_predictor,
            frozen.source,
            frozen.generate,
            hop_size=self.hop_size,
            receptive_frames=self.receptive_frames,
            noise_frames=NOISE_FRAMES,
        )


def _inverse_filter_bank(filter_bank: Tensor) -> Tensor:
    """Return the (M, n_bins) pseudo-inverse of a (M, n_bins) filter bank.

    Bins above the highest filter get half of the mean of the octave below.
    """
    inverse: Tensor = torch.linalg.pinv(filter_bank.double())  # (n_bins, M)
    n_covered = int(filter_bank.any(dim=0).nonzero().max()) + 1
    inverse[n_covered:] = inverse[n_covered // 2 : n_covered].mean(dim=0) / 2
    return inverse.float().T.contiguous()
