"""What stage 1 has to make: of each corpus the utterances that are missing or have changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from config.paths import rooted
from config.schema import PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.corpora.corpus import Corpus
from processors.corpora.exclusions import left_out
from processors.corpora.splits import assign_splits
from processors.feature_store import FeatureStore, check_store, prepare_store, remove_store, tidy_store
from processors.preparation.fingerprints import NOTHING, SOURCE, Source, TextGrids, stamp, stamp_of_file
from processors.preparation.rejected import PROBLEM
from processors.preparation.textgrid_origin import stamp_of_lexicon, stamp_of_text
from processors.preparation.work import Group, Job, needs_alignment, needs_text
from processors.text.symbols import LATER
from processors.utterance import Utterance
from utils.console import say, warn

# To be raised where a change of the code gives other features for the same settings.
_FEATURES_VERSION = 1
_OF_EVERY_FEATURE = ("sample_rate", "n_fft", "hop_size", "win_size", "n_mel", "fmin", "fmax")
_OF_TEXT_AND_PITCH = (
    "pitch_extractor",
    "f0_min",
    "f0_max",
    "language",
    "phone_extractor",
    "normalizer",
    "trim_silence",
    "edge_silence_ms",
)
# Who asks for an aligner by name gets its TextGrids and no others.
_OWN = ("pocketsphinx", "learned", "mfa")
# A kill loses at most what the processes hold of their groups; and the more groups, the more files.
_MOST_IN_GROUP = 64
_FEWEST_IN_GROUP = 4


@dataclass(frozen=True)
class Plan:
    """What is there and what is to be made of one corpus.

    Attributes:
        dataset: its name.
        folder: its features, manifests and report.
        utterances: all that the corpus lists, with their splits.
        jobs: those of them, or of a machine's share, to make.
        n_there: how many of them, or of the share, are made already.
    """

    dataset: str
    folder: Path
    utterances: tuple[Utterance, ...]
    jobs: tuple[Job, ...]
    n_there: int


@dataclass(frozen=True)
class Share:
    """What one of several machines does, `number` of `count`, counted from 1."""

    number: int
    count: int

    def has(self, utterance_id: str) -> bool:
        """Whether an utterance belongs to it; that depends on nothing but the id."""
        return int.from_bytes(stamp(utterance_id), "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def make_plan(
    dataset: str,
    corpus: Corpus,
    settings: PreprocessSettings,
    features: Sequence[str],
    *,
    inventory: Sequence[str],
    overwrite: bool = False,
    share: Share | None = None,
) -> Plan:
    """Compare a corpus with its feature store, which is made ready to be written.

    The split is drawn over all that the corpus lists, before anyone knows which recordings are bad, so that it does not
    depend on what a recipe wants of them: what an acoustic model is tested on, no vocoder has heard.

    Args:
        dataset: the corpus' name.
        corpus: its utterances.
        settings: of the features.
        features: which are wanted.
        inventory: all phones of the front end, which decide the numbers of stored phonemes.
        overwrite: whether to forget all features made before.
        share: what to do of it while other machines do the others; the store is then left as it is found.

    Raises:
        StoreError: the store was made with other settings.
        CorpusError: the list of recordings to leave out cannot be read.
    """
    folder = rooted(settings.processed_dir) / dataset
    if overwrite:
        remove_store(folder)
    prepare_store(folder, store_settings(settings, features, inventory))
    if share is None:
        remove_partial_files(folder)
        if damaged := tidy_store(folder):
            warn(f"{folder}: {len(damaged)} damaged files of features were deleted; their utterances are made again")
    # Split first, and only then left out, so that the others' splits stay what they are.
    unwanted = left_out(dataset, settings)
    utterances = [each for each in with_splits(corpus.utterances, settings) if each.id not in unwanted]
    store = FeatureStore.open(folder, skip_damaged=share is not None)
    mine = [utterance for utterance in utterances if share is None or share.has(utterance.id)]
    jobs = tuple(_missing(mine, store, folder, settings, features))
    return Plan(dataset, folder, tuple(utterances), jobs, n_there=len(mine) - len(jobs))


def refuse_other_settings(datasets: Sequence[str], settings: PreprocessSettings, features: Sequence[str]) -> None:
    """Raise the `StoreError` that making plans would, as far as one can know before texts are read."""
    expected = store_settings(settings, features, ())
    expected.pop("symbols", None)
    for dataset in datasets:
        check_store(rooted(settings.processed_dir) / dataset, expected)


def with_splits(utterances: Sequence[Utterance], settings: PreprocessSettings) -> list[Utterance]:
    """Split what the corpus itself has not split.

    Those with a text are split as if there were no others, which train; a corpus without texts is split by itself.
    A set that the corpus brings stays as it is, and nothing is drawn for it, unless none of its speakers is heard in
    training (as in LibriTTS): models that know speakers by name are then judged by what is drawn besides.
    """
    own = {utterance.id: utterance.split for utterance in utterances if utterance.split in ("valid", "test")}
    free = [utterance for utterance in utterances if utterance.id not in own]
    trained = {utterance.speaker for utterance in free}
    brought = {own[utterance.id] for utterance in utterances if utterance.id in own and utterance.speaker in trained}
    assigned = assign_splits(
        [utterance for utterance in free if utterance.text] or free,
        valid_size=0 if "valid" in brought else settings.valid_size,
        test_size=0 if "test" in brought else settings.test_size,
        seed=settings.split_seed,
    )
    split_of = {utterance.id: utterance.split for utterance in assigned} | own
    return [replace(utterance, split=split_of.get(utterance.id, "train")) for utterance in utterances]


def remove_partial_files(folder: Path, *, deeper: bool = True) -> None:
    """Delete what killed processes had begun to write in a folder, and deeper; only where none is at work."""
    for partial in folder.rglob(".*.partial") if deeper else folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def store_settings(settings: PreprocessSettings, features: Sequence[str], inventory: Sequence[str]) -> dict[str, Any]:
    """Give the settings that a store of these features must have been made with."""
    chosen: dict[str, Any] = {name: getattr(settings, name) for name in _OF_EVERY_FEATURE}
    chosen["features_version"] = _FEATURES_VERSION
    if needs_text(features):
        chosen |= {name: getattr(settings, name) for name in _OF_TEXT_AND_PITCH}
        chosen["symbols"] = stamp_of_symbols(inventory)
    return chosen


def stamp_of_symbols(inventory: Sequence[str]) -> str:
    """Mark a symbol table, which decides the numbers of stored phonemes; those that it gains later change no number."""
    first = list(inventory).index(LATER) if LATER in inventory else len(inventory)
    return stamp(*inventory[:first]).hex()


def groups_of(jobs: Sequence[Job], store: Path, num_workers: int) -> Iterator[Group]:
    """Cut jobs into groups that get smaller towards the end, so that all processes end together."""
    start = 0
    while start < len(jobs):
        share = -(-(len(jobs) - start) // (2 * num_workers))
        size = min(max(share, _FEWEST_IN_GROUP), _MOST_IN_GROUP)
        yield Group(store, tuple(jobs[start : start + size]))
        start += size


def _missing(
    utterances: Sequence[Utterance],
    store: FeatureStore,
    folder: Path,
    settings: PreprocessSettings,
    features: Sequence[str],
) -> Iterator[Job]:
    with_text = needs_text(features)
    textgrids = _textgrids(folder, utterances, settings) if needs_alignment(features) else None
    lexicon = stamp_of_lexicon(settings) if with_text else ""
    limits = stamp(settings.min_duration_s, settings.max_duration_s)
    for utterance in utterances:
        text, given, own, textgrid = NOTHING, None, Path(), NOTHING
        if with_text:
            text = stamp_of_text(utterance, lexicon, settings)
        if textgrids is not None:
            given = textgrids.given(utterance)
            own = textgrids.own(utterance)
            textgrid = stamp_of_file(given or own)
        source = Source(stamp_of_file(utterance.audio_path), text, textgrid, limits)
        if not _is_there(utterance.id, source, store, features):
            yield Job(utterance, source, given, own, is_known=store.has(utterance.id, (SOURCE,)))


def _textgrids(folder: Path, utterances: Sequence[Utterance], settings: PreprocessSettings) -> TextGrids:
    own = folder / "TextGrid"
    if not settings.textgrid_dir or settings.alignment in _OWN:
        if settings.alignment == "textgrid" and next(own.rglob("*.TextGrid"), None) is None:
            raise AlignmentError(
                f"preprocess.alignment is textgrid, but there are no TextGrids of {folder.name}: name their folder in "
                "preprocess.textgrid_dir, or choose auto"
            )
        return TextGrids(None, own)
    given = rooted(settings.textgrid_dir.replace("{dataset}", folder.name))
    if not given.is_dir():
        raise AlignmentError(f"preprocess.textgrid_dir: {given}: no such folder; leave it empty if there are none")
    textgrids = TextGrids(given, own)
    n_given = sum(textgrids.given(utterance) is not None for utterance in utterances)
    if n_given:
        say(f"{folder.name}: {n_given} recordings have a TextGrid in {given}")
    elif utterances:  # a machine's share may have none
        warn(f"{given}: no TextGrid there is named for an utterance of {folder.name}, as in <id>.TextGrid")
    return textgrids


def _is_there(utterance_id: str, source: Source, store: FeatureStore, features: Sequence[str]) -> bool:
    """Whether the store has the features, or the reason why there are none, made from this very source."""
    if not store.has(utterance_id, (SOURCE,)):
        return False
    made_from = Source.from_array(store.read(utterance_id, SOURCE))
    if store.has(utterance_id, (PROBLEM,)):
        return made_from == source
    return store.has(utterance_id, features) and source.makes(made_from, with_text=needs_text(features))
