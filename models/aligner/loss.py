"""Training losses of the aligner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from processors.alignment.phone_states import StateScores
from processors.datasets.aligner_data import AlignerBatch
from utils.task import Term

_LOG_ZERO = -1e30


def loss_terms(scored: StateScores, batch: AlignerBatch, *, binarization_weight: float | None) -> dict[str, Term]:
    """Return the losses per real frame.

    arXiv:2108.10447, sections 2.1 and 2.3: the forward sum over all paths through the states in order, and the
    Kullback-Leibler divergence of the soft alignment from its best path.

    Args:
        scored: output of `Aligner` for the batch.
        batch: the utterances.
        binarization_weight: of the second loss; None leaves it out.
    """
    frames, states = batch.counts["frames"], scored.states
    sums = forward_sum(scored.scores, states.lengths, batch.mel_lengths, states.is_optional)
    terms = {"forward_sum": Term(-sums.sum() / frames, per="frames")}
    if binarization_weight is not None:
        weight = _best_path(scored, batch)
        terms["binarization"] = Term(-(scored.scores * weight).sum() / frames, binarization_weight, per="frames")
    return terms


def _best_path(scored: StateScores, batch: AlignerBatch) -> Tensor:
    """Return (B, T_mel, S): 1 on the likeliest path, 0 elsewhere and on padding."""
    durations = scored.durations(batch.mel_lengths)
    ends = durations.cumsum(dim=1).unsqueeze(1)
    starts = ends - durations.unsqueeze(1)
    frame = torch.arange(scored.scores.shape[1], device=ends.device).view(1, -1, 1)
    return ((frame >= starts) & (frame < ends)).to(scored.scores.dtype)


def forward_sum(scores: Tensor, phoneme_lengths: Tensor, mel_lengths: Tensor, is_optional: Tensor) -> Tensor:
    """Sum the probabilities of all monotonic paths through a recording.

    The forward algorithm of hidden Markov models (Rabiner, 1989, section III.A). The paper uses CTC's, with a blank
    added; CTC visits every label, while here optional phones may be skipped. The aligner passes the states of its
    phones as phones.

    Args:
        scores: (B, T_mel, T_text) logarithms, finite.
        phoneme_lengths: (B,).
        mel_lengths: (B,).
        is_optional: (B, T_text) phones that may be skipped; no two adjacent ones.

    Returns:
        (B,) logarithms of the sums; 0, without gradient, where there are fewer frames than phones.
    """
    sums: Tensor = _ForwardSum.apply(scores, phoneme_lengths, mel_lengths, is_optional)  # type: ignore[no-untyped-call]
    return sums


class _ForwardSum(torch.autograd.Function):
    """The forward sum and its gradient: the probability of each phone at each frame, given the whole recording.

    Plain NumPy in float64: a step over all phones of all utterances costs a CPU less than autograd's bookkeeping.
    """

    @staticmethod
    def forward(
        context: Any, scores: Tensor, phoneme_lengths: Tensor, mel_lengths: Tensor, is_optional: Tensor
    ) -> Tensor:
        values = scores.detach().double().cpu().numpy()
        n_phones, n_frames = phoneme_lengths.cpu().numpy(), mel_lengths.cpu().numpy()
        optional = is_optional.cpu().numpy()
        rows = np.arange(len(values))
        forward = _forward(values, optional)
        ends, last = n_frames - 1, n_phones - 1
        before_last = np.where(optional[rows, last] & (last > 0), forward[ends, rows, last - 1], _LOG_ZERO)
        sums = np.logaddexp(forward[ends, rows, last], before_last)
        possible = sums > _LOG_ZERO / 2
        if scores.requires_grad:
            # The backward pass is the forward pass over the reversed recording.
            time, phone = _reversed(n_frames, values.shape[1]), _reversed(n_phones, values.shape[2])
            reverse = (rows[:, None, None], time[:, :, None], phone[:, None, :])
            backward = _forward(values[reverse], optional[rows[:, None], phone]).transpose(1, 0, 2)[reverse]
            occupancy = np.exp(np.minimum(forward.transpose(1, 0, 2) + backward - values - sums[:, None, None], 0.0))
            is_real = (np.arange(values.shape[1]) < n_frames[:, None])[:, :, None] & (
                np.arange(values.shape[2]) < n_phones[:, None]
            )[:, None, :]
            occupancy = np.where(is_real & possible[:, None, None], occupancy, 0.0)
            context.save_for_backward(torch.from_numpy(occupancy).to(scores))
        return torch.from_numpy(np.where(possible, sums, 0.0)).to(scores)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (occupancy,) = context.saved_tensors
        return gradient.view(-1, 1, 1) * occupancy, None, None, None


def _forward(scores: npt.NDArray[np.float64], optional: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the (T_mel, B, T_text) log sums over all paths that end in each phone at each frame."""
    n_utterances, n_frames, n_phones = scores.shape
    # Two columns that no path reaches are padded before the first phone, so that each phone p sums three columns:
    #
    #     frame t - 1    [p - 2]    [p - 1]    [p]
    #                      skip \   advance \   | stay      skip: only over an optional phone p - 1
    #     frame t                              [p]
    sums = np.full((n_frames, n_utterances, n_phones + 2), _LOG_ZERO)
    skip_penalty = np.full((n_utterances, n_phones), _LOG_ZERO)
    skip_penalty[:, 1:][optional[:, :-1]] = 0.0
    per_frame = np.ascontiguousarray(scores.transpose(1, 0, 2))
    sums[0, :, 2] = per_frame[0, :, 0]
    if n_phones > 1:
        sums[0, :, 3] = np.where(optional[:, 0], per_frame[0, :, 1], _LOG_ZERO)
    for frame in range(1, n_frames):
        stay, advance = sums[frame - 1, :, 2:], sums[frame - 1, :, 1:-1]
        skip = sums[frame - 1, :, :-2] + skip_penalty
        highest = np.maximum(np.maximum(stay, advance), skip)
        total = np.exp(stay - highest)
        total += np.exp(advance - highest)
        total += np.exp(skip - highest)
        np.log(total, out=total)
        total += highest
        total += per_frame[frame]
        sums[frame, :, 2:] = np.maximum(total, _LOG_ZERO)
    return sums[:, :, 2:]


def _reversed(lengths: npt.NDArray[np.integer], longest: int) -> npt.NDArray[np.integer]:
    """Return the (B, T) indices that reverse each row; padding keeps its indices."""
    index = np.arange(longest)
    reversed_index: npt.NDArray[np.integer] = np.where(index < lengths[:, None], lengths[:, None] - 1 - index, index)
    return reversed_index
