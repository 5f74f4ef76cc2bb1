"""Result of stage 1 for one corpus: usable and rejected utterances, and counts of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path

from config.schema import PreprocessSettings
from processors.corpora.corpus import Problem, some
from processors.feature_store import FeatureStore
from processors.features import PROBLEM, RECORDING_S, SCALED_BY, lacks_durations, stamp_of_symbols
from processors.preparation.alignment_check import AlignmentCheck
from processors.preparation.plan import CorpusPlan
from processors.preparation.rejected import UNEXPECTED, Rejected
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES
from processors.utterance import Utterance
from utils.console import info, warn
from utils.errors import RecitalError


class PreparationError(RecitalError):
    """A corpus of which too little is usable, or whose splits overlap."""


@dataclass(frozen=True)
class CorpusResult:
    """The usable and the rejected utterances of one corpus.

    Attributes:
        dataset: its name.
        folder: of its features, manifests and report.
        usable: utterances whose features are in the store, in the corpus's order.
        rejected: utterances and lines left out.
        notes: further remarks for the report.
        n_prepared: number of utterances prepared in this run.
    """

    dataset: str
    folder: Path
    usable: tuple[Utterance, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]
    n_prepared: int

    @property
    def rejected_share(self) -> float:
        """The share of the recordings that was rejected."""
        return len(self.rejected) / max(len(self.usable) + len(self.rejected), 1)

    @property
    def has_training(self) -> bool:
        """Whether any usable utterance is in the training split."""
        return any(utterance.split == "train" for utterance in self.usable)


def collect_result(
    plan: CorpusPlan,
    settings: PreprocessSettings,
    features: Sequence[str],
    *,
    failed: Mapping[str, Rejected],
    problems: Iterable[Problem],
    notes: Iterable[str],
) -> CorpusResult:
    """Divide a corpus's utterances into usable and rejected ones.

    Args:
        plan: of the corpus.
        settings: of preprocessing; limits of duration also apply to features made under other ones.
        features: required of usable utterances.
        failed: utterances, by id, that the store lacks because the program failed.
        problems: lines that the corpus' reader could not use.
        notes: the reader's other remarks.
    """
    store = FeatureStore.open(plan.folder)
    usable, rejected = (
        [],
        [Rejected(problem.utterance_id, "not usable as listed", _reason(problem)) for problem in problems],
    )
    for utterance in plan.utterances:
        found = failed.get(utterance.id) or _problem(utterance, store, settings, features)
        if found is None:
            usable.append(utterance)
        else:
            rejected.append(found)
    scaled = [utterance.id for utterance in usable if store.has(utterance.id, (SCALED_BY,))]
    if scaled:
        note = f"{len(scaled)} recordings exceed full scale and were scaled down to it: {some(scaled)}"
        warn(f"{plan.dataset}: {note}")
        notes = (*notes, note)
    return CorpusResult(
        plan.dataset, plan.folder, tuple(usable), tuple(rejected), tuple(notes), n_prepared=len(plan.jobs)
    )


def without_untrained_speakers(result: CorpusResult) -> CorpusResult:
    """Remove speakers without training utterances from validation and test, and report it."""
    trained = {utterance.speaker for utterance in result.usable if utterance.split == "train"}
    kept = tuple(utterance for utterance in result.usable if utterance.speaker in trained)
    lost = sorted({utterance.speaker for utterance in result.usable} - trained)
    if not lost:
        return result
    n_lost = len(result.usable) - len(kept)
    note = f"{n_lost} utterances of speakers without training utterances are in no split: {some(lost, 20)}"
    info(f"{result.dataset}: {note}")
    return replace(result, usable=kept, notes=(*result.notes, note))


def completed(utterances: Iterable[Utterance], store: FeatureStore, symbols: SymbolTable | None) -> Iterator[Utterance]:
    """Yield utterances with their duration, phones and frames from the store.

    Args:
        utterances: those whose features are in the store.
        store: of their corpus.
        symbols: to look up phones; None if there are none. The store may hold phones of some utterances only, made by
            another recipe.
    """
    learned = lacks_durations(store.settings)
    of_voice = ("phonemes",) if learned else ("phonemes", "durations")
    is_its_table = symbols is not None and store.settings.get("symbols") == stamp_of_symbols(symbols.symbols)
    for utterance in utterances:
        id_ = utterance.id
        phones: tuple[str, ...] = ()
        durations: tuple[int, ...] = ()
        if symbols is not None and is_its_table and store.has(id_, of_voice):
            phones = tuple(symbols.phones(store.read(id_, "phonemes").tolist()))
            durations = () if learned else tuple(store.read(id_, "durations").tolist())
        yield replace(
            utterance,
            duration_s=float(store.read(id_, RECORDING_S)[0]),
            phones=phones,
            durations=durations,
            frames=store.length(id_, "mel"),
        )


@dataclass
class CorpusCounts:
    """Counts over a corpus's usable utterances.

    Attributes:
        utterances: number by split.
        frames: by split.
        speaker_utterances: number by speaker.
        speaker_frames: by speaker.
        training_phones: occurrences of each phone in the training split.
        paces: spoken phones per frame, and id, of each utterance; per frame of pauses too, where durations are unknown.
        alignments: statistics of their alignments.
    """

    alignments: AlignmentCheck
    utterances: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    speaker_utterances: Counter[str] = field(default_factory=Counter)
    speaker_frames: Counter[str] = field(default_factory=Counter)
    training_phones: Counter[str] = field(default_factory=Counter)
    paces: list[tuple[float, str]] = field(default_factory=list)

    def add(self, utterance: Utterance) -> None:
        """Count one completed utterance."""
        self.utterances[utterance.split] += 1
        self.frames[utterance.split] += utterance.frames
        self.speaker_utterances[utterance.speaker] += 1
        self.speaker_frames[utterance.speaker] += utterance.frames
        if utterance.split == "train":
            self.training_phones.update(utterance.phones)
        is_spoken = [phone not in PAUSES for phone in utterance.phones]
        frames = sum(compress(utterance.durations, is_spoken)) if utterance.durations else utterance.frames
        if frames and any(is_spoken):
            self.paces.append((sum(is_spoken) / frames, utterance.id))


def _problem(
    utterance: Utterance, store: FeatureStore, settings: PreprocessSettings, features: Sequence[str]
) -> Rejected | None:
    if store.has(utterance.id, (PROBLEM,)):
        return Rejected.from_array(utterance.id, store.read(utterance.id, PROBLEM))
    if not store.has(utterance.id, features):
        return Rejected(utterance.id, UNEXPECTED, f"{utterance.audio_path}: was not prepared; run stage 1 again")
    recording_s = float(store.read(utterance.id, RECORDING_S)[0])
    if recording_s < settings.min_duration_s:
        reason = f"{utterance.audio_path}: lasts {recording_s:.2f} s, less than {settings.min_duration_s:g} s"
        return Rejected(utterance.id, "too short", reason)
    if recording_s > settings.max_duration_s:
        reason = f"{utterance.audio_path}: lasts {recording_s:.1f} s, more than {settings.max_duration_s:g} s"
        return Rejected(utterance.id, "too long", reason)
    return None


def _reason(problem: Problem) -> str:
    return f"{problem.where}: {problem.reason}"
