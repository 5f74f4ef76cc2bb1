"""Contours of pitch over the time of several words, as they apply to the symbols of a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contracts import PitchContour

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.integer]


@dataclass(frozen=True)
class SymbolContour:
    """The part of a contour that lies in a chunk.

    Attributes:
        contour: over all its words.
        start, stop: the first symbol in it, and the one after the last.
        begins, ends: positions in the contour of that part, from 0 to 1.
    """

    contour: PitchContour
    start: int
    stop: int
    begins: float = 0.0
    ends: float = 1.0

    def applied(self, f0_hz: Floats, places: Places, frames: Places, is_voiced: npt.NDArray[np.bool_]) -> Floats:
        """Return the F0 wanted of F0 without the contour.

        Args:
            f0_hz: (T,) in Hz, of symbols or frames.
            places: (T,) the symbol of each.
            frames: (T_text,) durations.
            is_voiced: (T,) which count for the mean over the stretch.
        """
        is_inside = (places >= self.start) & (places < self.stop)
        widths = (frames / np.bincount(places, minlength=len(frames)).clip(min=1))[places]
        widths = np.where(is_inside, widths, 0.0)
        if not widths.any():
            return f0_hz
        shares = (widths.cumsum() - widths / 2) / widths.sum()
        weights = np.where(is_voiced, widths, 0.0)
        mean_hz = float((f0_hz.astype(np.float64) * weights).sum() / weights.sum()) if weights.any() else 0.0
        changed = self._changed(f0_hz, self.begins + (self.ends - self.begins) * shares, mean_hz)
        return np.where(is_inside, changed, f0_hz)

    def _changed(self, f0_hz: Floats, positions: npt.NDArray[np.float64], mean_hz: float) -> Floats:
        targets = self.contour.targets
        if self.contour.mean_hz is not None and mean_hz > 0:
            f0_hz, mean_hz = f0_hz * np.float32(self.contour.mean_hz / mean_hz), self.contour.mean_hz

        def interpolated(values: Sequence[float]) -> Floats:
            return np.interp(positions, [each.position for each in targets], values).astype(np.float32)

        if not targets:
            return f0_hz
        if all(each.hz is None for each in targets):
            shift_hz = interpolated([each.shift_hz for each in targets])
            ratio: Floats = np.exp2(interpolated([each.semitones for each in targets]) / 12)
            return (f0_hz + shift_hz) * ratio
        wanted_hz = [
            max((mean_hz + each.shift_hz) * 2 ** (each.semitones / 12), 1.0) if each.hz is None else each.hz
            for each in targets
        ]
        wanted: Floats = np.exp(interpolated(np.log(wanted_hz).tolist()))
        return wanted


def symbol_contours(
    contours: Sequence[PitchContour], places: Sequence[Sequence[tuple[int, int]]]
) -> list[tuple[SymbolContour, ...]]:
    """Return for each chunk the contours in it.

    A contour over several chunks counts time by symbols from one to the next: durations of later ones are not known.

    Args:
        contours: of the whole text.
        places: of each chunk, see `symbol_places`.
    """
    found: list[list[SymbolContour]] = [[] for _ in places]
    for contour in contours:
        spoken = [
            [at for at, (word, _) in enumerate(each) if contour.first_word <= word < contour.end_word]
            for each in places
        ]
        ends = np.cumsum([len(each) for each in spoken]) / sum(map(len, spoken))
        for chunk, symbols in enumerate(spoken):
            if symbols:
                begins = float(ends[chunk - 1]) if chunk else 0.0
                found[chunk].append(SymbolContour(contour, symbols[0], symbols[-1] + 1, begins, float(ends[chunk])))
    return [tuple(each) for each in found]
