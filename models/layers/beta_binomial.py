"""Beta-binomial prior of alignments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Published checkpoints were trained with priors made for whole multiples of these lengths, then stretched.
_FRAMES_STEP, _SYMBOLS_STEP = 100, 20


def beta_binomial_prior(
    phoneme_lengths: Tensor,
    mel_lengths: Tensor,
    *,
    n_phones: int,
    n_frames: int,
    sharpness: float = 1.0,
    further_trials: int = 0,
) -> Tensor:
    """Return the log prior probability of each phone at each frame.

    arXiv:2108.10447, section 2.2: at frame t of T, counted from 1, phone k of N, counted from 0, is as likely as k
    successes in N - 1 trials under a beta-binomial distribution with alpha = s * t and beta = s * (T - t + 1).

    Args:
        phoneme_lengths: (B,) N of each utterance.
        mel_lengths: (B,) T of each utterance.
        n_phones: T_text, with padding.
        n_frames: T_mel, with padding.
        sharpness: s; the greater, the closer to the diagonal.
        further_trials: beyond N - 1; with 1, the last of N + 1 outcomes stands for no phone.

    Returns:
        (B, T_mel, T_text); anything finite on padding.
    """
    device = phoneme_lengths.device
    trials = (phoneme_lengths - 1 + further_trials).view(-1, 1, 1).float()
    k = torch.minimum(torch.arange(n_phones, device=device).float(), trials)
    t = torch.arange(1, n_frames + 1, device=device).view(1, -1, 1)
    t = torch.minimum(t, mel_lengths.view(-1, 1, 1)).float()
    alpha, beta = sharpness * t, sharpness * (mel_lengths.view(-1, 1, 1) - t + 1.0)
    # Terms of k alone or t alone are small; only the last two log-gammas are of full size.
    choose = torch.lgamma(trials + 1) - torch.lgamma(k + 1) - torch.lgamma(trials - k + 1)
    of_frame = torch.lgamma(alpha + beta) - torch.lgamma(alpha) - torch.lgamma(beta)
    of_frame = of_frame - torch.lgamma(trials + alpha + beta)
    return choose + of_frame + torch.lgamma(k + alpha) + torch.lgamma(trials - k + beta)


def transposed_prior(n_phones: int, n_frames: int) -> Tensor:
    """Return the (T_mel, T_text) prior of NVIDIA's loader: a distribution over frames for each symbol.

    Computed for lengths rounded to hundreds of frames and twenties of symbols, and stretched linearly.
    """
    frames = max(_FRAMES_STEP * round((n_frames + 1) / _FRAMES_STEP), _FRAMES_STEP)
    phones = max(_SYMBOLS_STEP * round((n_phones + 1) / _SYMBOLS_STEP), _SYMBOLS_STEP)
    lengths = torch.tensor([[frames], [phones]])
    rounded = beta_binomial_prior(*lengths, n_phones=frames, n_frames=phones, further_trials=1).exp()
    size = (n_frames, n_phones)
    prior = F.interpolate(rounded.transpose(1, 2).unsqueeze(1), size, mode="bilinear", align_corners=True)[0, 0]
    # Theirs leaves the last row or column at 0 where rounding puts it beyond the end.
    for axis, (before, after) in enumerate(((frames, n_frames), (phones, n_phones))):
        if after > 1 and (after - 1) * ((before - 1) / (after - 1)) > before - 1:
            prior.select(axis, -1).zero_()
    return prior
