"""What reading a corpus gives: its utterances, and what had to be left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from processors.audio.audio_file import AUDIO_SUFFIXES
from processors.utterance import Utterance, is_unicode, unsafe_name_reason
from utils.errors import RecitalError


class CorpusError(RecitalError):
    """A corpus of which nothing can be used as it stands."""


@dataclass(frozen=True)
class Problem:
    """One line or recording that was left out.

    Attributes:
        where: the file, with the line where it has lines.
        utterance_id: as far as it is known, else empty.
        reason: what is wrong with it.
        is_of_text: whether the recording itself is fine, and of use where no text is asked for.
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
    """What was found in the folder of one dataset.

    Attributes:
        utterances: in the corpus's own order, each id once.
        problems: what was left out, each with its reason.
        notes: what else is worth telling.
        without_text: recordings that were left out only because they have no text that can be used.
    """

    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    without_text: tuple[Utterance, ...] = ()

    def for_sound_alone(self) -> Corpus:
        """Give the corpus as it is for those who ask for no texts: recordings without one follow behind the others."""
        spoken = {utterance.id: utterance for utterance in (*self.without_text, *self.utterances)}
        others = [utterance for utterance in spoken.values() if not utterance.text]
        problems = tuple(problem for problem in self.problems if not problem.is_of_text)
        return replace(self, utterances=(*self.utterances, *others), problems=problems, without_text=())

    def require_usable(self, where: Path, dataset: str) -> None:
        """Raise a `CorpusError` unless there is a recording that can be used."""
        if self.utterances:
            return
        found = (
            f"{len(self.problems)} were left out, the first being {self.problems[0]}"
            if self.problems
            else "it lists none"
        )
        raise CorpusError(f"{where}: no recording of {dataset} can be used: {found}")


class CorpusBuilder:
    """Takes the recordings of one dataset one by one and sorts out those that cannot be used."""

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
        """Take a recording, or note why it cannot be used.

        `split` is the corpus's own, where it has one; `no_text` says why there is no text, if more is known.
        """
        utterance_id = unicodedata.normalize("NFC", utterance_id)
        speaker = speaker or self._dataset
        if reason := unsafe_name_reason(speaker):
            self.leave_out(where, "", f"the speaker {speaker!r} {reason}; rename it")
        elif reason := unsafe_name_reason(utterance_id):
            self.leave_out(where, "", f"the id {utterance_id!r} {reason}; rename it")
        elif not is_unicode(text):
            self.leave_out(where, utterance_id, "the text holds half a character; write it as UTF-8")
        elif not is_unicode(str(audio_path)):
            self.leave_out(where, utterance_id, "the recording's path is not written in UTF-8; rename it")
        elif utterance_id in self._first_seen:
            self.leave_out(where, utterance_id, f"this id was already taken by {self._first_seen[utterance_id]}")
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
        """Note a line or recording that cannot be used."""
        self._problems.append(Problem(_printable(where), _printable(utterance_id), _printable(reason)))

    def note(self, message: str) -> None:
        """Note something that costs no recording."""
        self._notes.append(_printable(message))

    def corpus(self, where: Path) -> Corpus:
        """Give what was gathered.

        Raises:
            CorpusError: there is no recording that can be used, be it without its text.
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
    """Give the sound files of a folder by their names without ending, of several with one name the WAV first."""
    ranked: dict[str, tuple[int, Path]] = {}
    for path in _visible(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            # macOS hands out decomposed letters; the transcripts have composed ones.
            name, candidate = unicodedata.normalize("NFC", path.stem), (AUDIO_SUFFIXES.index(suffix), path)
            ranked[name] = min(ranked.get(name, candidate), candidate)
    return {name: path for name, (_, path) in sorted(ranked.items())}


def folders_in(folder: Path) -> list[Path]:
    """Give the folders in a folder by name, without hidden ones."""
    return sorted(path for path in _visible(folder.iterdir()) if path.is_dir())


def utterance_id_for(speaker: str, name: str) -> str:
    """Give the id of a recording that has a file name only: speakers often number their files alike."""
    if not speaker or name == speaker or name.startswith((f"{speaker}_", f"{speaker}-")):
        return name
    return f"{speaker}_{name}"


def some(names: Iterable[str], most: int = 3) -> str:
    """Give the first names of many, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def _visible(paths: Iterable[Path]) -> Iterable[Path]:
    # Copies from macOS carry ._name.wav beside name.wav.
    return (path for path in paths if not path.name.startswith("."))
