"""Given durations: those of a list, or the prosody of a recording of the same words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contracts import RecordedProsody
from models.inference.pitch_contours import Floats
from models.inference.symbol_prosody import Contour, RecordedSymbols, SynthesisError
from processors.alignment.durations import durations_from_times
from processors.alignment.intervals import Alignment
from processors.alignment.pauses_from_alignment import phones_with_pauses
from processors.alignment.phones_of_text import with_phones_of_text
from processors.datasets.prosody import interpolate_unvoiced
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES, Pause, Token, Word

_LEAST_STRETCH, _MOST_STRETCH = 0.5, 2.0
"""Of a recording's intervals in the voice's range."""


@dataclass(frozen=True)
class VoiceRange:
    """A speaker's logarithm of F0 in Hz: mean and standard deviation."""

    mean: float
    std: float


@dataclass(frozen=True)
class TimedTokens:
    """A text as a recording has it.

    Attributes:
        tokens: words with the phones that are spoken, and pauses.
        frames: of each token's symbols.
        first_frames: of the silence before them.
    """

    tokens: tuple[Token, ...]
    frames: tuple[tuple[int, ...], ...]
    first_frames: int


def timed_tokens(
    recording: RecordedProsody, tokens: Sequence[Token], symbols: SymbolTable, *, hop_size: int, sample_rate: int
) -> TimedTokens:
    """Return a text's words and pauses with the phones and durations of a recording.

    Args:
        recording: of the same words.
        tokens: of the text.
        symbols: of the voice.
        hop_size: of the voice, in samples.
        sample_rate: of the voice, in Hz.

    Raises:
        SynthesisError: it has other words.
        AlignmentError: it has no phones.
    """
    alignment = recording.alignment
    if any(not phone.is_silence and phone.label not in symbols.symbols for phone in alignment.phones):
        alignment = with_phones_of_text(tokens, alignment)
    words = [token for token in tokens if isinstance(token, Word)]
    _require_same_words(words, alignment, recording.where)
    aligned = phones_with_pauses(tokens, alignment)
    seconds_per_frame = hop_size / sample_rate
    n_frames = round(alignment.end_s / seconds_per_frame) if recording.f0_hz is None else len(recording.f0_hz)
    durations = durations_from_times(aligned.ends_s, n_frames, hop_size, sample_rate).tolist()
    starts_of_words = [word.start_s for word in alignment.words if word.label]
    made: list[tuple[Token, list[int]]] = []
    last_word = -1
    for phone, start_s, end_s, frames in zip(
        aligned.phones[1:], aligned.starts_s[1:], aligned.ends_s[1:], durations[1:], strict=True
    ):
        if phone in PAUSES:
            made.append((Pause(phone), [frames]))
            continue
        word = max(bisect_right(starts_of_words, (start_s + end_s) / 2) - 1, 0)
        if word != last_word:
            made.append((Word(words[word].text, ((),)), []))
        token, of_token = made[-1]
        assert isinstance(token, Word)
        made[-1] = Word(token.text, ((*token.pronunciations[0], phone),)), [*of_token, frames]
        last_word = word
    if sum(isinstance(token, Word) for token, _ in made) != len(words):
        raise SynthesisError(f"{recording.where}: has words without phones; align it again")
    return TimedTokens(tuple(token for token, _ in made), tuple(tuple(frames) for _, frames in made), durations[0])


def _require_same_words(words: Sequence[Word], alignment: Alignment, where: str) -> None:
    of_text = [_key(word.text) for word in words]
    of_file = [_key(word.label) for word in alignment.words if word.label]
    if of_text != of_file:
        at = next((i for i, pair in enumerate(zip(of_text, of_file, strict=False)) if pair[0] != pair[1]), None)
        differs = f"has {len(of_file)} words, the text {len(of_text)}"
        if at is not None:
            differs = f"has “{of_file[at]}” for word {at}, the text “{of_text[at]}”"
        raise SynthesisError(f"{where}: its durations disagree with the text: it {differs}")


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def recorded_symbols(
    recording: RecordedProsody,
    timed: TimedTokens,
    chunks: Sequence[Sequence[Token]],
    sequences: Sequence[PhoneSequence],
    voice: VoiceRange,
) -> Iterator[RecordedSymbols]:
    """Yield the recording's prosody for the symbols of each chunk.

    F0 is moved to the voice's mean, and its intervals are stretched as those of the voice are wider or narrower.

    Args:
        recording: its pitch and level.
        timed: its words.
        chunks: the tokens of `timed`, split; pauses that were added last no frames.
        sequences: of the chunks.
        voice: of the speaker.
    """
    contour_hz = None if recording.f0_hz is None else _in_range(recording.f0_hz, voice)
    levels_db = recording.level_db
    at, frame = 0, timed.first_frames
    for number, (chunk, sequence) in enumerate(zip(chunks, sequences, strict=True)):
        n_start = len(sequence.phones) - sum(_n_symbols(token) for token in chunk)
        frames = [0] * n_start
        starts = [0 if number == 0 else frame] * n_start
        if number == 0 and n_start:
            frames[-1] = timed.first_frames
        for token in chunk:
            of_token = [0] * _n_symbols(token)
            if at < len(timed.tokens) and token is timed.tokens[at]:
                of_token = list(timed.frames[at])
                at += 1
            for n_frames in of_token:
                starts.append(frame)
                frames.append(n_frames)
                frame += n_frames
        counts, firsts = np.array(frames, np.int64), np.array(starts, np.int64)
        is_spoken = np.array(sequence.word_indices) >= 0
        yield RecordedSymbols(
            frames=counts.astype(np.float32),
            f0_hz=_per_symbol(contour_hz, firsts, counts),
            level_db=np.where(is_spoken, _per_symbol(levels_db, firsts, counts), np.float32(np.nan)),
            contour=None if contour_hz is None else Contour(contour_hz, firsts, counts),
        )


def listed_symbols(
    durations_ms: Sequence[tuple[str, float]], sequences: Sequence[PhoneSequence], *, frames_per_s: float
) -> Iterator[RecordedSymbols]:
    """Yield the durations of a list for the symbols of each chunk.

    Raises:
        SynthesisError: the list has other symbols than the text.
    """
    phones = [phone for sequence in sequences for phone in sequence.phones]
    listed = [phone for phone, _ in durations_ms]
    if phones != listed:
        at = next((i for i, pair in enumerate(zip(phones, listed, strict=False)) if pair[0] != pair[1]), None)
        differs = f"{len(listed)} symbols for the {len(phones)} of the text: {' '.join(phones[:12])} ..."
        if at is not None:
            differs = f"{listed[at]} as symbol {at}, the text has {phones[at]}"
        raise SynthesisError(f"durations disagree with the text: found {differs}")
    milliseconds = np.array([duration for _, duration in durations_ms], np.float64)
    if not (np.isfinite(milliseconds).all() and (milliseconds >= 0).all()):
        raise SynthesisError("durations: expected milliseconds of 0 or more for every symbol")
    ends = np.rint(np.cumsum(milliseconds) / 1000 * frames_per_s)
    frames = np.diff(ends, prepend=0.0).astype(np.float32)
    at = 0
    for sequence in sequences:
        unknown = np.full(len(sequence.phones), np.nan, np.float32)
        yield RecordedSymbols(frames[at : at + len(unknown)], unknown, unknown)
        at += len(unknown)


def _n_symbols(token: Token) -> int:
    return len(token.pronunciations[0]) if isinstance(token, Word) else 1


def _in_range(f0_hz: npt.NDArray[np.float32], voice: VoiceRange) -> Floats | None:
    is_voiced = f0_hz > 0
    if not is_voiced.any():
        return None
    log_f0 = interpolate_unvoiced(np.log(np.where(is_voiced, f0_hz, 1.0)).astype(np.float32), is_voiced)
    mean, std = log_f0[is_voiced].mean(), max(float(log_f0[is_voiced].std()), 1e-3)
    stretch = min(max(voice.std / std, _LEAST_STRETCH), _MOST_STRETCH)
    moved: Floats = np.exp((log_f0 - mean) * stretch + voice.mean).astype(np.float32)
    return moved


def _per_symbol(values: Floats | None, starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Floats:
    """Return the mean of each symbol's frames; NaN without any."""
    found = np.full(len(starts), np.nan, np.float32)
    if values is not None:
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        has_frames = counts > 0
        totals = sums[starts[has_frames] + counts[has_frames]] - sums[starts[has_frames]]
        found[has_frames] = totals / counts[has_frames]
    return found
