"""A whole voice as one function of tensors, from symbols to a waveform, to be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.bundle import Bundle
from models.export.graphs import DecoderGraph, EncoderGraph, LyreGraph, PitchGraph, UnivNetGraph
from models.hifigan.network import Generator
from models.layers.acoustic_network import AcousticNetwork
from models.layers.decoder_noise import DecoderNoise
from models.layers.frame_noise import frame_noise
from models.layers.weight_normed_convolution import without_weight_norm
from models.lyre.network import NOISE_FRAMES, Lyre
from models.registry import open_acoustic, open_vocoder_network
from models.univnet.network import UnivNet
from processors.audio.harmonic_source import UNVOICED_HZ
from utils.errors import RecitalError

_FEWEST_FRAMES = 8
_NOISE_FRAMES = 4096


class VoiceGraphError(RecitalError):
    """A voice that cannot become one function."""


class VoiceGraph(nn.Module):
    """Speaks one utterance with predicted prosody; sums over the parts of `models.export.graphs`.

    All frames are decoded at once, those of long utterances too, which the Synthesizer decodes in windows.

    Args:
        network: an acoustic model with pitch and energy per phone, for inference.
        vocoder: HiFi-GAN, UnivNet or Lyre, for inference.

    Raises:
        VoiceGraphError: pitch or energy is per frame, or the vocoder is another.
    """

    def __init__(self, network: AcousticNetwork, vocoder: nn.Module) -> None:
        super().__init__()
        self.network = network
        if of_frames := [name for name, level in network.variance_adaptor.levels.items() if level != "phone"]:
            raise VoiceGraphError(f"a model that predicts {' and '.join(of_frames)} per frame cannot be one graph")
        self.encoder, self.pitch, self.decoder = EncoderGraph(network), PitchGraph(network), DecoderGraph(network)
        self.vocoder = vocoder_graph(vocoder)

    @classmethod
    def of(cls, bundle: Bundle, vocoder: Bundle) -> VoiceGraph:
        """Return the voice of an acoustic model's bundle and a vocoder's.

        Raises:
            VoiceGraphError: likewise, or the acoustic model is of another kind than those of Recital.
        """
        network = open_acoustic(bundle, torch.device("cpu"))
        if not isinstance(network, AcousticNetwork):
            raise VoiceGraphError(f"a {bundle.settings.model_type} cannot be one graph")
        return cls(network, vocoder_module(vocoder))

    def forward(self, phoneme_ids: Tensor, speaker_id: Tensor, pace: Tensor) -> Tensor:
        """Speak.

        Args:
            phoneme_ids: (1, T_text).
            speaker_id: (1,).
            pace: (1,) factor on all durations.

        Returns:
            (1, T_mel * hop_size) samples in [-1, 1].
        """
        waveform: Tensor = self.vocoder(self.mel(phoneme_ids, speaker_id, pace))
        return waveform

    def mel(self, phoneme_ids: Tensor, speaker_id: Tensor, pace: Tensor) -> Tensor:
        """Return the (1, M, T_mel) log-mel; see `forward`."""
        hidden, frames, pitch, f0_hz, *conditions = self.encoder(phoneme_ids, speaker_id)
        with_pitch, _, *energies = self.pitch(hidden, pitch, f0_hz, speaker_id)
        at_least = (~self.network.variance_adaptor.is_pause[phoneme_ids]).to(frames.dtype)
        durations = torch.maximum((frames * pace).round(), at_least).long()[0]
        # A text of pauses alone has a few frames all the same.
        missing = (_FEWEST_FRAMES - durations.sum()).clamp(min=0)
        durations = torch.cat([durations[:-1], durations[-1:] + missing])
        frame_phones = torch.repeat_interleave(torch.arange(durations.shape[0], device=durations.device), durations)
        torch._check(frame_phones.shape[0] >= _FEWEST_FRAMES)
        energy = energies[0] if energies else None
        mel: Tensor = self.decoder(
            with_pitch,
            frame_phones,
            noise_place=None if self.network.decoder_noise is None else DecoderNoise.places(phoneme_ids),
            speaker_id=speaker_id,
            energy=energy,
            energy_factor=None if energy is None else torch.ones_like(energy),
            condition=conditions[0] if conditions else None,
        )
        return mel


def vocoder_module(bundle: Bundle) -> nn.Module:
    """Return the network of a vocoder's bundle."""
    network = open_vocoder_network(bundle, torch.device("cpu"))
    assert isinstance(network, nn.Module), "registered vocoders are modules"
    return network


def selected(values: Tensor, is_selected: Tensor) -> Tensor:
    """Return those of (T,) values that are selected; as `masked_select`, which ONNX lacks."""
    return values.index_select(0, is_selected.nonzero().squeeze(1))


def vocoder_graph(vocoder: nn.Module) -> nn.Module:
    """Return a module from a (1, M, T_mel) log-mel alone to its (1, T_mel * hop_size) waveform.

    Raises:
        VoiceGraphError: the vocoder is none of HiFi-GAN, UnivNet and Lyre.
    """
    if isinstance(vocoder, Lyre):
        return _WholeLyre(vocoder)
    if isinstance(vocoder, Generator):
        return without_weight_norm(vocoder)
    if isinstance(vocoder, UnivNet):
        return _WholeUnivNet(vocoder)
    raise VoiceGraphError(
        f"a {type(vocoder).__name__} cannot be part of one graph; HiFi-GAN, UnivNet and Lyre can: --vocoder_dir "
        "takes one"
    )


class _WholeUnivNet(nn.Module):
    """UnivNet with its own noise, repeated after so many frames."""

    noise: Tensor

    def __init__(self, network: UnivNet) -> None:
        super().__init__()
        self.parts = UnivNetGraph(network)
        noise = frame_noise(torch.arange(_NOISE_FRAMES)[None], network.noise_size, seed=network.noise_seed)
        self.register_buffer("noise", noise, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        frames = torch.arange(mel.shape[2], device=mel.device) % _NOISE_FRAMES
        waveform: Tensor = self.parts(mel, self.noise.index_select(2, frames))
        return waveform.clamp(-1.0, 1.0)


class _WholeLyre(nn.Module):
    """Lyre with its own F0, phase and noise (`LyreVocoder`), in operations that ONNX has."""

    noise: Tensor
    advance: Tensor

    def __init__(self, network: Lyre) -> None:
        super().__init__()
        self.parts = LyreGraph(network)
        self.register_buffer("noise", network.noise, persistent=False)
        self.register_buffer("advance", network.source.frame_advance, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        mel = mel.contiguous()  # the last digits of F0, which add up in the phase, depend on the order in memory
        f0_hz = self.parts.network.f0_predictor.predict(mel)
        is_voiced = f0_hz[0] > 0
        # The last voiced value of each frame is that of its number among the voiced ones.
        values = torch.cat([f0_hz.new_full((1,), UNVOICED_HZ), selected(f0_hz[0], is_voiced)])
        held = values[is_voiced.long().cumsum(0)].double()[None]
        padded = torch.cat([held[:, :1], held], dim=1)
        # Cycles of a frame, from its own F0 and both neighbours'; the first frame begins at 0.
        before = torch.cat([held[:, :1], padded[:, :-2]], dim=1)
        cycles = torch.stack([before, padded[:, :-1], padded[:, 1:]], dim=2) @ self.advance
        cycles = torch.cat([torch.zeros_like(cycles[:, :1]), cycles[:, 1:]], dim=1)
        phase = cycles.cumsum(dim=1) % 1.0
        frames = torch.arange(mel.shape[2], device=mel.device) % NOISE_FRAMES
        waveform: Tensor = self.parts(mel, f0_hz, held.float(), phase.float(), self.noise[frames][None])
        return waveform
