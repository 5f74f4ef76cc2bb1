"""Harmonic source: a band-limited pulse train that follows F0, computed frame by frame."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

UNVOICED_HZ = 150.0
"""F0 assumed before the first voiced frame; its phase is counted, its pulses are silent."""


class SourceState(NamedTuple):
    """State of a source between two stretches of frames.

    Attributes:
        held_hz: (B, 2) held F0 of the last two frames, float64.
        phase: (B,) phase at the beginning of the last frame, float64 in cycles.
    """

    held_hz: Tensor
    phase: Tensor


class HeldPhase(NamedTuple):
    """F0 without gaps, and its phase.

    Attributes:
        held_hz: (B, T_mel) float64.
        start_phase: (B, T_mel) phase at the beginning of each frame, float64 in cycles, within [0, 1).
        state: to continue with.
    """

    held_hz: Tensor
    start_phase: Tensor
    state: SourceState


class HarmonicSource:
    """Pulse trains of F0: all harmonics up to the Nyquist frequency at equal strength.

    The sum of K cosines of k times a phase, in closed form (Dirichlet kernel), scaled to the same power for every F0.
    As in HiFTNet (arXiv:2309.09493, section 2.3) the phase is the running sum of F0, here over the whole utterance:
    unvoiced frames hold the last voiced F0, so that no frame depends on later voiced ones. F0 is interpolated linearly
    between the centres of frames, so the phase within a frame depends on its own and both neighbours' F0 alone, and any
    stretch of frames can be computed from the phase at its beginning.

    Args:
        sample_rate: in Hz.
        hop_size: samples per frame.
    """

    def __init__(self, sample_rate: int, hop_size: int) -> None:
        self._sample_rate = sample_rate
        place = (torch.arange(hop_size, dtype=torch.float64) + 0.5) / hop_size - 0.5
        weights = torch.stack([(-place).clamp(min=0), 1 - place.abs(), place.clamp(min=0)])
        # (3, hop_size): cycles until the end of each sample per Hz of F0 in the frame before, in this and in the next.
        self._advance = weights.cumsum(dim=1) / sample_rate

    @property
    def frame_advance(self) -> Tensor:
        """(3,) cycles of a frame per Hz of F0 in the frame before, in this and in the next; float64."""
        return self._advance[:, -1]

    def follow(self, f0_hz: Tensor, first_phase: Tensor | float = 0.0, state: SourceState | None = None) -> HeldPhase:
        """Hold F0 through unvoiced frames, and sum it up to a phase.

        Args:
            f0_hz: (B, T_mel) in Hz, 0 where unvoiced; T_mel at least 1.
            first_phase: (B,) or a number, phase at the beginning of the first frame, in cycles.
            state: of the frames just before, which then replaces `first_phase`.
        """
        held = _hold(f0_hz.double(), before=None if state is None else state.held_hz[:, -1])
        before = held[:, :1].expand(-1, 2) if state is None else state.held_hz
        with_before = torch.cat([before, held], dim=1)
        # Of the last frame before, and of all but the last one here.
        advance = with_before.unfold(1, 3, 1) @ self._advance[:, -1].to(held.device)
        if state is None:
            advance[:, 0] = first_phase
        else:
            advance[:, 0] += state.phase
        phase = advance.cumsum(dim=1) % 1.0
        return HeldPhase(held, phase, SourceState(with_before[:, -2:], phase[:, -1]))

    def pulses(self, held_hz: Tensor, start_phase: Tensor) -> Tensor:
        """Return the pulse train of each frame.

        Args:
            held_hz: (B, T_mel), above 0 everywhere.
            start_phase: (B, T_mel) in cycles.

        Returns:
            (B, T_mel, hop_size) float32.
        """
        padded = F.pad(held_hz.float().unsqueeze(1), (1, 1), mode="replicate").squeeze(1)
        neighbours = padded.unfold(1, 3, 1)  # (B, T_mel, 3): before, here, after
        cycles = neighbours @ self._advance.to(held_hz.device, torch.float32)
        cycles += start_phase.float().unsqueeze(2)
        # Round 0, where the pulse is, float32 has digits enough for the highest harmonic.
        phase = (cycles - cycles.round()) * (2 * math.pi)
        highest_hz = ((neighbours + neighbours[:, :, 1:2]) / 2).amax(dim=2, keepdim=True)  # within the frame
        n_harmonics = (self._sample_rate / 2 / highest_hz).floor().clamp(min=1.0)
        half = torch.sin(phase / 2)
        is_peak = half.abs() < 1e-4  # where the closed form is 0 / 0
        quotient = torch.sin((n_harmonics + 0.5) * phase) / (2 * half.masked_fill(is_peak, 1.0))
        return torch.where(is_peak, n_harmonics, quotient - 0.5) * torch.rsqrt(n_harmonics)


def _hold(f0_hz: Tensor, before: Tensor | None) -> Tensor:
    """Return (B, T_mel) F0 with the last voiced value in unvoiced frames, first that of `before`, (B,)."""
    if before is None:
        before = f0_hz.new_full(f0_hz.shape[:1], UNVOICED_HZ)
    values = torch.cat([before.unsqueeze(1), f0_hz], dim=1)
    place = torch.arange(values.shape[1], device=f0_hz.device)
    is_held = values > 0
    last_voiced = (place * is_held).cummax(dim=1).values
    return values.gather(1, last_voiced)[:, 1:]
