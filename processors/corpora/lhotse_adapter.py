"""Adapter to lhotse's recipes, which read published corpora in their official layouts.

The recipes find texts, parts and recordings. The adapter chooses among several texts, sets official speakers and
splits, and limits the effect of a missing or damaged recording to itself.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, folders_in, some
from utils.errors import RecitalError

_MAX_NOTES = 5
SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
"""Names of splits here by those in the corpora."""
# Raised by recipes for unexpected folders.
_RECIPE_ERRORS = (AssertionError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


@dataclass(frozen=True)
class Part:
    """One official part of a corpus.

    Attributes:
        name: as in `dataset_subset`.
        split: `train`, `valid` or `test` if it is official, else empty.
        kind: another name, shared with other parts, such as `clean`.
        by_default: whether it is read if `dataset_subset` names no part.
    """

    name: str
    split: str = ""
    kind: str = ""
    by_default: bool = True


Listed = tuple[Part, Any, Any]
"""A part with lhotse's recordings and supervisions."""


@dataclass(frozen=True)
class Lack:
    """A recording without a text, or a text without a recording, hidden from lhotse's recipe.

    Attributes:
        speaker: of the recording or text.
        where: the file, with the line number if it has lines.
        id: of the utterance.
        reason: what is missing.
        audio_path: the recording, if it exists; usable without text.
        split: of its part.
    """

    speaker: str
    where: str
    id: str
    reason: str
    audio_path: Path | None = None
    split: str = ""


@dataclass
class Found:
    """Contents of a folder besides recordings with texts."""

    lacks: list[Lack] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """How the corpora of one layout are read.

    Attributes:
        looks_like: typical contents of the folder of such a corpus, for messages.
        parts: returns the parts in a folder; none if it has another layout.
        listed: yields lhotse's lists of each part; adds to `Found`.
        text: returns the text of a supervision.
        speaker: returns its speaker, empty for the dataset's only one.
        id: returns its id, from the supervision and whether several parts are read.
        has_all_lacks: whether `listed` adds each recording without text and text without recording, so that lhotse's
            warnings about them are redundant.
    """

    looks_like: str
    parts: Callable[[Path], list[Part]]
    listed: Callable[[Path, Sequence[Part], Found], Iterator[Listed]]
    text: Callable[[Any], str] = lambda supervision: supervision.text or ""
    speaker: Callable[[Part, Any], str] = lambda part, supervision: supervision.speaker or ""
    id: Callable[[Any, bool], str] = lambda supervision, several: supervision.id
    has_all_lacks: bool = False


def read(
    recipe: Recipe, layout: str, dataset: str, folder: Path, *, language: str, subset: Sequence[str] = ()
) -> Corpus:
    """Read a corpus by a recipe, without opening sound files.

    Args:
        recipe: of its layout.
        layout: its name, for messages.
        dataset: name of the corpus.
        folder: as unpacked from the corpus's archive.
        language: of the texts.
        subset: parts, kinds of parts and speakers to read; empty for the default parts.

    Raises:
        CorpusError: lhotse is not installed, the folder has another layout, or lacks a name of the subset.
    """
    _require_lhotse(layout)
    there = recipe.parts(folder)
    if not there:
        raise CorpusError(
            f"dataset_path.{dataset}: {folder}: does not look like {layout}, whose folder holds {recipe.looks_like}"
            f"{_meant(recipe, folder)}"
        )
    parts = chosen_parts(there, subset)
    listed, found = _listed(recipe, layout, folder, parts)
    builder = CorpusBuilder(dataset, language)
    speakers_asked = set(subset) - {name for part in there for name in (part.name, part.kind)}
    speakers_there = _add_all(builder, recipe, listed, found, speakers_asked)
    if unknown := sorted(speakers_asked - speakers_there):
        known = [*(part.name for part in there), *sorted({part.kind for part in there} - {""}), *sorted(speakers_there)]
        raise CorpusError(
            f"dataset_subset.{dataset}: {some(unknown)} is neither a part nor a speaker of {folder}; "
            f"known: {some(filter(None, known), most=20)}"
        )
    for note in found.notes:
        builder.note(note)
    return builder.corpus(folder)


def _listed(recipe: Recipe, layout: str, folder: Path, parts: Sequence[Part]) -> tuple[list[Listed], Found]:
    """List a folder by lhotse's recipe, whose warnings become notes."""
    logged, found = _Logged(), Found()
    try:
        with _recordings_only_listed(), logged:
            listed = list(recipe.listed(folder, parts, found))
    except _RECIPE_ERRORS as error:
        if isinstance(error, RecitalError):
            raise
        raise CorpusError(
            f"{folder}: lhotse's recipe for {layout} cannot read it ({type(error).__name__}: {error}); compare the "
            "folder with what the corpus's archive holds"
        ) from error
    if not recipe.has_all_lacks:
        found.notes += [f"{folder}: lhotse: {message}" for message in logged.messages[:_MAX_NOTES]]
    return listed, found


def _add_all(
    builder: CorpusBuilder, recipe: Recipe, listed: Sequence[Listed], found: Found, speakers: Set[str]
) -> set[str]:
    """Add the recordings of these speakers (of all if empty); return all speakers."""
    there: set[str] = set()

    def is_wanted(speaker: str) -> bool:
        there.add(speaker)
        return not speakers or speaker in speakers

    for part, recordings, supervisions in listed:
        audio_paths = {recording.id: Path(recording.sources[0].source) for recording in recordings}
        for supervision in sorted(supervisions, key=lambda supervision: supervision.id):
            if is_wanted(speaker := recipe.speaker(part, supervision)):
                audio_path = audio_paths[supervision.recording_id]
                builder.add(
                    str(audio_path),
                    recipe.id(supervision, len(listed) > 1),
                    text=recipe.text(supervision),
                    audio_path=audio_path,
                    speaker=speaker,
                    split=part.split,
                )
    for lack in found.lacks:
        if not is_wanted(lack.speaker):
            continue
        if lack.audio_path is None:
            builder.leave_out(lack.where, lack.id, lack.reason)
        else:
            builder.add(
                lack.where,
                lack.id,
                text="",
                audio_path=lack.audio_path,
                speaker=lack.speaker,
                split=lack.split,
                no_text=lack.reason,
            )
    return there


def _require_lhotse(layout: str) -> None:
    try:
        import lhotse  # noqa: F401
    except ImportError as error:
        raise CorpusError(
            f"dataset_layout: {layout} is read through lhotse, which is not installed; run `sh env.sh corpora`, or "
            "`pip install lhotse` in an environment of your own"
        ) from error


def _meant(recipe: Recipe, folder: Path) -> str:
    inner = next((inner for inner in folders_in(folder) if recipe.parts(inner)), None)
    return f"; did you mean {inner}?" if inner else ""


def chosen_parts(there: Sequence[Part], subset: Sequence[str]) -> list[Part]:
    """Return the parts that a `dataset_subset` names, by names, kinds or both; it may also name speakers."""
    names = {part.name for part in there} & set(subset)
    kinds = {part.kind for part in there if part.kind} & set(subset)
    return [
        part
        for part in there
        if (part.name in names if names else part.by_default or bool(kinds)) and (not kinds or part.kind in kinds)
    ]


@contextlib.contextmanager
def _recordings_only_listed() -> Iterator[None]:
    """Patch lhotse to list recordings without opening them or progress bars, and to find ids in constant time.

    A recipe opens every recording for its length, and fails at the first damaged one; stage 1 detects both when it
    reads them, and rejects only the damaged ones. The lengths in the lists are placeholders. lhotse 1.33 searches ids
    linearly, which takes hours if recipes do so for each of 300,000 recordings (LibriTTS).
    """
    from lhotse.audio import AudioSource, Recording, RecordingSet

    def from_file(path: Any, recording_id: Any = None, **options: Any) -> Recording:
        path = Path(path)
        id_ = path.stem if recording_id is None else recording_id(path) if callable(recording_id) else recording_id
        source = AudioSource(type="file", channels=[0], source=str(path))
        return Recording(id=id_, sources=[source], sampling_rate=16000, num_samples=16000, duration=1.0)

    def by_id(recordings: Any) -> dict[str, Any]:
        index: dict[str, Any] = recordings.__dict__.setdefault("_by_id", {})
        if len(index) != len(recordings):
            index.update((recording.id, recording) for recording in recordings)
        return index

    def found(recordings: Any, place: int | str) -> Any:
        return by_id(recordings)[place] if isinstance(place, str) else recordings.recordings[place]

    def holds(recordings: Any, other: Any) -> bool:
        return (other if isinstance(other, str) else other.id) in by_id(recordings)

    replaced = {
        (Recording, "from_file"): staticmethod(from_file),
        (RecordingSet, "__getitem__"): found,
        (RecordingSet, "__contains__"): holds,
    }
    originals = {place: place[0].__dict__[place[1]] for place in replaced}
    try:
        for (owner, name), ours in replaced.items():
            setattr(owner, name, ours)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for (owner, name), theirs in originals.items():
            setattr(owner, name, theirs)


class _Logged(logging.Handler):
    """Collects the warnings of recipes instead of printing them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> _Logged:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger().removeHandler(self)


def relocated(recordings: Any, view: Path, folder: Path) -> Any:
    """Replace the paths of recordings listed in a view of a folder by those in the folder itself."""
    for recording in recordings:
        source = recording.sources[0]
        source.source = str(folder / Path(source.source).relative_to(view))
    return recordings
