"""Forced alignment of English by pocketsphinx and its acoustic model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder, get_model_path

from processors.alignment.intervals import Alignment, AlignmentError, Interval, without_gaps, words_without_gaps
from processors.audio.audio_file import resample, to_int16
from processors.text.arpabet import CONSONANTS, VOWELS, without_stress
from processors.text.tokens import Pronunciation, Token, Word

Variants = tuple[Pronunciation, ...]

SAMPLE_RATE = 16000
FRAME_S = 0.01
_MIN_PHONE_FRAMES = 3
_MODEL_PHONES = frozenset((*CONSONANTS, *VOWELS))

# A frame's features cover 25.6 ms around its middle, so that the model's boundaries are biased. Within speech a
# shift of 12.5 ms is right on average: against the transitions between voicing and strong fricatives in LJSpeech,
# boundaries are then off by +8 and -7 ms (MFA: +12 and 0). The best shift against MFA is 17 ms, against espeak-ng's
# exact times 8 ms. Beside silence the model starts speech late and ends it early, equally against both.
_SHIFT_IN_SPEECH_S = 0.0125
_SHIFT_INTO_SPEECH_S = -0.010
_SHIFT_INTO_SILENCE_S = 0.026

# Probability of a pause between two words. The model's default 0.005 misses audible ones; above 0.5 it finds pauses
# in the closures of stops.
_SILENCE_PROBABILITY = 0.1

# A second pass keeps every state for every frame: 100 MB in a minute, 1.4 GB in four.
MAX_S = 120.0

# Speech with its own words scored above -5.4 in all tests: noise at 0 dB, echo, pitch shifted by 1.4, robotic voices.
# With the words of another sentence of the same length, six clips in ten score below this.
_MIN_SCORE = -6.0

# pocketsphinx counts scores in units of 1024 steps of a logarithm to the base 1.0001.
_NATS_PER_SCORE = 1024 * math.log(1.0001)


@dataclass(frozen=True)
class _Attempt:
    """One search: the beam, and the quiet padding at both ends of the recording."""

    beam: float
    padding_s: float


# pocketsphinx's default beam of 1e-48 loses a quarter of espeak-ng's sentences and hastily read ones; 1e-120 loses
# none and costs no time with clear recordings. Recordings cut close to their words may still lack room for the first
# phone, hence the padding.
_ATTEMPTS = (_Attempt(beam=1e-120, padding_s=0.0), _Attempt(beam=1e-200, padding_s=0.3))


@dataclass(frozen=True)
class _Segment:
    """A phone that the decoder found: its word (counted from 0; None for silence) and its frames."""

    word: int | None
    phone: str
    start: int
    frames: int
    score: int


class PocketsphinxAligner:
    """Aligns an English text with its recording.

    Of each word's pronunciations the best match is chosen, with the lexicon's stress; between words there
    may be silence. 20 to 30 ms per second of audio on one core.

    Keeps no state between recordings: alignments do not depend on order or process.
    """

    def align(
        self, utterance_id: str, waveform: npt.NDArray[np.float32], sample_rate: int, tokens: Sequence[Token]
    ) -> Alignment:
        """Align the words and phones of a text with its recording.

        Args:
            utterance_id: named in errors.
            waveform: (T_wav,) in [-1, 1).
            sample_rate: its samples per second.
            tokens: the words, with pronunciations in ARPAbet; pauses are ignored.

        Returns:
            The alignment; its score is the mean log-likelihood of a spoken frame, in nats below that
            of the best of all phones: -1 to -2 for clear speech, below -3 if other words are spoken.

        Raises:
            AlignmentError: the recording is too short or too long, or its words are not found in it.
        """
        words = [token for token in tokens if isinstance(token, Word)]
        pronunciations = [_require_known(word, utterance_id) for word in words]
        duration_s = len(waveform) / sample_rate
        _check_duration(utterance_id, duration_s, pronunciations)
        samples = to_int16(resample(waveform, sample_rate, SAMPLE_RATE))
        for attempt in _ATTEMPTS:
            segments = _segments(_padded(samples, attempt.padding_s), pronunciations, attempt.beam)
            if segments and _score(segments) > _MIN_SCORE:
                return _alignment(segments, [word.text for word in words], attempt.padding_s, duration_s)
        raise AlignmentError(
            f"{utterance_id}: cannot find its {len(words)} words in {duration_s:.2f} s of audio; "
            "check that text and recording belong together"
        )


def _check_duration(utterance_id: str, duration_s: float, words: Sequence[Variants]) -> None:
    fewest_phones = sum(min(map(len, variants)) for variants in words)
    if not words or fewest_phones * _MIN_PHONE_FRAMES * FRAME_S > duration_s:
        raise AlignmentError(
            f"{utterance_id}: {duration_s:.2f} s of audio for {len(words)} words of {fewest_phones} phones; "
            "check that text and recording belong together"
        )
    if duration_s > MAX_S:
        raise AlignmentError(
            f"{utterance_id}: lasts {duration_s:.0f} s, and pocketsphinx aligns {MAX_S:.0f} s at most; "
            "cut it into sentences"
        )


def _segments(samples: npt.NDArray[np.int16], words: Sequence[Variants], beam: float) -> list[_Segment]:
    """Return the phones, with stress, in spoken order; none if the words cannot be found.

    Args:
        samples: (T_wav,) at 16 kHz.
        words: every pronunciation of each word.
        beam: share of the best path's probability below which a path is pruned.
    """
    # A new decoder each time, 8 ms: one that has decoded another recording shifts some boundaries by a frame. Without
    # best-path search, which finds no path through the lattice of one utterance in five.
    decoder = Decoder(
        hmm=get_model_path("en-us/en-us"),
        lm=None,
        dict=None,
        bestpath=False,
        beam=beam,
        pbeam=beam,
        wbeam=beam,
        silprob=_SILENCE_PROBABILITY,
        loglevel="FATAL",
    )
    text, pronunciations = _add_words(decoder, words)
    audio = samples.tobytes()
    try:
        decoder.set_align_text(text)
        decode(decoder, audio)
        found = [segment.word for segment in decoder.seg() or () if segment.word in pronunciations]
        if len(found) != len(words):  # the search ended before the last word
            return []
        decoder.set_alignment()  # a second pass, for the phones within the words found
        decode(decoder, audio)
    except RuntimeError:  # raised by pocketsphinx if nothing is found
        return []
    segments = list(_found_segments(decoder, pronunciations))
    return segments if all(segment.frames > 0 for segment in segments) else []


def _add_words(decoder: Decoder, words: Sequence[Variants]) -> tuple[str, dict[str, Pronunciation]]:
    """Add words to a decoder; return their names in it as a text, and the pronunciation of each name."""
    names: dict[Variants, str] = {}
    pronunciations: dict[str, Pronunciation] = {}
    for variants in words:
        if variants in names:
            continue
        name = names[variants] = f"word{len(names)}"
        for variant, sound, phones in dictionary_entries(name, variants):
            decoder.add_word(variant, sound, update=False)
            pronunciations[variant] = phones
    return " ".join(names[variants] for variants in words), pronunciations


def decode(decoder: Decoder, audio: bytes) -> None:
    """Decode a whole recording, 16-bit samples at `SAMPLE_RATE`."""
    decoder.start_utt()
    decoder.process_raw(audio, full_utt=True)
    decoder.end_utt()


def _found_segments(decoder: Decoder, pronunciations: Mapping[str, Pronunciation]) -> Iterator[_Segment]:
    words_so_far = 0
    for entry in decoder.get_alignment() or ():
        phones = pronunciations.get(entry.name)  # None for silence
        for position, phone in enumerate(entry):
            word, label = (None, "") if phones is None else (words_so_far, phones[position])
            yield _Segment(word, label, phone.start, phone.duration, phone.score)
        words_so_far += phones is not None


def known_pronunciations(word: Word) -> Variants:
    """Return the pronunciations of a word that the acoustic model has all phones of."""
    return tuple(
        phones for phones in word.pronunciations if phones and _MODEL_PHONES.issuperset(map(without_stress, phones))
    )


def dictionary_entries(name: str, variants: Variants) -> Iterator[tuple[str, str, Pronunciation]]:
    """Yield each pronunciation of a word under its name in a dictionary, as sounds, and with stress.

    Of two that differ in stress only, the first is kept.
    """
    by_sound: dict[str, Pronunciation] = {}
    for phones in variants:
        by_sound.setdefault(" ".join(map(without_stress, phones)), phones)
    for number, (sound, phones) in enumerate(by_sound.items(), start=1):
        yield (name if number == 1 else f"{name}({number})"), sound, phones


def _require_known(word: Word, utterance_id: str) -> Variants:
    known = known_pronunciations(word)
    if not known:
        raise AlignmentError(
            f"{utterance_id}: {word.text!r} is pronounced {' '.join(word.pronunciations[0])!r}, but pocketsphinx "
            "has the phones of English in ARPAbet only; provide TextGrids, or choose another alignment"
        )
    return known


def _padded(samples: npt.NDArray[np.int16], padding_s: float) -> npt.NDArray[np.int16]:
    # Very faint noise: the model was not trained on digital silence.
    quiet = np.random.default_rng(0).integers(-3, 4, round(padding_s * SAMPLE_RATE), dtype=np.int16)
    return np.concatenate([quiet, samples, quiet])


def _alignment(segments: Sequence[_Segment], words: Sequence[str], padding_s: float, duration_s: float) -> Alignment:
    """Convert frames to seconds of the recording without its padding, and correct the model's biased boundaries."""
    starts_s = [0.0]
    for before, segment in pairwise(segments):
        if before.word is None:
            shift_s = _SHIFT_INTO_SPEECH_S
        else:
            shift_s = _SHIFT_INTO_SILENCE_S if segment.word is None else _SHIFT_IN_SPEECH_S
        starts_s.append(min(max(segment.start * FRAME_S + shift_s - padding_s, starts_s[-1]), duration_s))
    phones: list[Interval] = []
    spans: dict[int, tuple[float, float]] = {}
    for segment, start_s, end_s in zip(segments, starts_s, [*starts_s[1:], duration_s], strict=True):
        if segment.word is None or end_s <= start_s:
            continue
        phones.append(Interval(start_s, end_s, segment.phone))
        spans[segment.word] = (spans.get(segment.word, (start_s,))[0], end_s)
    return Alignment(
        words=words_without_gaps(
            (Interval(start, end, words[word]) for word, (start, end) in spans.items()), duration_s
        ),
        phones=without_gaps(phones, duration_s),
        score=_score(segments),
    )


def _score(segments: Sequence[_Segment]) -> float:
    spoken = [segment for segment in segments if segment.word is not None]
    return sum(segment.score for segment in spoken) / sum(segment.frames for segment in spoken) * _NATS_PER_SCORE
