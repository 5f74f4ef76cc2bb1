"""Voices as sherpa-onnx takes them: with a lexicon in its slot for VITS, with espeak-ng's phones in that for Matcha."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.export.ipa_symbols import IpaSymbols
from models.export.voice_graph import VoiceGraph, selected
from processors.text.tokens import PAUSES, SILENCE

_FULL_STOP = "."


class _SherpaGraph(nn.Module):
    """Speaks texts whose ends sherpa-onnx leaves out.

    Args:
        voice: speaks symbols.
        symbols: of the voice.
    """

    ends: Tensor
    is_pause: Tensor

    def __init__(self, voice: VoiceGraph, symbols: Sequence[str]) -> None:
        super().__init__()
        self.voice = voice
        self.register_buffer("ends", torch.tensor([symbols.index(SILENCE), symbols.index(_FULL_STOP)]))
        self.register_buffer("is_pause", torch.tensor([symbol in PAUSES for symbol in symbols]))

    def with_ends(self, symbols: Tensor) -> Tensor:
        """Return (1, T_text) symbols with silence before them and, behind (T,) that end without pause, a full stop."""
        silence, full_stop = self.ends[:1], self.ends[1:]
        symbols = torch.cat([silence, symbols, full_stop])
        before_end = symbols[-2:-1]
        keeps_end = ~self.is_pause[before_end] | (before_end == silence)
        is_kept = torch.cat([torch.ones_like(symbols[:-1], dtype=torch.bool), keeps_end])
        symbols = selected(symbols, is_kept)
        torch._check(symbols.shape[0] >= 3)
        return symbols[None]


def _unused(*inputs: Tensor) -> Tensor:
    """Return 0 as a sum over inputs that are without effect on the sound, but that the file has to have."""
    return torch.stack([0.0 * each.float().sum() for each in inputs]).sum()


class SherpaVitsGraph(_SherpaGraph):
    """Speaks symbols in which sherpa-onnx has put a blank behind each word.

    Args:
        voice: speaks symbols.
        symbols: of the voice; the blank's number is that of how many there are.
    """

    def __init__(self, voice: VoiceGraph, symbols: Sequence[str]) -> None:
        super().__init__(voice, symbols)
        self.blank = len(symbols)

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
        symbols = self.with_ends(selected(x[0], x[0] != self.blank))
        speaker = torch.zeros_like(x_length) if sid is None else sid
        waveform: Tensor = self.voice(symbols, speaker, length_scale)
        return (waveform + _unused(x_length, noise_scale, noise_scale_w)).unsqueeze(1)


class SherpaMatchaGraph(_SherpaGraph):
    """Computes the mel of phones of IPA, as code points between which sherpa-onnx has put blanks.

    Args:
        voice: speaks symbols.
        symbols: of the voice.
        spellings: symbols by how they are written in IPA (`models.export.ipa_symbols.spellings`).
        blank: code point.
    """

    def __init__(self, voice: VoiceGraph, symbols: Sequence[str], spellings: dict[str, str], *, blank: int) -> None:
        super().__init__(voice, symbols)
        self.blank = blank
        self.ipa = IpaSymbols({written: symbols.index(symbol) for written, symbol in spellings.items()})

    def forward(
        self, x: Tensor, x_length: Tensor, noise_scale: Tensor, length_scale: Tensor, sid: Tensor | None = None
    ) -> Tensor:
        """Compute a mel.

        Args:
            x: (1, T) code points and blanks.
            x_length: (1,) T; not needed.
            noise_scale: (1,) without effect, as these voices draw no noise.
            length_scale: (1,) factor on all durations.
            sid: (1,) row of the speaker table; None for the first.

        Returns:
            (1, M, T_mel) log-mel.
        """
        symbols = self.with_ends(self.ipa(selected(x[0], x[0] != self.blank)))
        speaker = torch.zeros_like(x_length) if sid is None else sid
        return self.voice.mel(symbols, speaker, length_scale) + _unused(x_length, noise_scale)
