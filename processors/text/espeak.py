"""Bindings of espeak-ng's library, with a lock for its global state."""

from __future__ import annotations

import atexit
import ctypes
import difflib
import functools
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from processors.text.errors import TextError, UnknownLanguageError
from processors.text.mandarin import with_contours


class EspeakError(TextError):
    """espeak-ng is missing or broken."""


# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONE_EVENTS, _RETURN_ERRORS = 2, 0x0001, 0x8000
_UTF8, _IPA, _MNEMONICS = 1, 0x02, 0x00
# Voices of Sinitic languages.
_TONAL = "sit/"
_RATE, _WORDS_PER_MINUTE = 1, 175
_BY_CHARACTERS = 1
# Its queue holds some 150.
_MAX_CHANGES = 32
_SEPARATOR = "_"
# "(en)" before a word that espeak-ng treats as English, "(de)" after it.
_LANGUAGE_SWITCH = re.compile(r"\([a-z]{2,3}(?:-[a-z0-9-]+)?\)")
# "en" here is American, as in CMUdict; in espeak-ng it is British.
_MEANT = {"en": "en-us"}


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Named(NamedTuple):
    name: str
    identifier: str


class Espeak:
    """libespeak-ng, a singleton of the process: use `espeak()`.

    Safe to use from several threads, one at a time, and on both sides of a fork; a spawned process loads its own.

    Attributes:
        sample_rate: of its speech, in Hz.
        data_folder: its dictionaries and voices.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise EspeakError(
                "espeak-ng is not installed; run `sh env.sh espeak`, or in an environment of your own "
                "`pip install -r requirements/espeak.txt`"
            ) from None
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path()
            self.data_folder = Path(data)
        except (OSError, RuntimeError) as error:
            raise EspeakError(f"espeak-ng cannot be loaded ({error}); install espeakng-loader again") from error
        self._declare()
        self._lock = threading.Lock()
        self._voice, self._n_changes = "", 0
        self.sample_rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, _short_path(data).encode(), _PHONE_EVENTS | _RETURN_ERRORS
        )
        if self.sample_rate <= 0:
            raise EspeakError(f"{data}: espeak-ng finds no data there; install espeakng-loader again")
        self._voices = self._listed_voices()
        if hasattr(os, "register_at_fork"):
            # Without it, a child forked while another thread holds the lock would wait for ever.
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the supported languages."""
        return tuple(sorted(self._voices))

    def voice_of(self, language: str) -> str:
        """Return espeak-ng's identifier of the voice for a language.

        Args:
            language: such as `de`, `en-us` or `pt_BR`; `en` is American English, and regions without a voice
                (`de-AT`) fall back on the language.

        Raises:
            UnknownLanguageError: names similar ones.
        """
        code = language.strip().lower().replace("_", "-")
        code = _MEANT.get(code, code)
        primary = code.split("-")[0]
        for known in (code, _MEANT.get(primary, primary)):
            if known in self._voices:
                return self._voices[known].identifier
        raise UnknownLanguageError(f"espeak-ng does not support the language {language!r}; {self._near(code)}")

    @staticmethod
    def is_tonal(voice: str) -> bool:
        """Return whether `words` writes the tones of a voice otherwise than espeak-ng."""
        return voice.startswith(_TONAL)

    def _near(self, code: str) -> str:
        by_name = {voice.name.lower(): known for known, voice in sorted(self._voices.items(), reverse=True)}
        named = [known for name, known in by_name.items() if len(code) > 3 and code in name]
        alike = difflib.get_close_matches(code, [*self._voices, *by_name], n=6, cutoff=0.5)
        near = list(dict.fromkeys(named or [by_name.get(match, match) for match in alike]))
        if not near:
            return f"known: {', '.join(self.languages)}"
        return "similar: " + ", ".join(f"{known} ({self._voices[known].name})" for known in near[:6])

    @contextmanager
    def speaking(self, voice: str) -> Iterator[ctypes.CDLL]:
        """Lock the library, set to a voice, within the block."""
        with self._lock:
            if voice != self._voice:
                self._voice = ""
                if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                    raise EspeakError(f"espeak-ng cannot load its language {voice!r}; install espeakng-loader again")
                # Otherwise the speaking rate of the previous voice would stay.
                self._library.espeak_SetParameter(_RATE, _WORDS_PER_MINUTE, 0)
                self._voice = voice
                self._forget_changes()
            yield self._library

    def _forget_changes(self) -> None:
        """Make espeak-ng free its copies of voices that were set, which it keeps until it next synthesizes."""
        self._n_changes += 1
        if self._n_changes % _MAX_CHANGES == 0:
            self._library.espeak_Synth(b" ", 2, 0, _BY_CHARACTERS, 0, _UTF8, None, None)

    def words(self, text: str, voice: str) -> list[list[str]]:
        """Return the IPA of a text: words as espeak-ng splits them, each as the pieces that it counts as phones."""
        words = self._pieces(text, voice, _IPA)
        if self.is_tonal(voice):
            mnemonics = [piece for word in self._pieces(text, voice, _MNEMONICS) for piece in word]
            pieces = iter(with_contours([piece for word in words for piece in word], mnemonics))
            words = [list(islice(pieces, len(word))) for word in words]
        return words

    def _pieces(self, text: str, voice: str, notation: int) -> list[list[str]]:
        encoded = ctypes.c_char_p(text.replace("\0", " ").encode("utf-8", "ignore"))
        mode = notation | ord(_SEPARATOR) << 8
        clauses = []
        with self.speaking(voice) as library:
            while encoded.value is not None:
                clauses.append(library.espeak_TextToPhonemes(ctypes.byref(encoded), _UTF8, mode))
        found = _LANGUAGE_SWITCH.sub("", " ".join(clause.decode("utf-8", "ignore") for clause in clauses if clause))
        words = ([piece for piece in word.split(_SEPARATOR) if piece] for word in found.split())
        return [word for word in words if word]

    def ends_clause(self, text: str, voice: str) -> bool:
        """Return whether espeak-ng pauses within a text, as at a full stop but not at an abbreviation's."""
        encoded = ctypes.c_char_p(text.replace("\0", " ").encode("utf-8", "ignore"))
        with self.speaking(voice) as library:
            library.espeak_TextToPhonemes(ctypes.byref(encoded), _UTF8, _IPA)
            is_over = encoded.value is None
            while encoded.value is not None:
                library.espeak_TextToPhonemes(ctypes.byref(encoded), _UTF8, _IPA)
        return not is_over

    def _declare(self) -> None:
        library, number, text = self._library, ctypes.c_int, ctypes.c_char_p
        library.espeak_Initialize.argtypes = [number, number, text, number]
        library.espeak_SetVoiceByName.argtypes = [text]
        library.espeak_SetParameter.argtypes = [number, number, number]
        unsigned, pointer = ctypes.c_uint, ctypes.c_void_p
        library.espeak_Synth.argtypes = [text, ctypes.c_size_t, unsigned, number, unsigned, unsigned, pointer, pointer]
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(text), number, number]
        library.espeak_TextToPhonemes.restype = text
        library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))

    def _listed_voices(self) -> dict[str, _Named]:
        """Return the best voice of each language, by the language's code."""
        best: dict[str, tuple[int, _Named]] = {}
        voices = self._library.espeak_ListVoices(None)
        index = 0
        while voices[index]:
            voice = voices[index].contents
            named = _Named(voice.name.decode("utf-8", "replace").strip(), voice.identifier.decode())
            for priority, code in _codes_at(voice.languages):
                if code not in best or priority < best[code][0]:
                    best[code] = (priority, named)
            index += 1
        return {code: named for code, (_, named) in best.items()}


@functools.lru_cache(maxsize=1)
def _loaded() -> Espeak:
    return Espeak()


_LOADING = threading.Lock()


def espeak() -> Espeak:
    """Return the process's espeak-ng, loaded on first use.

    Raises:
        EspeakError: it is not installed, or broken.
    """
    with _LOADING:
        return _loaded()


def _codes_at(address: int) -> Iterator[tuple[int, str]]:
    """Yield the priority and code of each language of a voice: a byte and a string each, up to a zero."""
    while priority := ctypes.string_at(address, 1)[0]:
        code = ctypes.string_at(address + 1)
        yield priority, code.decode("utf-8", "replace").lower()
        address += len(code) + 2


def _short_path(data: str) -> str:
    """Return a path to espeak-ng's data that fits into its buffer of 160 bytes."""
    if len(data.encode()) < 150:
        return data
    shortcut = Path(tempfile.mkdtemp()) / "espeak-ng-data"
    atexit.register(shutil.rmtree, shortcut.parent, ignore_errors=True)
    shortcut.symlink_to(data, target_is_directory=True)
    return str(shortcut)
