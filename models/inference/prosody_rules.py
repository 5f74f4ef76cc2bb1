"""Prosody of a batch: the controls of its acoustic model, and the F0 and levels of its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.contracts import AS_PREDICTED, Controls, GeneratedSpeech, Prosody
from models.inference.symbol_prosody import SymbolProsody, SynthesisError
from processors.audio.mel import MEL_FLOOR

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
        self._gain, self._shift_hz = torch.from_numpy(symbols.pitch_gain), torch.from_numpy(symbols.pitch_shift_hz)
        self._ratio, self._given_hz = torch.from_numpy(symbols.pitch_ratio), torch.from_numpy(symbols.f0_hz)
        self._is_voiced, self._contour = torch.from_numpy(symbols.is_voiced), symbols.contour
        self._pitch_contours, self._limits = symbols.pitch_contours, torch.ones(len(symbols.frames))
        self.n_limited = 0
        if (nvidia := prosody.nvidia_pitch) is not None:
            gain = 0.0 if nvidia.flatten else (-nvidia.amplify if nvidia.invert else nvidia.amplify)
            self._gain = torch.full_like(self._gain, gain)
            self._shift_hz = torch.full_like(self._shift_hz, nvidia.shift_hz)

    def wanted(self, f0_hz: Tensor, places: Tensor, frames: Tensor | None = None) -> Tensor:
        """Return the (T,) F0 wanted of predicted F0; padding is left as it is.

        Args:
            f0_hz: (T,) predicted.
            places: (T,) the symbol of each.
            frames: (T_text,) durations, for contours; None where each value is of one frame.
        """
        is_real = places < self._n_symbols
        f0_hz, padding_hz = f0_hz[is_real], f0_hz
        places = places[is_real]
        if frames is None:
            frames = torch.bincount(places, minlength=self._n_symbols)
        wanted = self._changed(f0_hz.cpu(), places.cpu(), frames[: self._n_symbols].cpu()).to(f0_hz)
        return padding_hz.masked_scatter(is_real, wanted)

    def _changed(self, f0_hz: Tensor, places: Tensor, frames: Tensor) -> Tensor:
        nvidia = self._prosody.nvidia_pitch
        if nvidia is not None:
            if nvidia.custom is None:
                return self._affine(f0_hz, places)
            of_symbols = self._per_symbol(f0_hz, places)
            made = nvidia.custom(of_symbols.unsqueeze(0).clone(), torch.tensor([self._n_symbols]))
            return _checked(made, (1, self._n_symbols))[0].to(f0_hz)[places]
        started = self._started(f0_hz, places)
        changed = asked = self._contoured(started, places, frames)
        if self._prosody.pitch_function is not None:
            changed = changed * self._function_ratio(changed, places)[places]
        is_voiced, is_changed = self._is_voiced[places], changed != f0_hz
        limited = torch.where(is_changed, changed.clamp(self._scale.low_hz, self._scale.high_hz), changed)
        self.n_limited += int(((limited != changed) & is_voiced).sum())
        self._limits = self._per_symbol(torch.where(asked > 0, limited / asked.clamp(min=1e-3), 1.0), places)
        return limited if self._scale.is_interpolated else torch.where(is_voiced, limited, f0_hz)

    def _started(self, f0_hz: Tensor, places: Tensor) -> Tensor:
        given_hz = self._given_hz[places]
        return torch.where(given_hz.isnan(), f0_hz, given_hz)

    def _affine(self, f0_hz: Tensor, places: Tensor) -> Tensor:
        """Flatten, invert, amplify and shift F0; the same bits where nothing is asked for."""
        gain, shift_hz, ratio = self._gain[places], self._shift_hz[places], self._ratio[places]
        mean_hz = self._scale.mean_hz
        changed = ((f0_hz - mean_hz) * gain + mean_hz + shift_hz) * ratio
        return torch.where((gain == 1) & (shift_hz == 0), f0_hz * ratio, changed)

    def _contoured(self, f0_hz: Tensor, places: Tensor, frames: Tensor, is_voiced: Tensor | None = None) -> Tensor:
        """Change F0 as `_affine` does, with the contours between its gain and its shifts.

        Args:
            f0_hz: (T,) of symbols or frames.
            places: (T,) the symbol of each.
            frames: (T_text,) durations.
            is_voiced: (T,) what counts for means; None for that of voiced symbols.
        """
        if not self._pitch_contours:
            return self._affine(f0_hz, places)
        mean_hz = self._scale.mean_hz
        changed = (f0_hz - mean_hz) * self._gain[places] + mean_hz
        is_counted = self._is_voiced[places] if is_voiced is None else is_voiced
        for contour in self._pitch_contours:
            changed = contour.applied(changed, places, frames, is_counted)
        return (changed + self._shift_hz[places]) * self._ratio[places]

    def _per_symbol(self, values: Tensor, places: Tensor) -> Tensor:
        counts = torch.bincount(places, minlength=self._n_symbols).clamp(min=1)
        return torch.bincount(places, values.double(), self._n_symbols).to(values) / counts

    def _function_ratio(self, f0_hz: Tensor, places: Tensor) -> Tensor:
        """Return the factor of the user's function on each symbol's F0; in unvoiced ones as between their neighbours.

        Raises:
            SynthesisError: it returns something else than finite F0 of as many symbols.
        """
        assert self._prosody.pitch_function is not None
        before = self._per_symbol(f0_hz, places).double()
        is_voiced = self._is_voiced & (before > 0)
        before = torch.where(is_voiced, before, 0.0)
        made = _checked(self._prosody.pitch_function(before.numpy().copy()), tuple(before.shape), is_voiced)
        if not is_voiced.any():
            return torch.ones(self._n_symbols)
        ratios = (made[is_voiced] / before[is_voiced]).numpy()
        at = np.flatnonzero(is_voiced.numpy())
        return torch.from_numpy(np.interp(np.arange(self._n_symbols), at, ratios)).float()

    def of_frames(self, base_hz: Tensor, predicted_hz: Tensor, wanted_hz: Tensor, durations: Tensor) -> Tensor:
        """Return the (T_mel,) F0 for a vocoder, 0 where unvoiced.

        The F0 that the vocoder finds in the unchanged mel moves within each symbol; it is changed as the symbol's is.
        What functions and limits make of a symbol's F0 becomes a factor on that of its frames.

        Args:
            base_hz: (T_mel,) the vocoder's F0, 0 where unvoiced.
            predicted_hz: (T_mel,) the acoustic model's F0 without any change.
            wanted_hz: (T_mel,) the same with the changes.
            durations: (T_text,) frames.
        """
        base, predicted, wanted = base_hz.cpu(), predicted_hz.cpu(), wanted_hz.cpu()
        places = torch.arange(self._n_symbols).repeat_interleave(durations.cpu())
        if self._pitch_contours:
            return self._contoured_frames(base, places, durations.cpu()).to(base_hz)
        asked = self._affine(self._started(predicted, places), places)
        own = base if self._contour is None else torch.from_numpy(self._contour.sampled(durations.cpu().numpy()))
        is_nvidias = self._prosody.nvidia_pitch is not None
        is_counted = (asked > 0) & (self._is_voiced[places] | is_nvidias)
        factors = torch.ones_like(asked)
        if is_counted.any():
            at = np.flatnonzero(is_counted.numpy())
            counted = (wanted / asked)[is_counted].numpy()
            factors = torch.from_numpy(np.interp(np.arange(len(asked)), at, counted)).to(asked)
        changed = self._affine(own, places) * factors
        return self._limited(base, changed).to(base_hz)

    def _contoured_frames(self, base_hz: Tensor, places: Tensor, durations: Tensor) -> Tensor:
        own = base_hz if self._contour is None else torch.from_numpy(self._contour.sampled(durations.numpy()))
        is_voiced = self._is_voiced[places] & (base_hz > 0)
        changed = self._contoured(own, places, durations, is_voiced) * self._limits[places]
        return self._limited(base_hz, changed)

    def _limited(self, base: Tensor, changed: Tensor) -> Tensor:
        """Return F0 within the voice's range, 0 where unvoiced; the same bits where it is not changed."""
        is_changed = (changed - base).abs() > 1e-4 * base
        limited = torch.where(is_changed, changed.clamp(self._scale.low_hz, self._scale.high_hz), base)
        return torch.where(base > 0, limited, 0.0)


def _checked(made: object, shape: tuple[int, ...], counts: Tensor | None = None) -> Tensor:
    """Return what a user's pitch function returned, as a tensor."""
    try:
        values = torch.as_tensor(np.asarray(made, dtype=np.float64))
    except (TypeError, ValueError):
        raise SynthesisError(f"the pitch function returned {type(made).__name__}; expected F0 in Hz") from None
    if values.shape != shape:
        raise SynthesisError(
            f"the pitch function returned the shape {tuple(values.shape)}; expected {shape}, as it was called with"
        )
    counted = values if counts is None else values[counts]
    if not counted.isfinite().all():
        raise SynthesisError("the pitch function returned NaN or infinite F0; expected Hz for every voiced symbol")
    return values


class BatchProsody:
    """The prosody of the rows of a batch.

    Args:
        prosodies: of the rows' texts.
        symbols: of the rows' symbols.
        scales: of the rows' speakers.
        device: of the controls.
    """

    def __init__(
        self,
        prosodies: Sequence[Prosody],
        symbols: Sequence[SymbolProsody],
        scales: Sequence[PitchScale],
        device: torch.device,
    ) -> None:
        self._symbols, self._device = symbols, device
        self._frames: Tensor | None = None
        self._pitches = [
            SymbolPitch(*row) if row[0].changes_pitch else None for row in zip(prosodies, symbols, scales, strict=True)
        ]

    @property
    def changes_pitch(self) -> bool:
        """Return whether a row's F0 is to differ from the predicted one."""
        return any(pitch is not None for pitch in self._pitches)

    def controls(self) -> Controls:
        """Return the controls of the network."""
        duration, energy = self._rows("duration", 1.0), self._rows("energy", 1.0)
        has_frames = any(
            each.stretches or each.pitch_contours or not np.isnan(each.frames).all() for each in self._symbols
        )
        return Controls(
            self._durations if has_frames else duration,
            self._pitch if self.changes_pitch else AS_PREDICTED.pitch,
            energy,
        )

    def _rows(self, name: str, padding: float) -> Tensor:
        rows = [torch.from_numpy(getattr(each, name)) for each in self._symbols]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding).to(self._device)

    def _durations(self, predicted: Tensor) -> Tensor:
        """Return the frames wanted of predicted ones (`models.contracts.DurationRule`)."""
        given = self._rows("frames", math.nan)
        frames = torch.where(given.isnan(), predicted * self._rows("duration", 1.0), given)
        for row, symbols in enumerate(self._symbols):
            for start, stop, n_frames in symbols.stretches:
                frames[row, start:stop] = _stretched(frames[row, start:stop], given[row, start:stop], n_frames)
        self._frames = frames.round()
        return frames

    def _pitch(self, f0_hz: Tensor, places: Tensor) -> Tensor:
        """Return the F0 wanted of predicted F0 (`models.contracts.PitchRule`)."""
        wanted = f0_hz.clone()
        for row, pitch in enumerate(self._pitches):
            if pitch is not None:
                frames = None if self._frames is None else self._frames[row]
                wanted[row] = pitch.wanted(f0_hz[row], places[row], frames)
        return wanted

    @property
    def n_limited(self) -> int:
        """How many values of F0 were limited to the voice's range."""
        return sum(pitch.n_limited for pitch in self._pitches if pitch is not None)

    def frame_f0(self, row: int, base_hz: Tensor, predicted: GeneratedSpeech, wanted: GeneratedSpeech) -> Tensor:
        """Return the (T_mel,) F0 of a row for a vocoder; see `SymbolPitch.of_frames`."""
        pitch, n_frames = self._pitches[row], len(base_hz)
        if pitch is None:
            return base_hz
        durations = wanted.durations[row, : len(self._symbols[row].frames)]
        return pitch.of_frames(base_hz, predicted.f0_hz[row, :n_frames], wanted.f0_hz[row, :n_frames], durations)


def _stretched(frames: Tensor, given: Tensor, n_frames: int) -> Tensor:
    """Return whole frames that add up to `n_frames`, in the ratio of `frames`; given ones stay."""
    is_free = given.isnan()
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
    shares = frames[is_free].clamp(min=1e-3).double()
    ends = (shares.cumsum(0) / shares.sum() * (left - n_free)).round()
    stretched = given.clone()
    stretched[is_free] = (torch.diff(ends, prepend=ends.new_zeros(1)) + 1).to(frames)
    return stretched


def with_levels(mel: Tensor, symbols: SymbolProsody, durations: npt.NDArray[np.integer]) -> Tensor:
    """Return an (M, T_mel) log-mel with the levels asked for.

    Args:
        mel: as predicted.
        symbols: of its chunk.
        durations: (T_text,) frames.
    """
    if not symbols.energy_db.any() and np.isnan(symbols.level_db).all():
        return mel
    counts = torch.from_numpy(durations).to(mel.device)
    db = torch.from_numpy(symbols.energy_db).to(mel)
    if not np.isnan(symbols.level_db).all():
        db = db + _towards(torch.from_numpy(symbols.level_db).to(mel), frame_levels_db(mel), counts)
    louder = mel + NEPERS_PER_DB * db.repeat_interleave(counts)
    return torch.maximum(louder, mel.clamp(max=math.log(MEL_FLOOR)))


def frame_levels_db(mel: Tensor) -> Tensor:
    """Return the (T_mel,) level of each frame of an (M, T_mel) log-mel."""
    return 10 * (2 * mel).exp().mean(dim=0).log10()


def _towards(wanted_db: Tensor, levels_db: Tensor, durations: Tensor) -> Tensor:
    """Return what to add to each symbol's level, so that it is as far from the mean as it is to be."""
    counts = durations.clamp(min=1)
    ends = levels_db.double().cumsum(0)
    before = torch.nn.functional.pad(ends, (1, 0))
    stops = durations.cumsum(0)
    found_db = ((before[stops] - before[stops - durations]) / counts).to(levels_db)
    is_given = ~wanted_db.isnan() & (durations > 0)
    if not is_given.any():
        return torch.zeros_like(wanted_db)
    mean_db = found_db[is_given].mean() - wanted_db[is_given].mean()
    wanted = (wanted_db + mean_db - found_db).clamp(-_MOST_DB_FROM_RECORDING, _MOST_DB_FROM_RECORDING)
    return torch.where(is_given, wanted, 0.0)
