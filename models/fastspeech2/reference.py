"""Reference implementation of FastSpeech 2, as most others are written, to compare speed with.

Layers from `torch.nn` with transposed channels, attention as matrix products with `masked_fill`, batch norm in the
postnet, a length regulator that loops over phones, losses over `masked_select`, and Adam with default options. Sizes
and arithmetic are those of `FastSpeech2`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fastspeech2.settings import FastSpeech2ModelSettings
from processors.datasets.acoustic_data import AcousticBatch


class PlainFastSpeech2(nn.Module):
    """The network for one speaker, with pitch and energy per phone.

    Args:
        settings: of the model; `norm_first`, kinds of blocks and the levels are ignored.
        n_symbols: size of the symbol table.
        n_mel: M.
    """

    positions: Tensor
    edges: Tensor

    def __init__(self, settings: FastSpeech2ModelSettings, *, n_symbols: int, n_mel: int) -> None:
        super().__init__()
        size = settings.hidden_size
        self.embedding = nn.Embedding(n_symbols, size)
        self.encoder = nn.ModuleList(_Block(settings) for _ in range(settings.encoder_layers))
        self.decoder = nn.ModuleList(_Block(settings) for _ in range(settings.decoder_layers))
        self.duration_predictor, self.pitch_predictor, self.energy_predictor = (_Predictor(settings) for _ in range(3))
        self.pitch_embedding, self.energy_embedding = (nn.Embedding(settings.n_bins, size) for _ in range(2))
        self.to_mel = nn.Linear(size, n_mel)
        self.postnet = _Postnet(settings, n_mel) if settings.postnet_layers else None
        self.register_buffer("edges", torch.linspace(-4.0, 4.0, settings.n_bins - 1))
        self.register_buffer("positions", _sinusoids(4000, size))

    def forward(self, batch: AcousticBatch) -> Tensor:
        """Return the loss of a batch."""
        assert batch.pitch is not None and batch.energy is not None
        hidden, is_padding = self._encode(batch.phoneme_ids, batch.phoneme_lengths)
        log_durations = self.duration_predictor(hidden, is_padding)
        pitch = self.pitch_predictor(hidden, is_padding)
        hidden = hidden + self.pitch_embedding(torch.bucketize(batch.pitch, self.edges))
        energy = self.energy_predictor(hidden, is_padding)
        hidden = hidden + self.energy_embedding(torch.bucketize(batch.energy, self.edges))
        mel, refined, is_frame_padding = self._decode(hidden, batch.durations)
        is_frame, is_phoneme = ~is_frame_padding.unsqueeze(2), ~is_padding
        target = batch.mel.transpose(1, 2).masked_select(is_frame)
        loss = F.l1_loss(mel.masked_select(is_frame), target)
        if refined is not None:
            loss = loss + F.l1_loss(refined.masked_select(is_frame), target)
        for predicted, true in (
            (log_durations, torch.log(batch.durations.float() + 1.0)),
            (pitch, batch.pitch),
            (energy, batch.energy),
        ):
            loss = loss + F.mse_loss(predicted.masked_select(is_phoneme), true.masked_select(is_phoneme))
        return loss

    @torch.no_grad()
    def infer(self, phoneme_ids: Tensor, phoneme_lengths: Tensor, durations: Tensor) -> Tensor:
        """Return a (B, T_mel, M) mel with predicted pitch and energy.

        Durations are predicted too, and then replaced by those given, so that untrained networks compute mels of one
        length.
        """
        hidden, is_padding = self._encode(phoneme_ids, phoneme_lengths)
        torch.clamp(torch.round(torch.exp(self.duration_predictor(hidden, is_padding)) - 1.0), min=0)
        pitch = self.pitch_predictor(hidden, is_padding)
        hidden = hidden + self.pitch_embedding(torch.bucketize(pitch, self.edges))
        energy = self.energy_predictor(hidden, is_padding)
        hidden = hidden + self.energy_embedding(torch.bucketize(energy, self.edges))
        mel, refined, _ = self._decode(hidden, durations.masked_fill(is_padding, 0))
        return mel if refined is None else refined

    def _encode(self, phoneme_ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        is_padding = torch.arange(phoneme_ids.shape[1])[None, :] >= lengths[:, None]
        hidden = self.embedding(phoneme_ids) + self.positions[: phoneme_ids.shape[1]]
        for block in self.encoder:
            hidden = block(hidden, is_padding)
        return hidden, is_padding

    def _decode(self, hidden: Tensor, durations: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        rows = [
            torch.cat([vector.expand(int(duration.item()), -1) for vector, duration in zip(row, lasting, strict=True)])
            for row, lasting in zip(hidden, durations, strict=True)
        ]
        longest = max(len(row) for row in rows)
        frames = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
        is_padding = torch.arange(longest)[None, :] >= torch.tensor([len(row) for row in rows])[:, None]
        frames = frames + self.positions[:longest]
        for block in self.decoder:
            frames = block(frames, is_padding)
        mel = self.to_mel(frames)
        return mel, None if self.postnet is None else mel + self.postnet(mel), is_padding


class _Block(nn.Module):
    def __init__(self, settings: FastSpeech2ModelSettings) -> None:
        super().__init__()
        size, wide, (first, second) = settings.hidden_size, settings.conv_filter_size, settings.conv_kernel_sizes
        self.n_heads = settings.n_heads
        self.to_queries, self.to_keys, self.to_values, self.to_output = (nn.Linear(size, size) for _ in range(4))
        self.widen = nn.Conv1d(size, wide, first, padding=first // 2)
        self.narrow = nn.Conv1d(wide, size, second, padding=second // 2)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        x = self.norms[0](x + self.dropout(self._attend(x, is_padding))).masked_fill(is_padding.unsqueeze(2), 0)
        wide = F.relu(self.widen(x.transpose(1, 2)))
        convolved = self.narrow(wide).transpose(1, 2)
        x = self.norms[1](x + self.dropout(convolved))
        return x.masked_fill(is_padding.unsqueeze(2), 0)

    def _attend(self, x: Tensor, is_padding: Tensor) -> Tensor:
        rows, length, size = x.shape

        def heads(projection: nn.Linear) -> Tensor:
            split: Tensor = projection(x).view(rows, length, self.n_heads, size // self.n_heads)
            return split.permute(2, 0, 1, 3).contiguous().view(-1, length, size // self.n_heads)

        scores = torch.bmm(heads(self.to_queries), heads(self.to_keys).transpose(1, 2)) / math.sqrt(
            size // self.n_heads
        )
        mask = is_padding.unsqueeze(1).expand(-1, length, -1).repeat(self.n_heads, 1, 1)
        attended = torch.bmm(scores.masked_fill(mask, float("-inf")).softmax(dim=2), heads(self.to_values))
        joined = attended.view(self.n_heads, rows, length, -1).permute(1, 2, 0, 3).contiguous().view(rows, length, -1)
        projected: Tensor = self.to_output(joined)
        return projected


class _Predictor(nn.Module):
    def __init__(self, settings: FastSpeech2ModelSettings) -> None:
        super().__init__()
        wide, kernel = settings.predictor_filter_size, settings.predictor_kernel_size
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, wide, kernel, padding=kernel // 2) for width in (settings.hidden_size, wide)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for _ in range(2))
        self.dropout = nn.Dropout(settings.predictor_dropout)
        self.to_value = nn.Linear(wide, 1)

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(norm(F.relu(convolution(x.transpose(1, 2)).transpose(1, 2))))
        values: Tensor = self.to_value(x)
        return values.squeeze(2).masked_fill(is_padding, 0).float()


class _Postnet(nn.Module):
    def __init__(self, settings: FastSpeech2ModelSettings, n_mel: int) -> None:
        super().__init__()
        kernel = settings.postnet_kernel_size
        widths = [n_mel, *[settings.postnet_filter_size] * (settings.postnet_layers - 1), n_mel]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding=kernel // 2) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.dropout = nn.Dropout(settings.postnet_dropout)

    def forward(self, mel: Tensor) -> Tensor:
        x = mel.transpose(1, 2)
        last = len(self.convolutions) - 1
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            x = self.dropout(x if number == last else torch.tanh(x))
        return x.transpose(1, 2)


def _sinusoids(length: int, size: int) -> Tensor:
    angles = torch.arange(length)[:, None] / 10000.0 ** (torch.arange(0, size, 2)[None, :] / size)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
