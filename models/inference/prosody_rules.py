"""Prosody of a chunk: its durations, F0 and levels as they are asked for, in place of predicted ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contracts import Prosody
from models.inference.pitch_contours import Floats, Places
from models.inference.symbol_prosody import SymbolProsody, SynthesisError

NEPERS_PER_DB = math.log(10) / 20
"""Of a mel, the natural logarithm of magnitudes."""
_MOST_DB_FROM_RECORDING = 12.0


@dataclass(frozen=True)
class PitchScale:
    """The mean and the limits of a voice's pitch.

    Attributes:
        mean_hz: the speaker's mean F0.
        low_hz, high_hz: F0 is limited to these.
        is_interpolated: whether the model's pitch is interpolated where unvoiced; else it is the mean there.
    """

    mean_hz: float
    low_hz: float
    high_hz: float
    is_interpolated: bool


class SymbolPitch:
    """Changes the F0 of one chunk.

    Args:
        prosody: of its text.
        symbols: of its T_text symbols.
        scale: of the speaker.
    """

    def __init__(self, prosody: Prosody, symbols: SymbolProsody, scale: PitchScale) -> None:
        self._prosody, self._scale, self._n_symbols = prosody, scale, len(symbols.frames)
        self._gain, self._shift_hz = symbols.pitch_gain, symbols.pitch_shift_hz
        self._ratio, self._given_hz = symbols.pitch_ratio, symbols.f0_hz
        self._is_voiced, self._contour = symbols.is_voiced, symbols.contour
        self._pitch_contours = symbols.pitch_contours
        self._limits: Floats = np.ones(len(symbols.frames), np.float32)
        self.n_limited = 0
        if (nvidia := prosody.nvidia_pitch) is not None:
            gain = 0.0 if nvidia.flatten else (-nvidia.amplify if nvidia.invert else nvidia.amplify)
            self._gain = np.full_like(self._gain, gain)
            self._shift_hz = np.full_like(self._shift_hz, nvidia.shift_hz)

    def wanted(self, f0_hz: Floats, places: Places, frames: Places | None = None) -> Floats:
        """Return the (T,) F0 wanted of predicted F0; padding is left as it is.

        Args:
            f0_hz: (T,) predicted.
            places: (T,) the symbol of each.
            frames: (T_text,) durations, for contours; None where each value is of one frame.
        """
        is_real = places < self._n_symbols
        places = places[is_real]
        if frames is None:
            frames = np.bincount(places, minlength=self._n_symbols)
        wanted: Floats = f0_hz.copy()
        wanted[is_real] = self._changed(f0_hz[is_real], places, frames[: self._n_symbols])
        return wanted

    def _changed(self, f0_hz: Floats, places: Places, frames: Places) -> Floats:
        nvidia = self._prosody.nvidia_pitch
        if nvidia is not None:
            if nvidia.custom is None:
                return self._affine(f0_hz, places)
            made = _in_torch(nvidia.custom, self._per_symbol(f0_hz, places))
            custom: Floats = _checked(made, (1, self._n_symbols))[0].astype(np.float32)[places]
            return custom
        started = self._started(f0_hz, places)
        changed = asked = self._contoured(started, places, frames)
        if self._prosody.pitch_function is not None:
            changed = changed * self._function_ratio(changed, places)[places]
        is_voiced, is_changed = self._is_voiced[places], changed != f0_hz
        limited = np.where(is_changed, self._limited(changed), changed)
        self.n_limited += int(((limited != changed) & is_voiced).sum())
        ratios = np.where(asked > 0, limited / asked.clip(min=np.float32(1e-3)), np.float32(1))
        self._limits = self._per_symbol(ratios, places)
        return limited if self._scale.is_interpolated else np.where(is_voiced, limited, f0_hz)

    def _limited(self, f0_hz: Floats) -> Floats:
        limited: Floats = np.clip(f0_hz, np.float32(self._scale.low_hz), np.float32(self._scale.high_hz))
        return limited

    def _started(self, f0_hz: Floats, places: Places) -> Floats:
        given_hz = self._given_hz[places]
        return np.where(np.isnan(given_hz), f0_hz, given_hz)

    def _affine(self, f0_hz: Floats, places: Places) -> Floats:
        """Flatten, invert, amplify and shift F0; the same bits where nothing is asked for."""
        gain, shift_hz, ratio = self._gain[places], self._shift_hz[places], self._ratio[places]
        mean_hz = np.float32(self._scale.mean_hz)
        changed = ((f0_hz - mean_hz) * gain + mean_hz + shift_hz) * ratio
        return np.where((gain == 1) & (shift_hz == 0), f0_hz * ratio, changed)

    def _contoured(
        self, f0_hz: Floats, places: Places, frames: Places, is_voiced: npt.NDArray[np.bool_] | None = None
    ) -> Floats:
        """Change F0 as `_affine` does, with the contours between its gain and its shifts.

        Args:
            f0_hz: (T,) of symbols or frames.
            places: (T,) the symbol of each.
            frames: (T_text,) durations.
            is_voiced: (T,) what counts for means; None for that of voiced symbols.
        """
        if not self._pitch_contours:
            return self._affine(f0_hz, places)
        mean_hz = np.float32(self._scale.mean_hz)
        changed: Floats = (f0_hz - mean_hz) * self._gain[places] + mean_hz
        is_counted = self._is_voiced[places] if is_voiced is None else is_voiced
        for contour in self._pitch_contours:
            changed = contour.applied(changed, places, frames, is_counted)
        return (changed + self._shift_hz[places]) * self._ratio[places]

    def _per_symbol(self, values: Floats, places: Places) -> Floats:
        counts = np.bincount(places, minlength=self._n_symbols).clip(min=1).astype(np.float32)
        means: Floats = np.bincount(places, values.astype(np.float64), self._n_symbols).astype(np.float32) / counts
        return means

    def _function_ratio(self, f0_hz: Floats, places: Places) -> Floats:
        """Return the factor of the user's function on each symbol's F0; in unvoiced ones as between their neighbours.

        Raises:
            SynthesisError: it returns something else than finite F0 of as many symbols.
        """
        assert self._prosody.pitch_function is not None
        before = self._per_symbol(f0_hz, places).astype(np.float64)
        is_voiced = self._is_voiced & (before > 0)
        before = np.where(is_voiced, before, 0.0)
        made = _checked(self._prosody.pitch_function(before.copy()), before.shape, is_voiced)
        if not is_voiced.any():
            return np.ones(self._n_symbols, np.float32)
        ratios, at = made[is_voiced] / before[is_voiced], np.flatnonzero(is_voiced)
        ratio: Floats = np.interp(np.arange(self._n_symbols), at, ratios).astype(np.float32)
        return ratio

    def of_frames(self, base_hz: Floats, predicted_hz: Floats, wanted_hz: Floats, durations: Places) -> Floats:
        """Return the (T_mel,) F0 for a vocoder, 0 where unvoiced.

        The F0 that the vocoder finds in the unchanged mel moves within each symbol; it is changed as the symbol's is.
        What functions and limits make of a symbol's F0 becomes a factor on that of its frames.

        Args:
            base_hz: (T_mel,) the vocoder's F0, 0 where unvoiced.
            predicted_hz: (T_mel,) the acoustic model's F0 without any change.
            wanted_hz: (T_mel,) the same with the changes.
            durations: (T_text,) frames.
        """
        places = np.repeat(np.arange(self._n_symbols), durations)
        if self._pitch_contours:
            return self._contoured_frames(base_hz, places, durations)
        asked = self._affine(self._started(predicted_hz, places), places)
        own = base_hz if self._contour is None else self._contour.sampled(durations)
        is_nvidias = self._prosody.nvidia_pitch is not None
        is_counted = (asked > 0) & (self._is_voiced[places] | is_nvidias)
        factors = np.ones_like(asked)
        if is_counted.any():
            counted = wanted_hz[is_counted] / asked[is_counted]
            factors = np.interp(np.arange(len(asked)), np.flatnonzero(is_counted), counted).astype(np.float32)
        changed = self._affine(own, places) * factors
        return self._in_range(base_hz, changed)

    def _contoured_frames(self, base_hz: Floats, places: Places, durations: Places) -> Floats:
        own = base_hz if self._contour is None else self._contour.sampled(durations)
        is_voiced = self._is_voiced[places] & (base_hz > 0)
        changed = self._contoured(own, places, durations, is_voiced) * self._limits[places]
        return self._in_range(base_hz, changed)

    def _in_range(self, base_hz: Floats, changed: Floats) -> Floats:
        """Return F0 within the voice's range, 0 where unvoiced; the same bits where it is not changed."""
        is_changed = np.abs(changed - base_hz) > np.float32(1e-4) * base_hz
        limited = np.where(is_changed, self._limited(changed), base_hz)
        return np.where(base_hz > 0, limited, np.float32(0.0))


def _in_torch(custom: Callable[..., Any], of_symbols: Floats) -> Any:
    """Return what a transform of NVIDIA's, which takes tensors, makes of the F0 of symbols."""
    import torch

    return custom(torch.from_numpy(of_symbols[None].copy()), torch.tensor([len(of_symbols)]))


def _checked(
    made: object, shape: tuple[int, ...], counts: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """Return what a user's pitch function returned, as an array."""
    try:
        values = np.asarray(made, dtype=np.float64)
    except (TypeError, ValueError):
        raise SynthesisError(f"the pitch function returned {type(made).__name__}; expected F0 in Hz") from None
    if values.shape != shape:
        raise SynthesisError(
            f"the pitch function returned the shape {tuple(values.shape)}; expected {shape}, as it was called with"
        )
    counted = values if counts is None else values[counts]
    if not np.isfinite(counted).all():
        raise SynthesisError("the pitch function returned NaN or infinite F0; expected Hz for every voiced symbol")
    return values


def wanted_frames(symbols: SymbolProsody, predicted: Floats) -> Floats:
    """Return the (T_text,) durations wanted of predicted ones, fractions included; a 0 is obeyed.

    Raises:
        SynthesisError: a word has more phones than frames.
    """
    frames: Floats = np.where(np.isnan(symbols.frames), predicted * symbols.duration, symbols.frames)
    for start, stop, n_frames in symbols.stretches:
        frames[start:stop] = _stretched(frames[start:stop], symbols.frames[start:stop], n_frames)
    return frames


def sets_frames(symbols: SymbolProsody) -> bool:
    """Return whether durations are given, so that a 0 among them counts."""
    return bool(symbols.stretches) or bool(symbols.pitch_contours) or not bool(np.isnan(symbols.frames).all())


def _stretched(frames: Floats, given: Floats, n_frames: int) -> Floats:
    """Return whole frames that add up to `n_frames`, in the ratio of `frames`; given ones stay."""
    is_free = np.isnan(given)
    left = n_frames - float(given[~is_free].sum())
    n_free = int(is_free.sum())
    if left < n_free:
        raise SynthesisError(
            f"duration_ms: {n_frames} frames are too few for a word of {len(frames)} phones, {len(frames) - n_free} of "
            "which have a duration of their own"
        )
    if not n_free:
        return given
    # One frame each, and the rest in proportion; ends are rounded, so that the sum is exact.
    shares = frames[is_free].clip(min=1e-3).astype(np.float64)
    ends = np.rint(shares.cumsum() / shares.sum() * (left - n_free))
    stretched: Floats = given.copy()
    stretched[is_free] = np.diff(ends, prepend=0.0) + 1
    return stretched


def changes_levels(symbols: SymbolProsody) -> bool:
    """Return whether a chunk's level is to differ from the predicted one."""
    return bool(symbols.energy_db.any()) or not bool(np.isnan(symbols.level_db).all())


def level_changes_db(symbols: SymbolProsody, durations: Places, levels_db: Floats | None) -> Floats:
    """Return what to add to the level of each frame, (T_mel,).

    Args:
        symbols: of the chunk.
        durations: (T_text,) frames.
        levels_db: (T_mel,) level of each frame; needed where the symbols' levels are given.
    """
    db = symbols.energy_db
    if levels_db is not None and not np.isnan(symbols.level_db).all():
        db = db + _towards(symbols.level_db, levels_db, durations)
    return np.repeat(db, durations)


def _towards(wanted_db: Floats, levels_db: Floats, durations: Places) -> Floats:
    """Return what to add to each symbol's level, so that it is as far from the mean as it is to be."""
    before = np.concatenate([np.zeros(1), levels_db.astype(np.float64).cumsum()])
    stops = durations.cumsum()
    found_db = ((before[stops] - before[stops - durations]) / durations.clip(min=1)).astype(np.float32)
    is_given = ~np.isnan(wanted_db) & (durations > 0)
    if not is_given.any():
        return np.zeros_like(wanted_db)
    mean_db = found_db[is_given].mean() - wanted_db[is_given].mean()
    most = np.float32(_MOST_DB_FROM_RECORDING)
    wanted: Floats = (wanted_db + mean_db - found_db).clip(-most, most)
    wanted[~is_given] = 0.0
    return wanted
