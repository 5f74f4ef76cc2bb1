"""Vocoders as ONNX graphs: what they take beside the mel, and long mels in pieces; in numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.inference.onnx_graph import OnnxGraph

Floats = npt.NDArray[np.float32]

_CHUNK_FRAMES = 512
_UNVOICED_HZ = 150.0  # as UNVOICED_HZ in processors/audio/harmonic_source.py
# As in models/layers/frame_noise.py, whose numbers these are: SplitMix64 on unsigned integers.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_BITS = 24


class OnnxVocoder:
    """Makes waveforms from mels of any length, equal to those of the vocoder that was exported.

    Args:
        folder: holds `vocoder.onnx` and, for Lyre, `f0.onnx` and `noise.npy`.
        details: of the vocoder, from the folder's JSON.
        sample_rate: in Hz.
        threads: see `OnnxGraph`.

    Attributes:
        takes_f0: whether F0 can be given beside the mel.

    Raises:
        OnnxError: a graph is missing or damaged.
    """

    def __init__(self, folder: Path, details: Mapping[str, Any], sample_rate: int, threads: int | None = None) -> None:
        self._graph = OnnxGraph(folder / "vocoder.onnx", threads)
        self._overlap, self._hop_size = int(details["overlap_frames"]), int(details["hop_size"])
        self._sample_rate, self._details = sample_rate, details
        self.takes_f0 = bool(details["takes_f0"])
        if self.takes_f0:
            self._f0_graph = OnnxGraph(folder / "f0.onnx", threads)
            self._noise: Floats = np.load(folder / "noise.npy")

    def predict_f0(self, mel: Floats) -> Floats:
        """Return the (T_mel,) F0 in Hz that the vocoder finds in an (M, T_mel) log-mel, 0 where unvoiced."""
        found: Floats = self._f0_graph(mel=mel[None])["f0_hz"][0]
        return found

    def waveform(self, mel: Floats, f0_hz: Floats | None = None) -> Floats:
        """Return the (T_mel * hop_size,) samples of an (M, T_mel) log-mel, at (T_mel,) F0 where it is given."""
        n_frames = mel.shape[1]
        inputs: dict[str, tuple[Floats, int]] = {"mel": (mel[None], 2)}  # with the axis of frames
        if self.takes_f0:
            f0_hz = self.predict_f0(mel) if f0_hz is None else f0_hz
            held_hz, start_phase = held_phase(f0_hz, self._hop_size, self._sample_rate)
            contours: dict[str, npt.NDArray[np.floating[Any]]] = {
                "f0_hz": f0_hz,
                "held_hz": held_hz,
                "start_phase": start_phase,
            }
            for name, contour in contours.items():
                inputs[name] = (contour[None].astype(np.float32), 1)
            inputs["noise_spectra"] = (self._noise[np.arange(n_frames) % len(self._noise)][None], 1)
        elif "noise_size" in self._details:
            noise = frame_noise(n_frames, self._details["noise_size"], self._details["noise_seed"])
            inputs["noise"] = (noise[None], 2)
        pieces = []
        for start in range(0, n_frames, _CHUNK_FRAMES):
            first, stop = max(start - self._overlap, 0), min(start + _CHUNK_FRAMES, n_frames)
            last = min(stop + self._overlap, n_frames)
            within = np.arange(first, last)
            cut = {name: np.take(rows, within, axis) for name, (rows, axis) in inputs.items()}
            made = self._graph(**cut)["waveform"][0]
            pieces.append(made[(start - first) * self._hop_size : (stop - first) * self._hop_size])
        return np.concatenate(pieces)


def held_phase(f0_hz: Floats, hop_size: int, sample_rate: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Return (T_mel,) F0 held through unvoiced frames, and the phase at the beginning of each frame, in cycles.

    As `HarmonicSource.follow` does from the beginning of an utterance on.
    """
    values = np.concatenate([[_UNVOICED_HZ], f0_hz.astype(np.float64)])
    held = values[np.maximum.accumulate(np.where(values > 0, np.arange(len(values)), 0))][1:]
    with_before = np.concatenate([held[:1], held[:1], held])
    neighbours = np.stack([with_before[:-2], with_before[1:-1], with_before[2:]], axis=1)
    place = (np.arange(hop_size) + 0.5) / hop_size - 0.5
    weights = np.stack([(-place).clip(min=0), 1 - np.abs(place), place.clip(min=0)]).cumsum(axis=1)[:, -1]
    advance = neighbours @ (weights / sample_rate)
    advance[0] = 0.0
    return held, advance.cumsum() % 1.0


def frame_noise(n_frames: int, channels: int, seed: int) -> Floats:
    """Return the (channels, n_frames) noise of the first frames; that of `models.layers.frame_noise`."""
    pairs = np.arange((channels + 1) // 2, dtype=np.uint64)[:, None]
    frames = np.arange(n_frames, dtype=np.uint64)
    first = np.array([seed * (int(_FACTORS[0]) - 2**64) % 2**62], np.uint64)
    state = _mixed(_mixed(first)) + frames * _STEP
    state = _mixed(_mixed(state) + (pairs + np.uint64(1)) * _STEP)
    high, low = state >> np.uint64(64 - _BITS), (state >> np.uint64(8)) & np.uint64(2**_BITS - 1)
    length = np.sqrt(np.float32(-2.0) * np.log((high.astype(np.float32) + np.float32(0.5)) / np.float32(2**_BITS)))
    angle = low.astype(np.float32) * np.float32(2.0 * math.pi / 2**_BITS)
    return np.concatenate([length * np.cos(angle), length * np.sin(angle)])[:channels]


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + _STEP
    state = (state ^ (state >> np.uint64(30))) * _FACTORS[0]
    state = (state ^ (state >> np.uint64(27))) * _FACTORS[1]
    mixed: npt.NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed
