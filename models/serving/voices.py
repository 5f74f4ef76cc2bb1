"""The voices of a server: by name, opened on first use, the least recently used closed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.bundle import VOCODER_FOLDER
from models.inference.synthesizer import Synthesizer
from utils.bundle_file import bundle_file_of, is_folder
from utils.console import info
from utils.errors import RecitalError

OPENAI_VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin"),
    *("nova", "onyx", "sage", "shimmer", "verse"),
)
"""Names that clients of OpenAI's interface ask for; the first voice answers to those that no setting gives away."""


class UnknownVoiceError(RecitalError):
    """A voice that the server does not have."""


class VoiceUnavailableError(RecitalError):
    """A voice whose files cannot be read at present."""


@dataclass(frozen=True)
class VoiceDescription:
    """A voice, for clients.

    Attributes:
        id: its name.
        aliases: its other names.
        speakers: empty for a voice of one without a name; None for a voice that is not in memory.
        languages: of its speakers; None likewise.
    """

    id: str
    aliases: list[str]
    speakers: list[str] | None
    languages: list[str] | None


@dataclass(frozen=True)
class _Opened:
    synthesizer: Synthesizer
    signature: tuple[tuple[str, int, int], ...]


class Voices:
    """The voices of a server; thread-safe.

    Files are looked at with each request: a voice that was trained on is opened again, one without files is refused
    until they are back.

    Args:
        places: what `Synthesizer.open` takes, by the voice's name; the first is the default.
        aliases: further names of voices.
        open_voice: opens a place.
        max_open: how many voices stay in memory.

    Raises:
        RecitalError: an alias names no voice, or there is no voice.
    """

    def __init__(
        self,
        places: Mapping[str, Path],
        aliases: Mapping[str, str],
        open_voice: Callable[[Path], Synthesizer],
        max_open: int = 4,
    ) -> None:
        if not places:
            raise RecitalError("no voice to serve: name one with --voice NAME=DIR")
        self._places = dict(places)
        self.default = next(iter(places))
        self._aliases = {name: self.default for name in OPENAI_VOICES if name not in places} | dict(aliases)
        for alias, name in aliases.items():
            if name not in places:
                raise RecitalError(f"alias {alias}={name}: there is no voice {name}; known: {', '.join(places)}")
        self._open_voice, self._max_open = open_voice, max_open
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = {name: threading.Lock() for name in places}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the voices, without aliases."""
        return tuple(self._places)

    @property
    def aliases(self) -> Mapping[str, str]:
        """The voice of each alias."""
        return dict(self._aliases)

    def describe(self) -> list[VoiceDescription]:
        """Return what can be said of each voice; of those not in memory, their names alone."""
        with self._lock:
            opened = {name: each.synthesizer for name, each in self._opened.items()}
        return [
            VoiceDescription(
                name,
                [alias for alias, voice in self._aliases.items() if voice == name],
                list(opened[name].speakers) if name in opened else None,
                sorted(set(opened[name].languages.values())) if name in opened else None,
            )
            for name in self._places
        ]

    @property
    def open_names(self) -> tuple[str, ...]:
        """Names of the voices in memory, the least recently used first."""
        with self._lock:
            return tuple(self._opened)

    def resolve(self, name: str) -> str:
        """Return the name of the voice that a name or an alias stands for.

        Raises:
            UnknownVoiceError: there is none; the message names those that there are.
        """
        voice = self._aliases.get(name, name)
        if voice not in self._places:
            raise UnknownVoiceError(f"voice {_shown(name)}: unknown; known: {', '.join(self._places)}")
        return voice

    def open(self, name: str) -> Synthesizer:
        """Return the voice of a name, from memory if its files have not changed.

        Raises:
            UnknownVoiceError: see `resolve`.
            VoiceUnavailableError: its files are gone or damaged.
        """
        name = self.resolve(name)
        with self._opening[name]:
            signature = _signature(self._places[name])
            with self._lock:
                opened = self._opened.get(name)
                if opened is not None and opened.signature == signature:
                    self._opened.move_to_end(name)
                    return opened.synthesizer
                self._opened.pop(name, None)
            if not signature:
                raise VoiceUnavailableError(f"voice {name} is not available at present: its files are gone")
            try:
                synthesizer = self._open_voice(self._places[name])
            except (RecitalError, OSError) as error:
                info(f"voice {name}: {error}")
                # The message of the error names places of the server, which are nobody's business.
                raise VoiceUnavailableError(
                    f"voice {name} is not available at present: its files cannot be read"
                ) from error
            with self._lock:
                self._opened[name] = _Opened(synthesizer, signature)
                while len(self._opened) > self._max_open:
                    closed, _ = self._opened.popitem(last=False)
                    info(f"voice {closed}: closed, the least recently used of more than {self._max_open}")
        return synthesizer


def voices_in(folder: Path) -> dict[str, Path]:
    """Return the places of the voices in a folder, each a folder or a bundle file of its own, by name.

    Raises:
        RecitalError: there is none.
    """
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {_name_of(place): place for place in places if is_folder(place)}
    if not found:
        raise RecitalError(f"{folder}: holds no voices; expected a folder of bundles or bundle files")
    return found


def _name_of(place: Path) -> str:
    return place.name if bundle_file_of(place) is None else place.stem


def _signature(place: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, times and sizes of the files that a voice is opened from; empty where there are none.

    What is written beside them, such as results and a training's logbook, is none of these.
    """
    if (place / "bundle").is_dir():
        place = place / "bundle"
    found = []
    for path in [place, *sorted(place.glob("*")), *sorted((place / VOCODER_FOLDER).glob("*"))]:
        try:
            stat = path.stat()
        except OSError:
            continue
        if path.is_file():
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _shown(name: str, longest: int = 60) -> str:
    return repr(name if len(name) <= longest else name[: longest - 1] + "…")
