"""A voice with a lexicon as sherpa-onnx takes it in its slot for VITS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.export.voice_graph import VoiceGraph, selected


class SherpaVitsGraph(nn.Module):
    """Speaks symbols in which sherpa-onnx has put a blank behind each word.

    Args:
        voice: speaks symbols.
        blank: its number; above all symbols'.
        silence: symbol that begins each text.
        full_stop: symbol that ends a text without a pause at its end.
        is_pause: (n_symbols,) symbols for pauses.
    """

    ends: Tensor
    is_pause: Tensor

    def __init__(self, voice: VoiceGraph, *, blank: int, silence: int, full_stop: int, is_pause: Tensor) -> None:
        super().__init__()
        self.voice, self.blank = voice, blank
        self.register_buffer("ends", torch.tensor([silence, full_stop]))
        self.register_buffer("is_pause", is_pause)

    def forward(
        self,
        x: Tensor,
        x_length: Tensor,
        noise_scale: Tensor,
        length_scale: Tensor,
        noise_scale_w: Tensor,
        sid: Tensor | None = None,
    ) -> Tensor:
        """Speak.

        Args:
            x: (1, T) symbols and blanks.
            x_length: (1,) T; not needed.
            noise_scale: (1,) without effect, as these voices draw no noise.
            length_scale: (1,) factor on all durations.
            noise_scale_w: (1,) without effect.
            sid: (1,) row of the speaker table; None for the first.

        Returns:
            (1, 1, T_wav) samples in [-1, 1].
        """
        silence, full_stop = self.ends[:1], self.ends[1:]
        symbols = torch.cat([silence, selected(x[0], x[0] != self.blank), full_stop])
        before_end = symbols[-2:-1]
        keeps_end = ~self.is_pause[before_end] | (before_end == silence)
        is_kept = torch.cat([torch.ones_like(symbols[:-1], dtype=torch.bool), keeps_end])
        symbols = selected(symbols, is_kept)
        torch._check(symbols.shape[0] >= 3)
        speaker = torch.zeros_like(x_length) if sid is None else sid
        waveform: Tensor = self.voice(symbols[None], speaker, length_scale)
        # Without effect on the sound, but inputs that the file has to have.
        unused: Tensor = 0.0 * (noise_scale + noise_scale_w + x_length.to(noise_scale.dtype))
        return (waveform + unused).unsqueeze(1)
