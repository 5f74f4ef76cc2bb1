"""Aligner within an acoustic model: soft and hard alignments of symbols and frames, learned with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.beta_binomial import beta_binomial_prior, transposed_prior
from models.layers.conv1d import Conv1d
from models.layers.masks import padding_mask
from processors.alignment.monotonic_search import best_durations
from processors.datasets.acoustic_data import AcousticBatch

_TEMPERATURE = 0.0005
_PRIOR_FLOOR = 1e-8
_LOG_ZERO = -1e30
_BLANK_LOG_PROBABILITY = -1.0


@dataclass(frozen=True)
class SoftAlignment:
    """Alignments of a batch.

    Attributes:
        log_probabilities: (B, T_mel, T_text) of each symbol at each frame, prior included, not normalised; very low on
            padded symbols, anything on padded frames.
        durations: (B, T_text) frames per symbol on the likeliest path, 0 on padding.
        phoneme_lengths: (B,) symbols.
        mel_lengths: (B,) frames.
    """

    log_probabilities: Tensor
    durations: Tensor
    phoneme_lengths: Tensor
    mel_lengths: Tensor

    @property
    def soft(self) -> Tensor:
        """The logarithm of the soft alignment, (B, T_mel, T_text)."""
        return self.log_probabilities.log_softmax(dim=2)

    @property
    def hard(self) -> Tensor:
        """(B, T_mel, T_text) True on the likeliest path, False elsewhere and on padding."""
        ends = self.durations.cumsum(dim=1).unsqueeze(1)
        starts = ends - self.durations.unsqueeze(1)
        frame = torch.arange(self.log_probabilities.shape[1], device=ends.device).view(1, -1, 1)
        return (frame >= starts) & (frame < ends)

    def forward_sum_losses(self) -> Tensor:
        """Return (B,) losses per symbol: all monotonic paths' probability, summed by CTC with a blank.

        arXiv:2108.10447, section 2.1; 0 where there are fewer frames than symbols.
        """
        with_blank = F.pad(self.log_probabilities, (1, 0), value=_BLANK_LOG_PROBABILITY).log_softmax(dim=2)
        symbols = torch.arange(1, with_blank.shape[2], device=with_blank.device).expand(len(with_blank), -1)
        losses = F.ctc_loss(
            with_blank.transpose(0, 1),  # (B, T_mel, T_text + 1) -> (T_mel, B, T_text + 1)
            symbols,
            self.mel_lengths,
            self.phoneme_lengths,
            reduction="none",
            zero_infinity=True,
        )
        return losses / self.phoneme_lengths

    def binarization_loss(self) -> Tensor:
        """Return the mean over real frames of the negative log soft probability on the likeliest path.

        arXiv:2108.10447, section 2.3.
        """
        on_path = self.soft.clamp_min(math.log(1e-12)).masked_fill(~self.hard, 0.0)
        return -on_path.sum() / self.mel_lengths.sum()


class SoftAligner(nn.Module):
    """Score symbols at frames by the distance of their encodings, without positions or context beyond neighbours.

    One TTS Alignment To Rule Them All (arXiv:2108.10447, sections 2.1 to 2.3). Padding takes part neither in the
    softmax nor in the convolutions, so that a recording is aligned alone as in a batch.

    Args:
        keys: layers from (B, T_text, D) symbols and their (B, T_text, 1) padding to (B, T_text, C), such as those of
            `relu_encoder`.
        queries: likewise from (B, T_mel, M) mels to (B, T_mel, C).
        is_prior_transposed: whether the prior is that of NVIDIA's loader (see `transposed_prior`).
    """

    def __init__(self, keys: nn.ModuleList, queries: nn.ModuleList, *, is_prior_transposed: bool = False) -> None:
        super().__init__()
        self.is_prior_transposed = is_prior_transposed
        self.keys, self.queries = keys, queries

    def forward(
        self,
        embedded: Tensor,
        phoneme_lengths: Tensor,
        mel: Tensor,
        mel_lengths: Tensor,
        log_prior: Tensor | None = None,
    ) -> SoftAlignment:
        """Align.

        Args:
            embedded: (B, T_text, D) symbols, such as their embeddings.
            phoneme_lengths: (B,).
            mel: (B, M, T_mel) log-mel.
            mel_lengths: (B,).
            log_prior: (B, T_mel, T_text); None for the one of the lengths.
        """
        no_symbol, no_frame = padding_mask(phoneme_lengths, embedded.shape[1]), padding_mask(mel_lengths, mel.shape[2])
        keys, queries = embedded, mel.transpose(1, 2)  # (B, M, T_mel) -> (B, T_mel, M)
        for layer in self.keys:
            keys = layer(keys, no_symbol.unsqueeze(2))
        for layer in self.queries:
            queries = layer(queries, no_frame.unsqueeze(2))
        # float32: distances are small differences of large squares.
        with torch.autocast(mel.device.type, enabled=False):
            keys, queries = keys.float(), queries.float()
            squares = queries.square().sum(dim=2, keepdim=True) + keys.square().sum(dim=2).unsqueeze(1)
            scores = -_TEMPERATURE * (squares - 2.0 * queries @ keys.transpose(1, 2))
            scores = scores.masked_fill(no_symbol.unsqueeze(1), _LOG_ZERO).log_softmax(dim=2)
            if log_prior is None:
                log_prior = self._log_prior(phoneme_lengths, mel_lengths, scores.shape[1], scores.shape[2])
            scores = scores + torch.logaddexp(log_prior, log_prior.new_tensor(_PRIOR_FLOOR).log())
        return SoftAlignment(scores, _durations(scores, phoneme_lengths, mel_lengths), phoneme_lengths, mel_lengths)

    def _log_prior(self, phoneme_lengths: Tensor, mel_lengths: Tensor, n_frames: int, n_phones: int) -> Tensor:
        if self.is_prior_transposed:
            prior = torch.zeros(len(mel_lengths), n_frames, n_phones)
            for row, lengths in enumerate(zip(phoneme_lengths.tolist(), mel_lengths.tolist(), strict=True)):
                prior[row, : lengths[1], : lengths[0]] = transposed_prior(*lengths)
            return prior.to(phoneme_lengths.device).log()
        return beta_binomial_prior(phoneme_lengths, mel_lengths, n_phones=n_phones, n_frames=n_frames, further_trials=1)


def relu_encoder(widths: Sequence[int]) -> nn.ModuleList:
    """Return a convolution over neighbours and linear layers, with ReLUs between them, as FastPitch has them."""
    layers = nn.ModuleList()
    for number, (before, after) in enumerate(pairwise(widths)):
        relu = number < len(widths) - 2
        layer = Conv1d(before, after, 1 if number else 3, relu=relu)
        nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("relu" if relu else "linear"))
        layers.append(layer)
    return layers


def with_durations(batch: AcousticBatch, durations: Tensor, *, has_energy: bool) -> AcousticBatch:
    """Return the batch with these durations, and pitch and energy per symbol.

    Energy is the logarithm of 1 + the length (2-norm) of the log-mel frame, as in FastPitch's public code.

    Args:
        batch: with pitch per frame.
        durations: (B, T_text) frames per symbol, 0 on padding.
        has_energy: whether energy is computed, from the mel; None without.
    """
    assert batch.pitch is not None
    pitch, energy = average_per_symbol(batch.pitch, durations), None
    if has_energy:
        energy = average_per_symbol(torch.linalg.vector_norm(batch.mel.float(), dim=1), durations).log1p()
    return replace(batch, durations=durations, pitch=pitch, energy=energy)


def average_per_symbol(values: Tensor, durations: Tensor) -> Tensor:
    """Average the frames of each symbol that are not 0; arXiv:2006.06873, section 2.2.

    Args:
        values: (B, T_mel), 0 where undefined, such as pitch where unvoiced.
        durations: (B, T_text) frames, 0 on padding.

    Returns:
        (B, T_text) means; 0 for symbols without such frames.
    """
    ends = durations.cumsum(dim=1)
    starts = ends - durations

    def sums(frames: Tensor) -> Tensor:
        before = F.pad(frames.double().cumsum(dim=1), (1, 0))
        return before.gather(1, ends) - before.gather(1, starts)

    return (sums(values) / sums(values != 0).clamp_min(1.0)).float()


def _durations(log_probabilities: Tensor, phoneme_lengths: Tensor, mel_lengths: Tensor) -> Tensor:
    """Return the (B, T_text) durations of the likeliest path; even ones where frames are fewer than symbols."""
    normalized = log_probabilities.detach().log_softmax(dim=2).cpu().numpy()
    rows, n_phones = len(phoneme_lengths), log_probabilities.shape[2]
    optional = torch.zeros(rows, n_phones, dtype=torch.bool).numpy()
    found = best_durations(normalized, phoneme_lengths.cpu().numpy(), mel_lengths.cpu().numpy(), optional)
    durations = torch.from_numpy(found).to(mel_lengths)
    places = torch.arange(n_phones + 1, device=durations.device).clamp(max=phoneme_lengths.unsqueeze(1))
    even = (places * mel_lengths.unsqueeze(1) // phoneme_lengths.unsqueeze(1)).diff(dim=1)
    return torch.where(durations.sum(dim=1, keepdim=True) > 0, durations, even)
