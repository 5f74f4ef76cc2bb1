"""Noise that depends on a seed, an utterance and a frame alone."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

# Constants of SplitMix64 (Steele and others, "Fast splittable pseudorandom number generators", 2014, section 4), as
# signed 64-bit integers.
_STEP = 0x9E3779B97F4A7C15 - 2**64
_FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
_BITS = 24  # all of them exact in float32


def frame_noise(frames: Tensor, channels: int, *, seed: int, utterances: Tensor | None = None) -> Tensor:
    """Return standard normal noise, the same for a frame however its utterance is cut, padded or put into batches.

    Each pair of values is the Box-Muller transform of a hash of seed, utterance, frame and channel.

    Args:
        frames: (B, T_mel) whole numbers, counted from the beginning of an utterance.
        channels: values per frame.
        seed: of all noise.
        utterances: (B,) a number for each, as by `utterance_numbers`; None for 0.

    Returns:
        (B, channels, T_mel) float32.
    """
    if utterances is None:
        utterances = torch.zeros(len(frames), dtype=torch.long, device=frames.device)
    pairs = torch.arange((channels + 1) // 2, device=frames.device)
    state = _mixed(_mixed(utterances.long() + seed * _FACTORS[0] % 2**62))[:, None, None]
    state = _mixed(state + frames.long()[:, None] * _STEP)
    state = _mixed(state + (pairs[:, None] + 1) * _STEP)  # (B, pairs, T_mel)
    high, low = _shifted(state, 64 - _BITS), _shifted(state, 8) & (2**_BITS - 1)
    length = torch.sqrt(-2.0 * torch.log((high.float() + 0.5) / 2**_BITS))
    angle = low.float() * (2.0 * math.pi / 2**_BITS)
    return torch.cat([length * angle.cos(), length * angle.sin()], dim=1)[:, :channels]


def utterance_numbers(ids: Sequence[str], device: torch.device) -> Tensor:
    """Return the (B,) checksums of utterance ids."""
    return torch.tensor([zlib.crc32(id_.encode()) for id_ in ids], device=device)


def _mixed(state: Tensor) -> Tensor:
    state = state + _STEP
    state = (state ^ _shifted(state, 30)) * _FACTORS[0]
    state = (state ^ _shifted(state, 27)) * _FACTORS[1]
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, bits: int) -> Tensor:
    """Shift to the right without regard to the sign."""
    shifted: Tensor = (state >> bits) & (2 ** (64 - bits) - 1)
    return shifted
