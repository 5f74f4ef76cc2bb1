"""Contents of a corpus as read: utterances, and problems that exclude others."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from sys import intern

from processors.audio.audio_file import AUDIO_SUFFIXES
from processors.utterance import Utterance, is_unicode, unsafe_name_reason
from utils.errors import RecitalError


class CorpusError(RecitalError):
    """A corpus without usable recordings, or that cannot be read."""


@dataclass(frozen=True)
class Problem:
    """A line or recording that is excluded.

    Attributes:
        where: the file, with the line number if it has lines.
        utterance_id: empty if unknown.
        reason: what is wrong with it.
        is_of_text: whether only the text is missing or invalid, so that the recording is usable without text.
    """

    where: str
    utterance_id: str
    reason: str
    is_of_text: bool = False

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.utterance_id}: {self.reason}" if self.utterance_id else f"{self.where}: {self.reason}"
        )


_NO_TEXT = "the text is empty"


@dataclass(frozen=True)
class Corpus:
    """The recordings in the folder of one dataset.

    Attributes:
        utterances: in the corpus's order, with unique ids.
        problems: excluded lines and recordings.
        notes: warnings that exclude nothing.
        without_text: recordings that are excluded only for lack of a usable text.
    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    without_text: tuple[Utterance, ...] = ()

    def for_audio_only(self) -> Corpus:
        """Return the corpus for use without texts: recordings without text are appended to the utterances."""
        spoken = {utterance.id: utterance for utterance in (*self.without_text, *self.utterances)}
        others = [utterance for utterance in spoken.values() if not utterance.text]
        problems = tuple(problem for problem in self.problems if not problem.is_of_text)
        return replace(self, utterances=(*self.utterances, *others), problems=problems, without_text=())

    def require_usable(self, where: Path, dataset: str) -> None:
        """Raise a `CorpusError` if there is no usable recording."""
        if self.utterances:
            return
        found = (
            f"{len(self.problems)} are unusable, the first: {self.problems[0]}" if self.problems else "it lists none"
        )
        raise CorpusError(f"{where}: no usable recording of {dataset}: {found}")


class CorpusBuilder:
    """Collects the recordings of one dataset, and excludes unusable ones with a reason."""

    def __init__(self, dataset: str, language: str) -> None:
        self._dataset, self._language = dataset, language
        self._utterances: dict[str, Utterance] = {}
        self._without_text: dict[str, Utterance] = {}
        self._first_seen: dict[str, str] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []

    def add(
        self,
        where: str,
        utterance_id: str,
        *,
        text: str,
        audio_path: Path,
        speaker: str = "",
        language: str = "",
        duration_s: float = 0.0,
        split: str = "",
        no_text: str = "",
    ) -> None:
        """Add a recording, or the reason why it is unusable.

        `split` is the corpus's own, if it has one; `no_text` the reason for a missing text, if known.
        """
        utterance_id = unicodedata.normalize("NFC", utterance_id)
        speaker = intern(speaker or self._dataset)
        if reason := unsafe_name_reason(speaker):
            self.leave_out(where, "", f"the speaker {speaker!r} {reason}; rename it")
        elif reason := unsafe_name_reason(utterance_id):
            self.leave_out(where, "", f"the id {utterance_id!r} {reason}; rename it")
        elif not is_unicode(text):
            self.leave_out(where, utterance_id, "the text holds an incomplete character; save it as UTF-8")
        elif not is_unicode(str(audio_path)):
            self.leave_out(where, utterance_id, "the recording's path is not written in UTF-8; rename it")
        elif utterance_id in self._first_seen:
            self.leave_out(where, utterance_id, f"this id is already used by {self._first_seen[utterance_id]}")
        else:
            utterance = Utterance(
                id=utterance_id,
                dataset=self._dataset,
                speaker=speaker,
                language=language or self._language,
                text=" ".join(text.split()),
                audio_path=audio_path,
                duration_s=duration_s,
                split=split,
            )
            if utterance.text:
                self._first_seen[utterance_id] = where
                self._utterances[utterance_id] = utterance
            else:
                self._problems.append(Problem(where, utterance_id, no_text or _NO_TEXT, is_of_text=True))
                self._without_text.setdefault(utterance_id, utterance)

    def leave_out(self, where: str, utterance_id: str, reason: str) -> None:
        """Add an unusable line or recording with the reason."""
        self._problems.append(Problem(_printable(where), _printable(utterance_id), _printable(reason)))

    def note(self, message: str) -> None:
        """Add a warning that excludes no recording."""
        self._notes.append(_printable(message))

    def corpus(self, where: Path) -> Corpus:
        """Return the corpus.

        Raises:
            CorpusError: there is no usable recording, even without text.
        """
        corpus = Corpus(
            tuple(self._utterances.values()),
            tuple(self._problems),
            tuple(self._notes),
            tuple(self._without_text.values()),
        )
        if not corpus.without_text:
            corpus.require_usable(where, self._dataset)
        return corpus


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def recordings_in(folder: Path) -> dict[str, Path]:
    """Return the sound files of a folder by name without suffix; of several with one name, WAV files first."""
    ranked: dict[str, tuple[int, Path]] = {}
    for path in _visible(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            # macOS returns decomposed letters; transcripts have composed ones.
            name, candidate = unicodedata.normalize("NFC", path.stem), (AUDIO_SUFFIXES.index(suffix), path)
            ranked[name] = min(ranked.get(name, candidate), candidate)
    return {name: path for name, (_, path) in sorted(ranked.items())}


def folders_in(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder sorted by name, without hidden ones."""
    return sorted(path for path in _visible(folder.iterdir()) if path.is_dir())


def utterance_id_for(speaker: str, name: str) -> str:
    """Return the id of a recording from its file name, prefixed by the speaker, since speakers share file names."""
    if not speaker or name == speaker or name.startswith((f"{speaker}_", f"{speaker}-")):
        return name
    return f"{speaker}_{name}"


def some(names: Iterable[str], most: int = 3) -> str:
    """Return the first few names as text, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _visible(paths: Iterable[Path]) -> Iterable[Path]:
    # Copies from macOS have ._name.wav beside name.wav.
    return (path for path in paths if not path.name.startswith("."))
