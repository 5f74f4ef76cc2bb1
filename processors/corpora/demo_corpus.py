"""Demo corpus: sentences of this project, spoken by espeak-ng, with exact phone times."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.alignment.intervals import Alignment, Interval, without_gaps
from processors.alignment.textgrid import write_textgrid
from processors.audio.audio_file import resample, write_wav
from processors.text.arpabet import is_vowel
from processors.text.espeak import EspeakError, espeak
from utils.console import Progress
from utils.errors import RecitalError
from utils.files import read_table, write_atomically

DATASET = "demo"

_SENTENCES = Path(__file__).with_name("demo_sentences.txt")
# Usual silence at the ends of recordings.
_EDGE_SILENCE_S = 0.15

# The share of l and r in a vowel that ends with them, in the table below as well.
_CODA_SHARE = 0.4
# espeak-ng's phones of American English in ARPAbet, without stress, with each part's share of the duration.
_ARPABET = {
    name: tuple(zip(parts[::2], map(float, parts[1::2]), strict=True))
    for name, *parts in read_table(Path(__file__).with_name("demo_phones.tsv"))
}
# espeak-ng's silence between sounds is digital silence except for rounding.
_SILENT_SAMPLE = 2
# The glide between the vowels of `see it`, which in ARPAbet is part of the vowel.
_LINK = ";"
_STRESS = {"'": "1", ",": "2"}


class DemoCorpusError(RecitalError):
    """The demo corpus cannot be made."""


@dataclass(frozen=True)
class _PhoneEvent:
    """A phone event of espeak-ng: its name, with stress before it, its first sample, and its word."""

    name: str
    start: int
    word: int

    @property
    def is_pause(self) -> bool:
        return self.name.startswith("_")

    @property
    def is_vowel(self) -> bool:
        return any(is_vowel(phone) for phone, _ in _ARPABET.get(self.name.lstrip("',"), ())[:1])


@dataclass(frozen=True)
class _Speech:
    """espeak-ng's output for a text: int16 samples, phones in order, and the start of each word in the text."""

    samples: np.ndarray
    phones: tuple[_PhoneEvent, ...]
    word_begins: tuple[int, ...]


# From espeak-ng's speak_lib.h.
_CHARACTERS, _UTF8 = 1, 1
_LAST_EVENT, _WORD, _PHONE = 0, 1, 7


class _EventContent(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventContent),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def sentences() -> list[str]:
    """Return the sentences of the demo corpus: everyday ones of 4 to 10 words with every phone of American English."""
    return _SENTENCES.read_text(encoding="utf-8").splitlines()


def make_demo_corpus(folder: Path | str, *, count: int | None = None, sample_rate: int = 22050) -> int:
    """Write the demo corpus in LJSpeech's layout, with a TextGrid for each recording.

    Writes `metadata.csv`, `wavs/<id>.wav` and `TextGrid/demo/<id>.TextGrid`; `metadata.csv` last, so that an
    interrupted corpus is not mistaken for a complete one.

    Args:
        folder: created if missing; another corpus in it is never overwritten.
        count: number of sentences; all if None.
        sample_rate: of the recordings, in Hz.

    Returns:
        The number of recordings.

    Raises:
        DemoCorpusError: espeak-ng is not installed, `folder` holds another corpus, or there are fewer sentences.
    """
    folder = Path(folder)
    texts = sentences()
    if count is not None and not 1 <= count <= len(texts):
        raise DemoCorpusError(f"there are 1 to {len(texts)} sentences to choose from, not {count}")
    texts = texts[:count]
    metadata = folder / "metadata.csv"
    if metadata.exists() and not metadata.read_bytes().startswith(f"{DATASET}_0001|".encode()):
        raise DemoCorpusError(f"{metadata}: belongs to another corpus; choose another folder")
    metadata.unlink(missing_ok=True)
    lines = []
    with Progress(len(texts), "demo corpus", "sentences") as progress:
        for number, text in enumerate(texts, start=1):
            utterance_id = f"{DATASET}_{number:04d}"
            waveform, alignment = speak(text, sample_rate)
            write_wav(folder / "wavs" / f"{utterance_id}.wav", waveform, sample_rate)
            write_textgrid(folder / "TextGrid" / DATASET / f"{utterance_id}.TextGrid", alignment)
            lines.append(f"{utterance_id}|{text}\n")
            progress.advance()
    write_atomically(metadata, "".join(lines))
    return len(texts)


def speak(text: str, sample_rate: int = 22050) -> tuple[np.ndarray, Alignment]:
    """Synthesize an English text with espeak-ng, with the times of its words and phones.

    The times are espeak-ng's, exact to the sample except for two cases: the closure before a stop, which espeak-ng
    counts to the phone before it, belongs to the stop as in aligners; and if espeak-ng has one phone for two of ARPAbet
    (`AA R` in `part`, `EH L` in `bell`), the boundary between the two is at a fixed share.

    The same text varies slightly from call to call, since espeak-ng's pitch flutter continues; it is the same in each
    new process.

    Args:
        text: a sentence or several.
        sample_rate: of the waveform, in Hz; espeak-ng's own is 22050.

    Returns:
        waveform: (T_wav,) float32 in [-1, 1), with 150 ms of silence at both ends.
        alignment: words as written, in lower case; phones in ARPAbet with stress; pauses with the empty label.

    Raises:
        DemoCorpusError: espeak-ng is not installed, or finds no words in the text.
    """
    text = " ".join(text.split())
    # espeak-ng merges some pairs of words ("of the") unless there is a no-break space between them.
    text = re.sub(r"(?<=\w) (?=\w)", "\u00a0", text)
    engine = _engine()
    speech = engine.speech(text)
    phones = _phones(speech)
    if not phones:
        raise DemoCorpusError(f"{text[:60]!r}: espeak-ng finds no words in it")
    words = _words(text, speech, phones)
    edge = round(_EDGE_SILENCE_S * engine.sample_rate)
    waveform = np.pad(speech.samples.astype(np.float32) / 32768.0, edge)

    def intervals(spans: list[_Span]) -> tuple[Interval, ...]:
        timed = ((span.start + edge, span.end + edge, span.label) for span in spans)
        rate = engine.sample_rate
        return without_gaps(
            [Interval(start / rate, end / rate, label) for start, end, label in timed], len(waveform) / rate
        )

    return resample(waveform, engine.sample_rate, sample_rate), Alignment(intervals(words), intervals(phones))


@dataclass
class _Span:
    """A phone or word with its first and last sample, and the word it belongs to."""

    start: int
    end: int
    label: str
    word: int


def _phones(speech: _Speech) -> list[_Span]:
    """Return the phones in ARPAbet, without pauses."""
    starts = _starts_with_closures(speech)
    spans: list[_Span] = []
    for event, start, end in zip(speech.phones, starts, [*starts[1:], len(speech.samples)], strict=True):
        if event.is_pause or start == end:
            continue
        name = event.name.lstrip("',")
        before = spans[-1] if spans and spans[-1].end == start and spans[-1].word == event.word else None
        if name == _LINK:
            if before:
                before.end = end
        elif name in ("r", "r-") and before and before.label.startswith("ER"):
            before.end = end
        else:
            if name in ("r", "r-") and before and before.label == "R":
                # The vowel of `A@ r` was split into `AA R`, but its R is this one.
                spans.pop()
                spans[-1].end = start
            spans.extend(_arpabet(event, start, end))
    return spans


def _arpabet(event: _PhoneEvent, start: int, end: int) -> list[_Span]:
    """Convert a phone of espeak-ng to one or two of ARPAbet."""
    name = event.name.lstrip("',")
    if name not in _ARPABET:
        raise DemoCorpusError(f"espeak-ng's phone {name!r} has no ARPAbet in the demo corpus; choose another word")
    spans = []
    share_before = 0.0
    for phone, share in _ARPABET[name]:
        stress = ""
        if is_vowel(phone):
            # Only the first of two vowels carries the stress: `quiet` is AY1 AH0.
            stress = "0" if share_before else _STRESS.get(event.name[0], "0")
        border = [round(start + (end - start) * part) for part in (share_before, share_before + share)]
        spans.append(_Span(border[0], border[1], phone + stress, event.word))
        share_before += share
    return spans


def _starts_with_closures(speech: _Speech) -> list[int]:
    """Return the start of each phone; the last one ends with the recording.

    espeak-ng's events of stops are at their bursts, with the closure in the phone before; here the silence right before
    a consonant or pause belongs to it. The event of the l of `bell` is at its end, since espeak-ng synthesizes it as
    the end of the vowel.
    """
    is_sound = np.abs(speech.samples) > _SILENT_SAMPLE
    # For each sample: the end of the last sound before it.
    sound_end = np.concatenate([[0], np.maximum.accumulate(np.where(is_sound, np.arange(1, len(is_sound) + 1), 0))])
    starts: list[int] = []
    phones = speech.phones
    for index, event in enumerate(phones):
        start = event.start
        if index and not phones[index - 1].is_pause:
            before = phones[index - 1]
            end_before, start_before = int(sound_end[start]), starts[-1]
            following = phones[index + 1].start if index + 1 < len(phones) else len(is_sound)
            if event.name == "l" and before.is_vowel and before.word == event.word and sound_end[following] <= start:
                start = start_before + round((1 - _CODA_SHARE) * (end_before - start_before))
            elif not event.is_vowel and end_before > start_before:
                start = end_before
        starts.append(start)
    return starts


def _words(text: str, speech: _Speech, phones: list[_Span]) -> list[_Span]:
    """Return the words as written, in lower case; several spoken words of one written word (`1999`) are merged."""
    words: list[_Span] = []
    begins = sorted(set(speech.word_begins))
    for phone in phones:
        begin = speech.word_begins[phone.word]
        place = begins.index(begin)
        if words and words[-1].word == place:
            words[-1].end = phone.end
            continue
        written = re.split(r"\s", text[begin : begins[place + 1] if place + 1 < len(begins) else None], maxsplit=1)[0]
        label = re.sub(r"^\W+|\W+$", "", written) or written
        words.append(_Span(phone.start, phone.end, label.casefold(), place))
    return words


class _Engine:
    """espeak-ng with a callback that collects samples, phones and words."""

    def __init__(self) -> None:
        try:
            self._espeak = espeak()
            self._voice = self._espeak.voice_of("en-us")
        except EspeakError as error:
            raise DemoCorpusError(f"the demo corpus needs espeak-ng: {error}") from None
        self.sample_rate = self._espeak.sample_rate
        self._samples: list[np.ndarray] = []
        self._phones: list[_PhoneEvent] = []
        self._word_begins: list[int] = []
        # A reference is kept, since the library calls it.
        self._callback = _CALLBACK(self._collect)
        with self._espeak.speaking(self._voice) as library:
            library.espeak_SetSynthCallback.argtypes = [_CALLBACK]
            library.espeak_SetSynthCallback.restype = None
            library.espeak_SetSynthCallback(self._callback)

    def speech(self, text: str) -> _Speech:
        """Synthesize a text."""
        encoded = text.encode("utf-8")
        with self._espeak.speaking(self._voice) as library:
            self._samples, self._phones, self._word_begins = [np.zeros(0, np.int16)], [], []
            failure = library.espeak_Synth(encoded, len(encoded) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
            if failure:
                raise DemoCorpusError(f"{text[:60]!r}: espeak-ng failed (code {failure})")
            return _Speech(np.concatenate(self._samples), tuple(self._phones), tuple(self._word_begins))

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        """Collect a block of samples and its events; called by the library."""
        for event in _until_the_last(events):
            if event.type == _WORD:
                self._word_begins.append(event.text_position - 1)
            elif event.type == _PHONE:
                name = event.id.string.decode("utf-8", "replace")
                self._phones.append(_PhoneEvent(name, event.sample, max(len(self._word_begins) - 1, 0)))
        if count > 0:
            # Copied, since the library reuses its buffer.
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@functools.lru_cache(maxsize=1)
def _engine() -> _Engine:
    return _Engine()


def _until_the_last(events: ctypes._Pointer[_Event]) -> Iterator[_Event]:
    index = 0
    while events[index].type != _LAST_EVENT:
        yield events[index]
        index += 1
