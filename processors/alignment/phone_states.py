"""The states that the phones of utterances pass through, as an aligner looks for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from processors.alignment.monotonic_search import best_durations


@dataclass(frozen=True)
class PhoneStates:
    """The states of a batch of utterances in the order in which they are heard, a frame or more each.

    A phone has several, so that it cannot be shorter than they are many and may sound otherwise where it begins than
    where it ends, as in hidden Markov models. What may be passed over has one.

    Attributes:
        symbols: (B, S) numbers of the symbol table.
        parts: (B, S) which of its symbol's states each is, from 0.
        phones: (B, S) which of its utterance's T_text phones each belongs to.
        lengths: (B,) real states.
        is_optional: (B, S) which may be passed over; no two neighbours.
    """

    symbols: Tensor
    parts: Tensor
    phones: Tensor
    lengths: Tensor
    is_optional: Tensor

    def durations_of_phones(self, durations: Tensor, n_phones: int) -> Tensor:
        """Give the (B, `n_phones`) durations of phones whose states have these (B, S)."""
        return durations.new_zeros(len(durations), n_phones).scatter_add_(1, self.phones, durations)


@dataclass(frozen=True)
class StateScores:
    """The states of a batch and how much each frame sounds like each of them.

    Attributes:
        states: in the order in which they are heard.
        scores: (B, T_mel, S) logarithms; anything finite on padding.
    """

    states: PhoneStates
    scores: Tensor

    def durations(self, mel_lengths: Tensor) -> Tensor:
        """Give the (B, S) frames of each state along the likeliest way (see `best_durations`)."""
        durations = best_durations(
            self.scores.detach().float().cpu().numpy(),
            self.states.lengths.cpu().numpy(),
            mel_lengths.cpu().numpy(),
            self.states.is_optional.cpu().numpy(),
        )
        return torch.from_numpy(durations).to(self.scores.device)


def phone_states(
    phoneme_ids: Tensor, phoneme_lengths: Tensor, mel_lengths: Tensor, is_optional: Tensor, *, n_states: int
) -> PhoneStates:
    """Give the states of utterances.

    Args:
        phoneme_ids: (B, T_text) numbers of the symbol table.
        phoneme_lengths: (B,) real phones.
        mel_lengths: (B,) real frames; an utterance with too few for all states has one of each phone, the middle one.
        is_optional: (B, T_text) which phones may be passed over.
        n_states: of the other phones.
    """
    rows = []
    for ids, n_phones, n_frames, optional in zip(
        phoneme_ids, phoneme_lengths.tolist(), mel_lengths.tolist(), is_optional, strict=True
    ):
        times = torch.where(optional[:n_phones], 1, n_states)
        is_too_short = int(times[~optional[:n_phones]].sum()) > n_frames
        if is_too_short:
            times = torch.ones_like(times)
        phones = torch.arange(n_phones, device=ids.device).repeat_interleave(times)
        first = times.cumsum(0) - times
        parts = torch.arange(len(phones), device=ids.device) - first[phones]
        if is_too_short:
            parts = torch.where(optional[phones], 0, n_states // 2)
        rows.append((ids[phones], parts, phones, optional[phones]))
    symbols, parts, phones, optional = (
        pad_sequence(list(column), batch_first=True) for column in zip(*rows, strict=True)
    )
    lengths = torch.tensor([len(row[0]) for row in rows], device=phoneme_ids.device)
    return PhoneStates(symbols, parts, phones, lengths, optional)
