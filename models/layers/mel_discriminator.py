"""Discriminators of mels: windows of several lengths, scored as images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.layers.discriminator import DiscriminatorOutput, score_planes
from models.layers.mel_scale import from_log_mel
from models.layers.normed_convolution import WeightNormedPlane

_LEAKY_SLOPE = 0.2
_KERNEL, _STRIDE = (3, 3), (2, 2)
# Far below the mel's own deviation of 1: as large as it, random planes hide the mel for hundreds of steps.
_PHONE_STD = 0.1


class MelWindows(NamedTuple):
    """Places of windows of one length in the utterances of a batch.

    Attributes:
        frames: (B, W) numbers of the frames; an utterance shorter than W is repeated, so that padding is never scored.
        phoneme_ids: (B, W) of each frame.
    """

    frames: Tensor
    phoneme_ids: Tensor

    @classmethod
    def draw(cls, draws: Tensor, mel_lengths: Tensor, frame_phonemes: Tensor, length: int) -> MelWindows:
        """Place one window in each utterance.

        Args:
            draws: (B,) whole random numbers, far above T_mel.
            mel_lengths: (B,).
            frame_phonemes: (B, T_mel) phoneme id of each frame.
            length: W.
        """
        room = torch.where(mel_lengths >= length, mel_lengths - length + 1, mel_lengths)
        first = (draws % room).unsqueeze(1)
        frames = (first + torch.arange(length, device=first.device)) % mel_lengths.unsqueeze(1)
        return cls(frames, frame_phonemes.gather(1, frames))

    def cut(self, mel: Tensor) -> Tensor:
        """Return the (B, M, W) windows of (B, M, T_mel) mels."""
        return mel.gather(2, self.frames.unsqueeze(1).expand(-1, mel.shape[1], -1))


class MelWindowDiscriminator(nn.Module):
    """Scores windows of one length by strided convolutions over bands and frames.

    The last convolution covers all bands: each score is that of some frames.

    Args:
        n_planes: of the input.
        n_mel: M.
        channels: of each convolution.
    """

    def __init__(self, n_planes: int, n_mel: int, channels: Sequence[int]) -> None:
        super().__init__()
        widths = [n_planes, *channels]
        self.convs = nn.ModuleList(
            WeightNormedPlane(before, after, _KERNEL, _STRIDE) for before, after in zip(widths, channels, strict=False)
        )
        n_rows = n_mel
        for _ in channels:
            n_rows = math.ceil(n_rows / _STRIDE[0])
        self.conv_post = WeightNormedPlane(channels[-1], 1, (n_rows, 3), padding=(0, 1))

    def forward(self, planes: Tensor) -> DiscriminatorOutput:
        """Score (B, n_planes, M, W)."""
        return score_planes(planes, self.convs, self.conv_post, _LEAKY_SLOPE)


class MelDiscriminator(nn.Module):
    """One discriminator for each length of windows.

    As the multi-length discriminator of SyntaSpeech (arXiv:2204.11792, section 3.4), whose windows have 32, 64 and 128
    frames; without batch norm, since no score may depend on the rest of the batch. A second plane holds each band's
    place, and where it is conditioned on phones, a third one holds a learned vector of M for each frame's phone.

    Args:
        n_windows: how many lengths.
        n_mel: M.
        channels: of each convolution.
        n_symbols: size of the symbol table to condition on phones; 0 for mels alone.
    """

    place: Tensor

    def __init__(self, n_windows: int, *, n_mel: int, channels: Sequence[int], n_symbols: int = 0) -> None:
        super().__init__()
        self.phone_planes = None
        if n_symbols:
            self.phone_planes = nn.Embedding(n_symbols, n_mel)
            nn.init.normal_(self.phone_planes.weight, std=_PHONE_STD)
        n_planes = 3 if n_symbols else 2
        self.discriminators = nn.ModuleList(MelWindowDiscriminator(n_planes, n_mel, channels) for _ in range(n_windows))
        self.register_buffer("place", torch.linspace(-1.0, 1.0, n_mel), persistent=False)

    def forward(self, mels: Sequence[Tensor], phoneme_ids: Sequence[Tensor]) -> list[DiscriminatorOutput]:
        """Score windows, one length after the other.

        Args:
            mels: (B, M, W) log-mels.
            phoneme_ids: (B, W).
        """
        outputs = []
        for discriminator, mel, phones in zip(self.discriminators, mels, phoneme_ids, strict=True):
            planes = [from_log_mel(mel).transpose(1, 2), self.place[:, None].expand_as(mel)]
            if self.phone_planes is not None:
                planes.append(self.phone_planes(phones).transpose(1, 2))
            outputs.append(discriminator(torch.stack(planes, dim=1)))
        return outputs
