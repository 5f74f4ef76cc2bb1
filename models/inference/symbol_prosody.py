"""Prosody of symbols: what is asked for of a text's words and phones, as numbers for each symbol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from models.contracts import Change, PitchContour, Prosody
from models.inference.pitch_contours import Floats, SymbolContour, symbol_contours
from processors.text.errors import TextError
from processors.text.front_end import FrontEnd
from processors.text.ipa import is_voiced
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import PAUSES, Word
from utils.errors import RecitalError

_LONGEST_PREDICTED_PAUSE_S = 0.5
"""Longer pauses are completed by quiet frames: recordings have hardly any to learn them from."""
_FIRST_SILENCE_S = 0.1
"""Silence at the beginning of a chunk, as part of a pause before it."""
_LONGEST_MS = 60_000.0
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("duration", "pitch", "energy", "pace"), (0.1, 10.0)),
    "pitch_amplify": (0.0, 10.0),
    "pitch_shift_hz": (-1000.0, 1000.0),
    "pitch_shift_semitones": (-48.0, 48.0),
    "energy_db": (-60.0, 30.0),
    "duration_ms": (1.0, _LONGEST_MS),
    "pause_before_ms": (0.0, _LONGEST_MS),
    "pause_after_ms": (0.0, _LONGEST_MS),
}
_HZ = (20.0, 2000.0)
_NAMES = {name: f"{name}_control" for name in ("duration", "pitch", "energy")}


class SynthesisError(RecitalError):
    """A text that cannot be synthesized as requested."""


@dataclass(frozen=True)
class SymbolProsody:
    """The prosody asked for of a chunk; attributes are (T_text,) unless stated.

    F0 is to become `((F0 - mean) * pitch_gain + mean + pitch_shift_hz) * pitch_ratio`.

    Attributes:
        duration: factor on predicted durations.
        frames: in place of predicted durations; NaN where those count.
        stretches: each with its first symbol, the one after its last, and the frames that they last together.
        insertions: quiet frames after a symbol, by its index; -1 for those before the first.
        pitch_gain, pitch_shift_hz, pitch_ratio: see above.
        energy: factor on the energy that the model reads.
        energy_db: added to the level.
        is_voiced: whether its pitch counts.
        f0_hz: in place of predicted F0; NaN where that counts.
        level_db: in place of the level, relative to the mean over spoken symbols; NaN where the model's counts.
        contour: F0 within the symbols in place of the vocoder's; None for the vocoder's own.
        pitch_contours: over the time of some symbols, in the order in which they apply; after `pitch_gain`.
    """

    duration: Floats
    frames: Floats
    pitch_gain: Floats
    pitch_shift_hz: Floats
    pitch_ratio: Floats
    energy: Floats
    energy_db: Floats
    is_voiced: npt.NDArray[np.bool_]
    f0_hz: Floats
    level_db: Floats
    stretches: tuple[tuple[int, int, int], ...] = ()
    insertions: dict[int, int] = field(default_factory=dict)
    contour: Contour | None = None
    pitch_contours: tuple[SymbolContour, ...] = ()


@dataclass(frozen=True)
class Contour:
    """F0 of a recording, and where in it the symbols of a chunk are spoken.

    Attributes:
        f0_hz: of all frames of the recording, interpolated where unvoiced.
        starts: (T_text,) first frames.
        n_frames: (T_text,) how many.
    """

    f0_hz: Floats
    starts: npt.NDArray[np.int64]
    n_frames: npt.NDArray[np.int64]

    def sampled(self, durations: npt.NDArray[np.integer]) -> Floats:
        """Return the F0 of symbols that last other numbers of frames, each symbol's own stretched."""
        first = np.repeat(np.cumsum(durations) - durations, durations)
        within = (np.arange(len(first)) - first + 0.5) / np.repeat(durations, durations)
        at = np.repeat(self.starts, durations) + within * np.repeat(self.n_frames, durations) - 0.5
        sampled: Floats = np.interp(at, np.arange(len(self.f0_hz)), self.f0_hz).astype(np.float32)
        return sampled


@dataclass(frozen=True)
class RecordedSymbols:
    """Given durations, and perhaps pitch and level, of the symbols of one chunk; see `SymbolProsody`."""

    frames: Floats
    f0_hz: Floats
    level_db: Floats
    contour: Contour | None = None


def require_plausible(prosody: Prosody) -> None:
    """Raise a `SynthesisError` for a number out of range, or for parts that exclude each other."""
    for change in prosody.changes:
        for name, (low, high) in _RANGES.items():
            value = getattr(change, name)
            if value is not None:
                _require_within(_NAMES.get(name, name), value, low, high)
    for pause_ms in prosody.pauses_ms.values():
        _require_within("a pause in ms", pause_ms, 0.0, _LONGEST_MS)
    for contour in prosody.contours:
        _require_plausible_contour(contour)
    _require_within("fade_out_ms", prosody.fade_out_ms, 0.0, _LONGEST_MS)
    for name in ("duration_ms", "pause_before_ms", "pause_after_ms"):
        if getattr(prosody, name) is not None:
            raise SynthesisError(f"{name}: belongs to a word; pace changes a whole text")
    if prosody.recording is not None and prosody.durations_ms:
        raise SynthesisError("durations: are given twice, by a list and by a recording or TextGrid")
    if (nvidia := prosody.nvidia_pitch) is not None:
        _require_within("pitch-transform-amplify", nvidia.amplify, -10.0, 10.0)
        _require_within("pitch-transform-shift", nvidia.shift_hz, -1000.0, 1000.0)
        if replace(prosody, nvidia_pitch=None).changes_pitch:
            raise SynthesisError("pitch-transform: NVIDIA's transforms replace all other changes of pitch; drop those")


def _require_plausible_contour(contour: PitchContour) -> None:
    if contour.mean_hz is not None:
        _require_within("mean_hz of a contour", contour.mean_hz, *_HZ)
    positions = [target.position for target in contour.targets]
    for target in contour.targets:
        _require_within("position of a contour", target.position, 0.0, 1.0)
        _require_within("semitones of a contour", target.semitones, *_RANGES["pitch_shift_semitones"])
        _require_within("shift_hz of a contour", target.shift_hz, *_RANGES["pitch_shift_hz"])
        if target.hz is not None:
            _require_within("hz of a contour", target.hz, *_HZ)
    if positions != sorted(positions):
        raise SynthesisError("a contour: its positions are not in order")


def _require_within(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SynthesisError(f"{name}: found {type(value).__name__}; expected one number")
    if not low <= value <= high:
        raise SynthesisError(f"{name}: found {value:g}; expected a number between {low:g} and {high:g}")


def symbol_prosody(
    prosody: Prosody,
    sequences: Sequence[PhoneSequence],
    recorded: Sequence[RecordedSymbols] | None = None,
    *,
    frames_per_s: float,
) -> list[SymbolProsody]:
    """Return the prosody of each chunk's symbols.

    Args:
        prosody: of the whole text, as by `on_words`.
        sequences: of its chunks.
        recorded: of each chunk, whose prosody is taken over; None for none.
        frames_per_s: of the mel.

    Raises:
        SynthesisError: a word or phone is not there.
    """
    _require_words(prosody, sequences)
    places = list(symbol_places(sequences))
    found = []
    contours = symbol_contours(prosody.contours, places)
    for index, sequence in enumerate(sequences):
        changes = [_change_at(prosody, word, phone) for word, phone in places[index]]
        made = _without_pauses(sequence, changes, None if recorded is None else recorded[index], frames_per_s)
        stretches = tuple(_stretches(prosody, places[index], frames_per_s))
        found.append(replace(made, stretches=stretches, pitch_contours=contours[index]))
    for word, pause_ms in prosody.pauses_ms.items():
        _set_pause(found, places, word, round(pause_ms / 1000 * frames_per_s), frames_per_s)
    return found


def symbol_places(sequences: Sequence[PhoneSequence]) -> Iterator[list[tuple[int, int]]]:
    """Yield for each chunk its symbols' words in the text, -1 for pauses, and places within their words."""
    first_word = 0
    for sequence in sequences:
        yield [(first_word + word, phone) if word >= 0 else (-1, 0) for word, phone in sequence.places]
        first_word += len(sequence.words)


def _require_words(prosody: Prosody, sequences: Sequence[PhoneSequence]) -> None:
    words = [word for sequence in sequences for word in sequence.words]
    for word in (*prosody.words, *(word for word, _ in prosody.phones)):
        if not 0 <= word < len(words):
            raise SynthesisError(f"prosody: changes word {word}; the text has the words 0 to {len(words) - 1}")
    for contour in prosody.contours:
        if not 0 <= contour.first_word < contour.end_word <= len(words):
            raise SynthesisError(
                f"prosody: has a contour of the words {contour.first_word} to {contour.end_word - 1}; the text has the "
                f"words 0 to {len(words) - 1}"
            )
    for word in prosody.pauses_ms:
        if not 0 <= word <= len(words):
            raise SynthesisError(f"prosody: has a pause before word {word}; the text has {len(words)} words")
    lengths: dict[int, int] = {}
    for places in symbol_places(sequences):
        for word, phone in places:
            lengths[word] = max(lengths.get(word, 0), phone + 1)
    for word, phone in prosody.phones:
        if not 0 <= phone < lengths.get(word, 0):
            raise SynthesisError(
                f"prosody: changes phone {phone} of word {word} ({words[word]}), which has the phones 0 to "
                f"{lengths.get(word, 0) - 1}"
            )


def _change_at(prosody: Prosody, word: int, phone: int) -> Change:
    change: Change = replace(prosody, duration_ms=None)
    if word in prosody.words:
        change = change.then(replace(prosody.words[word], duration_ms=None))
    if (word, phone) in prosody.phones:
        change = change.then(prosody.phones[word, phone])
    return change


def _without_pauses(
    sequence: PhoneSequence, changes: Sequence[Change], recorded: RecordedSymbols | None, frames_per_s: float
) -> SymbolProsody:
    def row(values: Iterator[float]) -> Floats:
        return np.fromiter(values, np.float32, len(changes))

    unknown = np.full(len(changes), np.nan, np.float32)
    frames = row(math.nan if each.duration_ms is None else each.duration_ms / 1000 * frames_per_s for each in changes)
    frames = np.maximum(frames.round(), 1.0)
    if recorded is not None:
        # Pace and factors change recorded durations, too; ends are rounded, so that errors do not add up.
        factors = row(each.duration / each.pace for each in changes)
        ends = np.rint(np.cumsum(recorded.frames * factors, dtype=np.float64))
        scaled = np.diff(ends, prepend=0.0).astype(np.float32)
        frames = np.where(np.isnan(frames), scaled, frames)
    return SymbolProsody(
        duration=row(each.duration / each.pace for each in changes),
        frames=frames,
        pitch_gain=row(
            0.0 if each.pitch_flatten else each.pitch_amplify * (-1 if each.pitch_invert else 1) for each in changes
        ),
        pitch_shift_hz=row(each.pitch_shift_hz for each in changes),
        pitch_ratio=row(each.pitch * 2 ** (each.pitch_shift_semitones / 12) for each in changes),
        energy=row(each.energy for each in changes),
        energy_db=row(each.energy_db for each in changes),
        is_voiced=np.array([phone not in PAUSES and is_voiced(phone) for phone in sequence.phones]),
        f0_hz=unknown if recorded is None else recorded.f0_hz,
        level_db=unknown if recorded is None else recorded.level_db,
        contour=None if recorded is None else recorded.contour,
    )


def _stretches(
    prosody: Prosody, places: Sequence[tuple[int, int]], frames_per_s: float
) -> Iterator[tuple[int, int, int]]:
    words = [word for word, _ in places]
    for word, change in prosody.words.items():
        if change.duration_ms is not None and word in words:
            start, n_phones = words.index(word), words.count(word)
            frames = max(round(change.duration_ms / 1000 * frames_per_s), 1)
            yield start, start + n_phones, frames


def _set_pause(
    found: Sequence[SymbolProsody],
    places: Sequence[Sequence[tuple[int, int]]],
    word: int,
    n_frames: int,
    frames_per_s: float,
) -> None:
    """Set the frames of the pause before a word, or after the last one, to exactly `n_frames`."""
    symbols = [(chunk, index) for chunk, of_chunk in enumerate(places) for index in range(len(of_chunk))]
    words = [places[chunk][index][0] for chunk, index in symbols]
    start = max((at + 1 for at, each in enumerate(words) if 0 <= each < word), default=0)
    stop = min((at for at, each in enumerate(words) if each >= word), default=len(words))
    gap = symbols[start:stop]
    for chunk, index in gap:
        found[chunk].frames[index] = 0.0
    if not gap:  # nothing stands for a pause there, as in a voice that reads letters
        chunk, index = symbols[start - 1] if start else (0, -1)
        found[chunk].insertions[index] = n_frames
        return
    (first_chunk, _), (last_chunk, last_index) = gap[0], gap[-1]
    if last_chunk != first_chunk:
        of_next = min(round(_FIRST_SILENCE_S * frames_per_s), n_frames // 2)
        found[last_chunk].frames[last_index] = of_next
        n_frames -= of_next
    index = max(index for chunk, index in gap if chunk == first_chunk)
    predicted = min(n_frames, round(_LONGEST_PREDICTED_PAUSE_S * frames_per_s))
    found[first_chunk].frames[index] = predicted
    if n_frames > predicted:
        found[first_chunk].insertions[index] = n_frames - predicted


def on_words(prosody: Prosody, text: str, front_end: FrontEnd) -> Prosody:
    """Return prosody with the changes of spans as those of their words, and all pauses in `pauses_ms`.

    Raises:
        SynthesisError: a span is not in the text, or holds no word.
    """
    words, pauses_ms = dict(prosody.words), dict(prosody.pauses_ms)
    for span, change in prosody.spans:
        first, last = _words_of(span, text, front_end)
        if last > first and change.duration_ms is not None:
            raise SynthesisError(f"prosody: {_shown(span)} has {last - first + 1} words; duration_ms is for one")
        inside = replace(change, pause_before_ms=None, pause_after_ms=None)
        for word in range(first, last + 1):
            words[word] = words.get(word, Change()).then(inside)
        words[first] = words[first].then(Change(pause_before_ms=change.pause_before_ms))
        words[last] = words[last].then(Change(pause_after_ms=change.pause_after_ms))
    for word, change in words.items():
        for at, pause_ms in ((word, change.pause_before_ms), (word + 1, change.pause_after_ms)):
            if pause_ms is not None:
                pauses_ms[at] = pause_ms
    return replace(prosody, words=words, pauses_ms=pauses_ms, spans=())


def _words_of(span: tuple[int, int] | str, text: str, front_end: FrontEnd) -> tuple[int, int]:
    """Return the first and the last word of a span."""
    start, stop = (text.find(span), text.find(span) + len(span)) if isinstance(span, str) else span
    if not 0 <= start < stop <= len(text):
        raise SynthesisError(f"prosody: {_shown(span)} is not in the text")
    while start and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while stop < len(text) and text[stop - 1].isalnum() and text[stop].isalnum():
        stop += 1
    first, last = (_n_words(text[:end], front_end) for end in (start, stop))
    if first == last:
        raise SynthesisError(f"prosody: {_shown(span)} holds no word")
    return first, last - 1


def _shown(span: tuple[int, int] | str) -> str:
    return f"“{span}”" if isinstance(span, str) else f"the span {span[0]} to {span[1]}"


def _n_words(text: str, front_end: FrontEnd) -> int:
    try:
        return sum(isinstance(token, Word) for token in front_end.tokens(text))
    except TextError:
        return 0
