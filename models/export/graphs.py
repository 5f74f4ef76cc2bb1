"""Parts of acoustic models and vocoders as functions of tensors alone, for one utterance, to be exported.

    phoneme_ids, speaker_id, language_id --> EncoderGraph --> hidden, frames, pitch, f0_hz, condition
    hidden, pitch, wanted F0             --> PitchGraph   --> with_pitch, energy
    with_pitch, energy, frame_phones     --> DecoderGraph --> mel, of long texts window by window
    mel, and F0 or noise                 --> a vocoder's  --> waveform

What lies between them is the caller's: durations are rounded, pitch and energy changed, noise drawn. Energy is
predicted from the pitch already changed, therefore three graphs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contracts import PhonemeBatch
from models.hifigan.network import Generator
from models.layers.acoustic_network import AcousticNetwork
from models.layers.mel_scale import clamped
from models.layers.weight_normed_convolution import without_weight_norm
from models.lyre.network import Lyre
from models.univnet.network import UnivNet
from utils.errors import RecitalError

OPEN_AXES: Mapping[str, Mapping[int, str]] = {
    "phoneme_ids": {1: "phones"},
    "x": {1: "phones"},
    "hidden": {1: "phones"},
    "pitch": {1: "phones"},
    "with_pitch": {1: "phones"},
    "energy": {1: "phones"},
    "energy_factor": {1: "phones"},
    "frame_phones": {0: "frames"},
    "mel": {2: "frames"},
    "noise": {2: "frames"},
    "held_hz": {1: "frames"},
    "start_phase": {1: "frames"},
    "noise_spectra": {1: "frames"},
}
"""Names of the axes of any length, by input and number; `f0_hz` has that of its graph's `pitch` or `mel`."""


_EXAMPLE_FRAMES = 37


class ExportError(RecitalError):
    """A model that cannot be exported."""


@dataclass(frozen=True)
class Graph:
    """A part to export.

    Attributes:
        module: takes the inputs by name, returns a tensor or a tuple of them.
        inputs: an example of each.
        outputs: names.
        shortest: least length of the axes of any length.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    shortest: int = 2

    def open_axes(self, name: str) -> Mapping[int, str]:
        """Return the names of an input's axes of any length, by their number."""
        if name == "f0_hz":
            return {1: "phones" if "pitch" in self.inputs else "frames"}
        return OPEN_AXES.get(name, {})


class EncoderGraph(nn.Module):
    """From (1, T_text) symbols to the hidden sequence, durations and pitch.

    Args:
        network: an acoustic model.
    """

    def __init__(self, network: AcousticNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, phoneme_ids: Tensor, speaker_id: Tensor, language_id: Tensor | None = None) -> tuple[Tensor, ...]:
        """Encode a text.

        Args:
            phoneme_ids: (1, T_text).
            speaker_id: (1,).
            language_id: (1,), for models that have languages; None for the speaker's.

        Returns:
            (1, T_text, D) hidden sequence, (1, T_text) durations in frames and fractions of them, (1, T_text) pitch,
            normalised, the same in Hz, and the (1, 1, C) condition of the decoder, where the model has one.
        """
        network, adaptor = self.network, self.network.variance_adaptor
        is_padding = torch.zeros_like(phoneme_ids, dtype=torch.bool)
        lengths = torch.ones_like(speaker_id) * phoneme_ids.shape[1]
        batch = PhonemeBatch(phoneme_ids, lengths, speaker_id, language_ids=language_id)
        hidden, condition = network.encode_freely(batch, is_padding)
        frames = adaptor.predicted_frames(hidden, is_padding)
        pitch = adaptor.predictors["pitch"](hidden, is_padding)
        outputs = (hidden, frames, pitch, adaptor.in_hz(pitch, speaker_id))
        return outputs if condition is None else (*outputs, condition)


class PitchGraph(nn.Module):
    """Adds pitch to the hidden sequence, and predicts energy from it.

    Args:
        network: an acoustic model.
    """

    def __init__(self, network: AcousticNetwork) -> None:
        super().__init__()
        self.adaptor = network.variance_adaptor

    def forward(self, hidden: Tensor, pitch: Tensor, f0_hz: Tensor, speaker_id: Tensor) -> tuple[Tensor, ...]:
        """Add pitch.

        Args:
            hidden: (1, T_text, D).
            pitch: (1, T_text) as predicted; it counts wherever F0 is as predicted.
            f0_hz: (1, T_text) wanted.
            speaker_id: (1,).

        Returns:
            (1, T_text, D) hidden sequence, (1, T_text) F0 in Hz as it was added, with the model's rounding, and, where
            the model has it, (1, T_text) energy, normalised.
        """
        wanted = self.adaptor.with_f0(pitch, speaker_id, f0_hz)
        hidden = hidden + self.adaptor.embeddings["pitch"](wanted)
        added_hz = self.adaptor.in_hz(wanted, speaker_id)
        if "energy" not in self.adaptor.levels:
            return hidden, added_hz
        return hidden, added_hz, self.adaptor.predictors["energy"](hidden, torch.zeros_like(pitch, dtype=torch.bool))


class DecoderGraph(nn.Module):
    """From phones with their energy, and the phone of each frame, to the mel.

    Args:
        network: an acoustic model.
    """

    def __init__(self, network: AcousticNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        with_pitch: Tensor,
        frame_phones: Tensor,
        first_frame: Tensor | None = None,
        noise_place: Tensor | None = None,
        speaker_id: Tensor | None = None,
        energy: Tensor | None = None,
        energy_factor: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Decode a mel.

        Args:
            with_pitch: (1, T_text, D) hidden sequence.
            frame_phones: (T_mel,) index of each frame's phone.
            first_frame: (1,) how many frames of the utterance come before them, for models that decode in windows
                (`models.layers.decoding_windows`).
            noise_place: (1,) of the decoder's noise (`DecoderNoise.places`), for models that have it.
            speaker_id: (1,), like the next two for models that predict energy.
            energy: (1, T_text) as predicted.
            energy_factor: (1, T_text) on it.
            condition: (1, 1, C), for models that have one.

        Returns:
            (1, M, T_mel) log-mel.
        """
        network, adaptor = self.network, self.network.variance_adaptor
        hidden = with_pitch
        if energy is not None and energy_factor is not None and speaker_id is not None:
            hidden = hidden + adaptor.embeddings["energy"](adaptor.scaled("energy", energy, speaker_id, energy_factor))
        frames = hidden.index_select(1, frame_phones)
        is_padding = torch.zeros_like(frame_phones, dtype=torch.bool).unsqueeze(0)
        if network.decoder_noise is not None and noise_place is not None:
            frames = network.decoder_noise(
                frames, is_padding, noise_place + (0 if first_frame is None else first_frame)
            )
        if first_frame is None:
            mel, refined = network.decode(frames, is_padding, condition)
        else:
            mel, refined = network.decode_from(first_frame, frames, is_padding, condition)
        mel = mel if refined is None else refined
        return clamped(mel) if network.clamps_mels else mel


class LyreF0Graph(nn.Module):
    """F0 of a mel, by Lyre's predictor.

    Args:
        network: the vocoder.
    """

    def __init__(self, network: Lyre) -> None:
        super().__init__()
        self.predictor = network.f0_predictor

    def forward(self, mel: Tensor) -> Tensor:
        """Return the (1, T_mel) F0 in Hz of a (1, M, T_mel) log-mel, 0 where unvoiced."""
        return self.predictor.predict(mel)


class LyreGraph(nn.Module):
    """Lyre with its Fourier transforms as products with fixed matrices, and without complex numbers.

    Args:
        network: the vocoder.
    """

    kernel: Tensor
    window_squared: Tensor

    def __init__(self, network: Lyre) -> None:
        super().__init__()
        self.network, self.hop_size = network, network.hop_size
        n_fft, n_bins = 2 * (network.n_bins - 1), network.n_bins
        self.padding = (n_fft - self.hop_size) // 2
        angles = 2 * math.pi / n_fft * torch.outer(torch.arange(n_bins), torch.arange(n_fft)).double()
        window = torch.hann_window(n_fft)
        waves = torch.cat([angles.cos(), -angles.sin()]) * window.double()
        self.register_buffer("kernel", waves.float().unsqueeze(1))  # (2 * n_bins, 1, n_fft): there and back
        self.register_buffer("window_squared", window.square()[None, None])
        shares = torch.full((n_bins, 1), 2.0 / n_fft)
        shares[0] = shares[-1] = 1.0 / n_fft  # those bins have no negative frequency
        self.register_buffer("shares", shares.repeat(2, 1), persistent=False)

    def forward(
        self, mel: Tensor, f0_hz: Tensor, held_hz: Tensor, start_phase: Tensor, noise_spectra: Tensor
    ) -> Tensor:
        """Generate a waveform; see `models.lyre.inference.Conditions`.

        Args:
            mel: (1, M, T_mel) log-mel.
            f0_hz: (1, T_mel), 0 where unvoiced.
            held_hz: (1, T_mel) F0 with the last voiced value where unvoiced.
            start_phase: (1, T_mel) of the harmonic source at the beginning of each frame, in cycles.
            noise_spectra: (1, T_mel, n_bins, 2).

        Returns:
            (1, T_mel * hop_size).
        """
        network = self.network
        pulses = network.source.pulses(held_hz, start_phase) * (f0_hz > 0).unsqueeze(2)
        spectra = F.conv1d(pulses.flatten(1).unsqueeze(1), self.kernel, stride=self.hop_size, padding=self.padding)
        harmonics_real, harmonics_imag = spectra.transpose(1, 2).chunk(2, dim=2)
        real, imag = network.shaped(network.parts(mel, f0_hz), mel, harmonics_real, harmonics_imag, noise_spectra)
        spectra = torch.cat([real, imag], dim=2).transpose(1, 2) * self.get_buffer("shares")
        weight = self._overlap_add(torch.ones_like(f0_hz).unsqueeze(1), self.window_squared)
        waveform = self._overlap_add(spectra, self.kernel) / weight.clamp(min=1e-3)
        return waveform.squeeze(1).clamp(-1.0, 1.0)

    def _overlap_add(self, frames: Tensor, kernel: Tensor) -> Tensor:
        return F.conv_transpose1d(frames, kernel, stride=self.hop_size, padding=self.padding)


class UnivNetGraph(nn.Module):
    """UnivNet with its noise as an input.

    Args:
        network: the vocoder.
    """

    def __init__(self, network: UnivNet) -> None:
        super().__init__()
        self.network = without_weight_norm(network)

    def forward(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Return the (1, T_mel * hop_size) waveform of a (1, M, T_mel) log-mel and (1, noise_size, T_mel) noise."""
        return self.network.generate(mel, noise)


def acoustic_graphs(network: AcousticNetwork, n_symbols: int) -> dict[str, Graph]:
    """Return the parts of an acoustic model by name: `encoder`, `pitch`, `decoder`.

    Args:
        network: for inference.
        n_symbols: of its table.

    Raises:
        ExportError: it predicts pitch or energy per frame.
    """
    adaptor = network.variance_adaptor
    if of_frames := [name for name, level in adaptor.levels.items() if level != "phone"]:
        raise ExportError(
            f"a model that predicts {' and '.join(of_frames)} per frame has no ONNX graphs; train one with "
            f"{' and '.join(f'model.{name}_level' for name in of_frames)} phone"
        )
    n_phones, one = 11, torch.zeros(1, dtype=torch.long)
    encoder = EncoderGraph(network)
    texts = {"phoneme_ids": (torch.arange(n_phones) % n_symbols)[None], "speaker_id": one}
    texts |= {"language_id": one} if network.has_languages else {}
    with torch.no_grad():
        hidden, _, pitch, f0_hz, *conditions = encoder(**texts)
    phones = {"with_pitch": hidden, "frame_phones": torch.arange(_EXAMPLE_FRAMES) % n_phones}
    phones |= {"first_frame": one} if network.decodes_in_windows else {}
    noise = {} if network.decoder_noise is None else {"noise_place": one}
    has_energy = "energy" in adaptor.levels
    energy = {"speaker_id": one, "energy": pitch, "energy_factor": torch.ones_like(pitch)} if has_energy else {}
    condition = {"condition": conditions[0]} if conditions else {}
    of_text = {"hidden": hidden, "pitch": pitch, "f0_hz": f0_hz, "speaker_id": one}
    return {
        "encoder": Graph(encoder, texts, ("hidden", "frames", "pitch", "f0_hz", *condition)),
        "pitch": Graph(PitchGraph(network), of_text, ("with_pitch", "added_hz", "energy")[: 2 + has_energy]),
        "decoder": Graph(DecoderGraph(network), phones | noise | energy | condition, ("mel",)),
    }


def vocoder_graphs(network: nn.Module, n_mel: int) -> dict[str, Graph]:
    """Return the parts of a vocoder by name: `vocoder`, and for Lyre `f0`.

    Args:
        network: for inference.
        n_mel: mel bins.

    Raises:
        ExportError: it is none of HiFi-GAN, UnivNet and Lyre.
    """
    mel = torch.zeros(1, n_mel, _EXAMPLE_FRAMES)
    if isinstance(network, Generator):
        return {"vocoder": Graph(without_weight_norm(network), {"mel": mel}, ("waveform",))}
    if isinstance(network, UnivNet):
        inputs = {"mel": mel, "noise": torch.zeros(1, network.noise_size, _EXAMPLE_FRAMES)}
        # Fewer frames than its first convolution reaches would be reflected to and fro.
        return {"vocoder": Graph(UnivNetGraph(network), inputs, ("waveform",), shortest=4)}
    if isinstance(network, Lyre):
        contour = torch.full((1, _EXAMPLE_FRAMES), 200.0)
        contours = {"f0_hz": contour, "held_hz": contour, "start_phase": torch.zeros_like(contour)}
        noise = {"noise_spectra": torch.zeros(1, _EXAMPLE_FRAMES, network.n_bins, 2)}
        return {
            "f0": Graph(LyreF0Graph(network), {"mel": mel}, ("f0_hz",)),
            "vocoder": Graph(LyreGraph(network), {"mel": mel, **contours, **noise}, ("waveform",)),
        }
    raise ExportError(
        f"a {type(network).__name__} has no ONNX graphs; HiFi-GAN, UnivNet and Lyre do: --vocoder_dir takes one"
    )
