"""Pauses of a long recording: by level, with hysteresis and a noise floor that follows the recording."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from processors.audio.audio_file import LongRecording
from processors.audio.speech_level import FRAME_S, HOP_S, QUIETEST_DB, SPEECH_OVER_NOISE_DB, frame_levels

SHORTEST_PAUSE_S = 0.1
_BLOCK_FRAMES = 3000  # 30 s
# Levels of speech and noise are those of the half minute around, so that another room or microphone is followed.
_AROUND_FRAMES, _EVERY_FRAMES = 3000, 500
_SPEECH_RANGE_DB = 35.0
_HYSTERESIS_DB = 4.0
"""Speech rises by so much above the limit at which it ends."""
# Half a minute that is so far below the recording's loud frames has no speech.
_NO_SPEECH_DB = 40.0
_CLICK_S = 0.04


class Pause(NamedTuple):
    """A span without speech, in seconds; the first and the last of a recording may be empty."""

    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """The middle, in seconds."""
        return (self.start_s + self.end_s) / 2

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


class Scanned(NamedTuple):
    """A recording read once.

    Attributes:
        sample_rate: in Hz.
        samples: T_wav.
        scale: factor that scales it to full scale.
        pauses: in order; the first begins with the recording, the last ends with it. Empty if there is no speech.
    """

    sample_rate: int
    samples: int
    scale: float
    pauses: tuple[Pause, ...]


def scan(path: Path) -> Scanned:
    """Read a recording block by block, and return its pauses.

    Raises:
        AudioError: it cannot be read to its end, or is silent.
    """
    levels, samples = [np.empty(0, np.float32)], 0
    with LongRecording(path) as recording:
        rate = recording.sample_rate
        hop = max(int(HOP_S * rate), 1)
        overlap = max(int(FRAME_S * rate), 1) - hop
        while len(block := recording.read(samples, samples + _BLOCK_FRAMES * hop + overlap)):
            of_block = frame_levels(block - block.mean(dtype=np.float64), rate)[:_BLOCK_FRAMES]
            levels.append(of_block.astype(np.float32))
            samples += min(len(block), _BLOCK_FRAMES * hop)
            if len(block) < _BLOCK_FRAMES * hop + overlap:
                samples += max(len(block) - _BLOCK_FRAMES * hop, 0)
                break
        recording.require_audible()
        return Scanned(rate, samples, recording.scale, pauses_of(np.concatenate(levels), hop / rate, samples / rate))


def pauses_of(levels: npt.NDArray[np.float32], hop_s: float, end_s: float) -> tuple[Pause, ...]:
    """Return the pauses of a recording by the levels of its frames.

    Args:
        levels: (T,) in dBFS.
        hop_s: from one frame to the next.
        end_s: end of the recording.
    """
    runs = _speech_runs(levels, hop_s)
    if not runs:
        return ()
    spans = [(first * hop_s, min((last - 1) * hop_s + FRAME_S, end_s)) for first, last in runs]
    found = [Pause(end, start) for (_, end), (start, _) in pairwise(spans) if start - end >= SHORTEST_PAUSE_S]
    return (Pause(0.0, spans[0][0]), *found, Pause(spans[-1][1], end_s))


def _speech_runs(levels: npt.NDArray[np.float32], hop_s: float) -> list[tuple[int, int]]:
    """Return first and end frame of each stretch of speech."""
    if not len(levels):
        return []
    limits = _limits(levels)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], levels > limits, [False]]).astype(np.int8)))
    risen = levels > limits + _HYSTERESIS_DB
    return [
        (int(first), int(end))
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if risen[first:end].any() and (end - first) * hop_s > _CLICK_S
    ]


def _limits(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the level of each frame above which it is speech."""
    loudest = float(np.percentile(levels, 95))
    centres = np.arange(0, len(levels) + _EVERY_FRAMES, _EVERY_FRAMES)
    limits = []
    for centre in centres:
        around = levels[max(centre - _AROUND_FRAMES // 2, 0) : centre + _AROUND_FRAMES // 2]
        quiet, loud = np.percentile(around, (10, 90)) if len(around) else (QUIETEST_DB, loudest)
        loud = max(loud, loudest - _NO_SPEECH_DB)
        limits.append(max(loud - _SPEECH_RANGE_DB, min(quiet + SPEECH_OVER_NOISE_DB, loud - SPEECH_OVER_NOISE_DB)))
    return np.asarray(np.interp(np.arange(len(levels)), centres, limits), dtype=np.float32)


def windows(pauses: Sequence[Pause], longest_s: float) -> list[tuple[float, float]]:
    """Return spans that hold all speech, each to be recognised at once: cut at long pauses where there are some.

    Args:
        pauses: of the recording.
        longest_s: of a span; where no pause is near enough, it is cut in speech.
    """
    found = []
    start = pauses[0].middle_s
    end_s = pauses[-1].middle_s
    while end_s - start > 1e-6:
        near = [each for each in pauses if start + longest_s / 2 < each.middle_s <= start + longest_s]
        if end_s - start <= longest_s:
            stop = end_s
        elif near:
            stop = max(near, key=lambda each: each.duration_s).middle_s
        else:
            earlier = [each.middle_s for each in pauses if start < each.middle_s <= start + longest_s]
            stop = max(earlier, default=start + longest_s)
        found.append((start, stop))
        start = stop
    return found
