"""Famous corpora as their authors lay them out, read by lhotse's recipes.

What lhotse knows of a corpus (which file holds the texts, which part a recording belongs to) is its recipes' affair.
Ours is what to take of it: one text of several, official speakers and splits, and that a recording that is missing or
damaged costs itself alone.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.corpora.corpus import Corpus, CorpusBuilder, CorpusError, folders_in, recordings_in, some
from processors.utterance import numbered_lines
from utils.errors import RecitalError

_MOST_NOTES = 5
_SPLITS = {"train": "train", "dev": "valid", "test": "test"}
# What recipes raise at a tree that is not as they expect it.
_RECIPE_ERRORS = (AssertionError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


@dataclass(frozen=True)
class Part:
    """One part of a corpus, as its authors cut it.

    Attributes:
        name: as `dataset_subset` names it.
        split: `train`, `valid` or `test` where the authors say so, else empty.
        kind: another name, shared with other parts, such as `clean`.
        by_default: whether it is taken where `dataset_subset` names no part.
    """

    name: str
    split: str = ""
    kind: str = ""
    by_default: bool = True


@dataclass(frozen=True)
class Lack:
    """A recording without a text, or a text without a recording, which no recipe gets to see.

    Attributes:
        speaker: whose it is; of those that `dataset_subset` leaves out nothing is told.
        where: the file, with the line where it has lines.
        id: of the utterance.
        reason: what is missing.
        audio_path: the recording, if that is there; it is of use where no text is asked for.
        split: as its part has it.
    """

    speaker: str
    where: str
    id: str
    reason: str
    audio_path: Path | None = None
    split: str = ""


@dataclass
class Found:
    """What is found besides recordings with their texts."""

    lacks: list[Lack] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """How the corpora of one layout are read.

    Attributes:
        looks_like: what lies in the folder of such a corpus, for messages.
        parts: gives the parts that lie in a folder; none means that this is no such folder.
        listed: gives what lhotse lists of some of them, by part: recordings and supervisions.
        text: gives the text of a supervision; its own unless given.
        speaker: gives its speaker, empty for the dataset's only one.
        id: gives its id, from the supervision and whether several parts are read.
        tells_lacks: whether `listed` tells of each recording without text and text without recording, so that what
            lhotse logs of them need not be shown.
    """

    looks_like: str
    parts: Callable[[Path], list[Part]]
    listed: Callable[[Path, Sequence[Part], Found], Iterator[tuple[Part, Any, Any]]]
    text: Callable[[Any], str] = lambda supervision: supervision.text or ""
    speaker: Callable[[Part, Any], str] = lambda part, supervision: supervision.speaker or ""
    id: Callable[[Any, bool], str] = lambda supervision, several: supervision.id
    tells_lacks: bool = False


def read(layout: str, dataset: str, folder: Path, *, language: str, subset: Sequence[str] = ()) -> Corpus:
    """Read a corpus of one of the layouts of `RECIPES`.

    No sound file is opened.

    Args:
        layout: a key of `RECIPES`.
        dataset: name of the corpus.
        folder: as the corpus's archive unpacks it.
        language: of the texts.
        subset: names of parts, kinds of parts and speakers to take; none for all that is taken by default.

    Raises:
        CorpusError: lhotse is not installed, the folder holds no such corpus, or not what the subset names.
    """
    recipe = RECIPES[layout]
    _require_lhotse(layout)
    there = recipe.parts(folder)
    if not there:
        raise CorpusError(
            f"dataset_path.{dataset}: {folder}: does not look like {layout}, whose folder holds {recipe.looks_like}"
            f"{_meant(recipe, folder)}"
        )
    parts = chosen_parts(there, subset)
    builder = CorpusBuilder(dataset, language)
    logged, found = _Logged(), Found()
    speakers_asked = set(subset) - {name for part in there for name in (part.name, part.kind)}
    speakers_there: set[str] = set()
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
    for part, recordings, supervisions in listed:
        audio_paths = {recording.id: Path(recording.sources[0].source) for recording in recordings}
        for supervision in sorted(supervisions, key=lambda supervision: supervision.id):
            speaker = recipe.speaker(part, supervision)
            speakers_there.add(speaker)
            if speakers_asked and speaker not in speakers_asked:
                continue
            audio_path = audio_paths[supervision.recording_id]
            builder.add(
                str(audio_path),
                recipe.id(supervision, len(parts) > 1),
                text=recipe.text(supervision),
                audio_path=audio_path,
                speaker=speaker,
                split=part.split,
            )
    for lack in found.lacks:
        speakers_there.add(lack.speaker)
        if speakers_asked and lack.speaker not in speakers_asked:
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
    if unknown := sorted(speakers_asked - speakers_there):
        known = [*(part.name for part in there), *sorted({part.kind for part in there} - {""}), *sorted(speakers_there)]
        raise CorpusError(
            f"dataset_subset.{dataset}: {some(unknown)} is no part and no speaker of {folder}; "
            f"there are {some(filter(None, known), most=20)}"
        )
    logged_notes = [f"{folder}: lhotse: {message}" for message in logged.messages[:_MOST_NOTES]]
    for note in (*found.notes, *(logged_notes if not recipe.tells_lacks else ())):
        builder.note(note)
    return builder.corpus(folder)


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
    """Give the parts that a `dataset_subset` names, by their names, their kinds or both; names of others it ignores."""
    names = {part.name for part in there} & set(subset)
    kinds = {part.kind for part in there if part.kind} & set(subset)
    return [
        part
        for part in there
        if (part.name in names if names else part.by_default or bool(kinds)) and (not kinds or part.kind in kinds)
    ]


@contextlib.contextmanager
def _recordings_only_listed() -> Iterator[None]:
    """Let recipes list recordings without opening them, without bars, and find them by id at once.

    A recipe opens every recording to learn its length, and ends at the first that is damaged; stage 1 finds both out
    where it reads them, and leaves that one out. The lengths listed meanwhile mean nothing. lhotse 1.33 looks for an id
    from the first recording to the last, which takes hours where recipes do so for each of 300,000 (LibriTTS).
    """
    from lhotse.audio import AudioSource, Recording, RecordingSet

    def from_file(path: Any, recording_id: Any = None, **options: Any) -> Recording:
        path = Path(path)
        id_ = path.stem if recording_id is None else recording_id(path) if callable(recording_id) else recording_id
        source = AudioSource(type="file", channels=[0], source=str(path))
        return Recording(id=id_, sources=[source], sampling_rate=16000, num_samples=16000, duration=1.0)

    def by_id(recordings: Any) -> dict[str, Any]:
        index = recordings.__dict__.setdefault("_by_id", {})
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
    """Takes what recipes log in place of showing it."""

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


# --- VCTK ---

_VCTK_092, _VCTK_080 = "wav48_silence_trimmed", "wav48"


def _vctk_parts(folder: Path) -> list[Part]:
    """0.92 has each sentence from two microphones, of which the second is the cleaner; the versions before have one."""
    if not (folder / "txt").is_dir():
        return []
    if (folder / _VCTK_092).is_dir():
        return [Part("mic1", by_default=False), Part("mic2")]
    return [Part("wav48")] if (folder / _VCTK_080).is_dir() else []


def _vctk(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse.recipes.vctk import prepare_vctk

    is_092 = parts[0].name != "wav48"
    audio = folder / (_VCTK_092 if is_092 else _VCTK_080)
    names = {speaker.name: recordings_in(speaker) for speaker in folders_in(audio)}
    texts = {
        speaker.name: {text.stem: text for text in sorted(speaker.glob("*.txt")) if not text.name.startswith(".")}
        for speaker in folders_in(folder / "txt")
    }
    for part in parts:
        ending = f"_{part.name}" if is_092 else ""
        with tempfile.TemporaryDirectory() as beside:
            # The recipe ends at the first text without a recording (p280 has none from the second microphone), so it
            # gets a view of the corpus in which none is missing, and of what this microphone has heard alone. Of ages
            # and accents nothing is used.
            view = Path(beside)
            (view / "speaker-info.txt").write_text("ID AGE GENDER ACCENTS REGION\n")
            for speaker in sorted({*names, *texts}):
                heard = {
                    name.removesuffix(ending): path
                    for name, path in names.get(speaker, {}).items()
                    if name.endswith(ending)
                }
                written = texts.get(speaker, {})
                for inner, files, others in ((audio.name, heard, written), ("txt", written, heard)):
                    (view / inner / speaker).mkdir(parents=True)
                    for name in files.keys() & others.keys():
                        (view / inner / speaker / files[name].name).symlink_to(files[name])
                for name in sorted(heard.keys() - written.keys()):
                    id_ = name + ending if len(parts) > 1 else name
                    reason = f"no text {name}.txt in txt/{speaker}"
                    found.lacks.append(Lack(speaker, str(heard[name]), id_, reason, heard[name]))
                for name in sorted(written.keys() - heard.keys()):
                    reason = f"no recording {name}{ending} in {audio.name}"
                    found.lacks.append(Lack(speaker, str(written[name]), name, reason))
            manifests = prepare_vctk(view, use_edinburgh_vctk_url=is_092, mic_id=part.name)
            yield part, _at(manifests["recordings"], view, folder), manifests["supervisions"]


def _vctk_id(supervision: Any, several: bool) -> str:
    """Give p225_001 where one microphone is read, and p225_001_mic1 where both are."""
    return supervision.id if several else supervision.id.removesuffix("_mic1").removesuffix("_mic2")


def _at(recordings: Any, view: Path, folder: Path) -> Any:
    """Give recordings that were listed in a view of a folder their places in the folder itself."""
    for recording in recordings:
        source = recording.sources[0]
        source.source = str(folder / Path(source.source).relative_to(view))
    return recordings


# --- LibriTTS and LibriTTS-R ---


# Of which the recipe knows that it cannot be read.
_LIBRITTS_DAMAGED = "1092_134562_000013_000004.wav"


def _libritts_parts(folder: Path) -> list[Part]:
    names = (
        "train-clean-100",
        "train-clean-360",
        "train-other-500",
        "dev-clean",
        "dev-other",
        "test-clean",
        "test-other",
    )
    return [
        Part(name, _SPLITS[name.split("-")[0]], kind=name.split("-")[1]) for name in names if (folder / name).is_dir()
    ]


def _libritts(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse.recipes.libritts import prepare_libritts

    manifests = prepare_libritts(folder, dataset_parts=[part.name for part in parts])
    for part in parts:
        supervisions = manifests[part.name]["supervisions"]
        found.lacks.extend(_libritts_lacks(folder / part.name, part, {each.id for each in supervisions}))
        yield part, manifests[part.name]["recordings"], supervisions


def _libritts_lacks(folder: Path, part: Part, complete: Set[str]) -> Iterator[Lack]:
    for table in sorted(folder.glob("*/*/[!.]*.trans.tsv")):
        for number, line in numbered_lines(table):
            name = line.split("\t")[0]
            if name not in complete:
                is_damaged = f"{name}.wav" == _LIBRITTS_DAMAGED
                reason = "known to be damaged as published" if is_damaged else f"no recording {name}.wav"
                yield Lack(name.split("_")[0], f"{table}:{number}", name, reason)
    for path in sorted(folder.glob("*/*/[!.]*.wav")):
        if path.stem not in complete and path.name != _LIBRITTS_DAMAGED:
            reason = f"no text in {path.parent.parent.name}_{path.parent.name}.trans.tsv"
            yield Lack(path.parent.parent.name, str(path), path.stem, reason, path, part.split)


# --- Hi-Fi TTS ---


def _hifitts_parts(folder: Path) -> list[Part]:
    """Give one part per manifest, <reader>_manifest_<clean|other>_<train|dev|test>.json."""
    parts = []
    for path in sorted(folder.glob("*_manifest_*_*.json")):
        reader, _, kind, split = path.stem.split("_", 3)
        if split in _SPLITS:
            parts.append(Part(f"{reader}_{kind}_{split}", _SPLITS[split], kind))
    return parts


def _hifitts(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse.recipes.hifitts import prepare_single_partition

    for part in parts:
        reader, kind, split = part.name.split("_", 2)
        manifest = folder / f"{reader}_manifest_{kind}_{split}.json"
        yield part, *prepare_single_partition(manifest, folder, reader, kind)
    if len(parts) > 1:
        of_reader = {part.name.rpartition("_")[0].replace("_", "_manifest_") for part in parts}
        for name in (f"{each}_{split}.json" for each in sorted(of_reader) for split in _SPLITS):
            if not (folder / name).exists():
                found.notes.append(f"{folder}: has no {name}, so that what it lists is not used")


# --- CMU ARCTIC ---


def _cmu_arctic_parts(folder: Path) -> list[Part]:
    speakers = [inner for inner in folders_in(folder) if (inner / "etc" / "txt.done.data").is_file()]
    return [Part("all")] if any(inner.name.startswith("cmu_us_") for inner in speakers) else []


def _cmu_arctic(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse.recipes.cmu_arctic import prepare_cmu_arctic

    with tempfile.TemporaryDirectory() as beside:
        # As with VCTK: the recipe ends at the first prompt without a recording, and takes other folders' sounds too.
        view = Path(beside)
        for speaker in folders_in(folder):
            prompts = speaker / "etc" / "txt.done.data"
            if not speaker.name.startswith("cmu_us_") or not prompts.is_file() or not (speaker / "wav").is_dir():
                continue
            recordings = recordings_in(speaker / "wav")
            for inner in ("etc", "wav"):
                (view / speaker.name / inner).mkdir(parents=True)
            for path in recordings.values():
                (view / speaker.name / "wav" / path.name).symlink_to(path)
            kept = []
            for number, line in numbered_lines(prompts):
                words = line.strip("() ").split(maxsplit=1)
                if len(words) == 2 and words[0] in recordings:
                    kept.append(f"( {line.strip('() ')} )\n")
                else:
                    name = speaker.name.removeprefix("cmu_us_").removesuffix("_arctic")
                    where, id_ = f"{prompts}:{number}", words[0] if words else ""
                    found.lacks.append(Lack(name, where, id_, "no recording in wav/, or no text"))
            (view / speaker.name / "etc" / prompts.name).write_text("".join(kept), encoding="utf-8")
        manifests = prepare_cmu_arctic(view)
        yield parts[0], _at(manifests["recordings"], view, folder), manifests["supervisions"]


# --- AISHELL-3 and Baker ---


def _aishell3_parts(folder: Path) -> list[Part]:
    return [Part(name, name) for name in ("train", "test") if (folder / name / "content.txt").is_file()]


def _aishell3(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse import RecordingSet
    from lhotse.recipes.aishell3 import prepare_aishell3

    manifests = prepare_aishell3(folder)
    for part in parts:
        # lhotse 1.33 gives the two sets under each other's name.
        sets = sorted(manifests[part.name].values(), key=lambda found: not isinstance(found, RecordingSet))
        yield part, *sets


def _baker_parts(folder: Path) -> list[Part]:
    return [Part("all")] if (folder / "ProsodyLabeling" / "000001-010000.txt").is_file() else []


def _baker(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[tuple[Part, Any, Any]]:
    from lhotse.recipes.baker_zh import prepare_baker_zh

    manifests = prepare_baker_zh(folder)
    yield parts[0], manifests["recordings"], manifests["supervisions"]


RECIPES = {
    "vctk": Recipe("txt/ and wav48_silence_trimmed/ (or wav48/)", _vctk_parts, _vctk, id=_vctk_id),
    "libritts": Recipe("train-clean-100/, dev-clean/ and the like", _libritts_parts, _libritts, tells_lacks=True),
    "hifitts": Recipe(
        "92_manifest_clean_train.json and the like",
        _hifitts_parts,
        _hifitts,
        text=lambda supervision: supervision.custom["text_punct"],  # the other has neither case nor punctuation
        speaker=lambda part, supervision: part.name.split("_")[0],  # as the corpus numbers its readers
    ),
    "cmu_arctic": Recipe("cmu_us_bdl_arctic/ and the like", _cmu_arctic_parts, _cmu_arctic),
    "aishell3": Recipe("train/content.txt and test/content.txt", _aishell3_parts, _aishell3),
    "baker": Recipe(
        "ProsodyLabeling/000001-010000.txt and Wave/",
        _baker_parts,
        _baker,
        text=lambda supervision: supervision.custom["normalized_text"],  # without the marks of prosody, #1 to #4
    ),
}
"""By layout; LibriTTS-R has that of LibriTTS."""
