"""States of phones, as in hidden Markov models, that the learned aligner scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from processors.alignment.monotonic_search import best_durations


@dataclass(frozen=True)
class PhoneStates:
    """The states of a batch of utterances in the order in which they are spoken, a frame or more each.

    A phone has several, as in hidden Markov models: a least duration, and different sounds at its start and end.
    Optional phones have one.

    Attributes:
        symbols: (B, S) numbers of the symbol table.
        parts: (B, S) index of the state within its symbol, from 0.
        phones: (B, S) index of the phone, of T_text, that the state belongs to.
        lengths: (B,) real states.
        is_optional: (B, S) states that may be skipped; no two adjacent ones.
    """

    symbols: Tensor
    parts: Tensor
    phones: Tensor
    lengths: Tensor
    is_optional: Tensor

    def durations_of_phones(self, durations: Tensor, n_phones: int) -> Tensor:
        """Return the (B, `n_phones`) durations of phones from the (B, S) durations of their states."""
        return durations.new_zeros(len(durations), n_phones).scatter_add_(1, self.phones, durations)


@dataclass(frozen=True)
class StateScores:
    """The states of a batch and the score of each at each frame.

    Attributes:
        states: in the order in which they are spoken.
        scores: (B, T_mel, S) logarithms; anything finite on padding.
    """

    states: PhoneStates
    scores: Tensor

    def durations(self, mel_lengths: Tensor) -> Tensor:
        """Return the (B, S) frames of each state on the likeliest path (see `best_durations`)."""
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
    """Return the states of utterances.

    Args:
        phoneme_ids: (B, T_text) numbers of the symbol table.
        phoneme_lengths: (B,) real phones.
        mel_lengths: (B,) real frames; an utterance with too few for all states has the middle one of each phone.
        is_optional: (B, T_text) phones that may be skipped.
        n_states: per phone that is not optional.
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
