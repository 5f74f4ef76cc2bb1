"""Recognition of English speech whose text is known, by pocketsphinx with a language model of that text alone.

As in the alignment of LibriSpeech (Panayotov et al. 2015): what is spoken otherwise than written, or not in the text,
is recognised as other words of the text, or as fewer, and so disagrees with it.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder, get_model_path

from processors.alignment.intervals import AlignmentError, Interval
from processors.alignment.pocketsphinx_aligner import (
    FRAME_S,
    SAMPLE_RATE,
    decode,
    dictionary_entries,
    known_pronunciations,
)
from processors.audio.audio_file import resample, to_int16
from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError
from processors.text.tokens import Word

_ORDER = 3
_VARIANT = re.compile(r"\(\d+\)$")
# Texts are normalised piece by piece, as a whole book in one would take its square of time.
_PIECE = re.compile(r"\S.{0,2000}?(?:[.!?]\s|$)|\S.{0,2000}", re.DOTALL)
_ENDS = ("<s>", "</s>")


class PocketsphinxReader:
    """Recognises speech by the words of a text and their order in it.

    Keeps no state between recordings.

    Args:
        language: `en`, `en-us` or the like.
        text: what is spoken, and possibly much more.

    Raises:
        AlignmentError: the text has no words.
    """

    def __init__(self, language: str, text: str) -> None:
        words = list(_words(text, EnglishFrontEnd(language)))
        if not words:
            raise AlignmentError("the text has no words that pocketsphinx could find")
        self._folder = tempfile.TemporaryDirectory(prefix="recital_")
        self._lm, self._dictionary = (Path(self._folder.name, name) for name in ("text.lm", "text.dict"))
        self._dictionary.write_text("\n".join(_dictionary(words)) + "\n", encoding="utf-8")
        self._lm.write_text(arpa([word.text for word in words]), encoding="utf-8")

    def read(self, waveform: npt.NDArray[np.float32], sample_rate: int) -> list[Interval]:
        """Return the recognised words with their times in seconds.

        Args:
            waveform: (T_wav,) in [-1, 1).
            sample_rate: in Hz.
        """
        # A new decoder each time: results of a used one depend on what it has decoded.
        decoder = Decoder(
            hmm=get_model_path("en-us/en-us"), lm=str(self._lm), dict=str(self._dictionary), loglevel="FATAL"
        )
        decode(decoder, to_int16(resample(waveform, sample_rate, SAMPLE_RATE)).tobytes())
        return [
            Interval(each.start_frame * FRAME_S, (each.end_frame + 1) * FRAME_S, _VARIANT.sub("", each.word))
            for each in decoder.seg() or ()
            if not each.word.startswith(("<", "[", "+"))
        ]


def _words(text: str, front_end: EnglishFrontEnd) -> Iterator[Word]:
    for piece in _PIECE.findall(text):
        try:
            tokens = front_end.tokens(piece)
        except TextError:  # no words, or one that cannot be pronounced: recognised as others
            continue
        for token in tokens:
            if isinstance(token, Word) and known_pronunciations(token):
                yield token


def _dictionary(words: Sequence[Word]) -> Iterator[str]:
    for word in {word.text: word for word in words}.values():
        for name, sound, _ in dictionary_entries(word.text, known_pronunciations(word)):
            yield f"{name} {sound}"


def arpa(words: Sequence[str]) -> str:
    """Return a trigram model of a text in ARPA's format, smoothed as by Witten and Bell (1991)."""
    counts = [
        Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1)) for size in range(1, _ORDER + 1)
    ]
    for name in _ENDS:
        counts[0][(name,)] = 1
    total = sum(counts[0].values())
    probabilities: list[dict[tuple[str, ...], float]] = [{gram: n / total for gram, n in counts[0].items()}]
    back_off: list[dict[tuple[str, ...], float]] = []
    for size in range(2, _ORDER + 1):
        found, weights = _smoothed(counts[size - 1], probabilities[-1])
        probabilities.append(found)
        back_off.append(weights)
    lines = ["\\data\\", *(f"ngram {size}={len(each)}" for size, each in enumerate(probabilities, start=1))]
    for size, each in enumerate(probabilities, start=1):
        lines += ["", f"\\{size}-grams:"]
        for gram, probability in each.items():
            weight = f"\t{math.log10(back_off[size - 1].get(gram, 1.0)):.4f}" if size < _ORDER else ""
            lines.append(f"{math.log10(probability):.4f}\t{' '.join(gram)}{weight}")
    return "\n".join([*lines, "", "\\end\\", ""])


def _smoothed(
    counts: Mapping[tuple[str, ...], int], lower: Mapping[tuple[str, ...], float]
) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    """Return the probability of each n-gram, and the back-off weight of each history."""
    followers: defaultdict[tuple[str, ...], dict[tuple[str, ...], int]] = defaultdict(dict)
    for gram, count in counts.items():
        followers[gram[:-1]][gram] = count
    found, weights = {}, {}
    for history, grams in followers.items():
        seen, kinds = sum(grams.values()), len(grams)
        found.update({gram: count / (seen + kinds) for gram, count in grams.items()})
        rest = 1.0 - sum(lower[gram[1:]] for gram in grams)
        weights[history] = min((kinds / (seen + kinds)) / max(rest, 1e-6), 1e6)
    return found, weights
