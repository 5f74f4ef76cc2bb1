"""Plan of stage 1: the utterances of each corpus whose features are missing or out of date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.schema import PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.alignment.textgrid_folders import TextGrids
from processors.corpora.corpus import Corpus
from processors.corpora.exclusions import left_out
from processors.corpora.splits import with_splits
from processors.feature_store import (
    FeatureStore,
    StoreError,
    check_store,
    is_store,
    prepare_store,
    remove_store,
    settings_of,
    tidy_store,
)
from processors.features import (
    PROBLEM,
    SOURCE,
    for_voice,
    is_unaligned,
    lacks_durations,
    needs_alignment,
    needs_text,
    store_settings,
)
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.former_phones import FormerPhones
from processors.preparation.jobs import Job
from processors.preparation.textgrid_origin import stamp_of_lexicon, stamp_of_text
from processors.text.front_end_version import FRONT_END, FRONT_END_VERSION
from processors.utterance import Utterance
from utils.console import info, warn
from utils.fingerprint import NOTHING, stamp, stamp_of_file
from utils.share import Share

# An explicitly chosen aligner ignores TextGrids from other sources.
_OWN = ("pocketsphinx", "learned", "mfa")


@dataclass(frozen=True)
class CorpusPlan:
    """The utterances of one corpus, and those of them to prepare.

    Attributes:
        dataset: its name.
        folder: of its features, manifests and report.
        utterances: all of the corpus but those excluded, with their splits.
        jobs: utterances to prepare, of all or of a machine's share.
        n_done: number of utterances, of all or of the share, that are up to date.
    """

    dataset: str
    folder: Path
    utterances: tuple[Utterance, ...]
    jobs: tuple[Job, ...]
    n_done: int


def make_plan(
    dataset: str,
    corpus: Corpus,
    settings: PreprocessSettings,
    features: Sequence[str],
    *,
    inventory: Sequence[str],
    overwrite: bool = False,
    share: Share | None = None,
) -> CorpusPlan:
    """Compare a corpus with its feature store, which is created if missing.

    The split is drawn over the whole corpus, before any recording is rejected, and so is the same in every recipe: no
    vocoder is trained on the test recordings of an acoustic model.

    Args:
        dataset: the corpus' name.
        corpus: its utterances.
        settings: of the features.
        features: to compute.
        inventory: the front end's phones in order, which number the stored phonemes.
        overwrite: whether to delete existing features first.
        share: of this machine, if several share the work; then nothing is deleted from the store.

    Raises:
        StoreError: the store was made with other settings.
        CorpusError: the list of excluded recordings cannot be read.
    """
    folder = settings.processed_path / dataset
    if overwrite:
        remove_store(folder)
    _refuse_mixed_durations(folder, features)
    prepare_store(folder, store_settings(settings, features, inventory), _front_end_note(folder, features))
    if share is None:
        remove_partial_files(folder)
        if damaged := tidy_store(folder):
            warn(f"{folder}: deleted {len(damaged)} damaged shards; their utterances are prepared again")
    store = FeatureStore.open(folder, skip_damaged=share is not None)
    return _compared(dataset, corpus, store, settings, features, inventory, share)


def read_plan(
    dataset: str, corpus: Corpus, settings: PreprocessSettings, features: Sequence[str], *, inventory: Sequence[str]
) -> CorpusPlan:
    """Return what `make_plan` would return for a store that is there, and change nothing; arguments are the same.

    Raises:
        StoreError: there is no store, or it was made with other settings.
    """
    folder = settings.processed_path / dataset
    refuse_other_settings([dataset], settings, features)
    store = FeatureStore.open(folder, skip_damaged=True)
    return _compared(dataset, corpus, store, settings, features, inventory, share=None)


def _compared(
    dataset: str,
    corpus: Corpus,
    store: FeatureStore,
    settings: PreprocessSettings,
    features: Sequence[str],
    inventory: Sequence[str],
    share: Share | None,
) -> CorpusPlan:
    # Exclude after splitting, so that the remaining utterances keep their splits.
    excluded = left_out(dataset, settings)
    utterances = [each for each in with_splits(corpus.utterances, settings) if each.id not in excluded]
    mine = [utterance for utterance in utterances if share is None or share.has(utterance.id)]
    languages = {utterance.language for utterance in utterances}
    former = FormerPhones(store, settings, inventory, languages) if "phonemes" in features else None
    jobs = tuple(_missing(mine, store, store.folder, settings, features, former))
    return CorpusPlan(dataset, store.folder, tuple(utterances), jobs, n_done=len(mine) - len(jobs))


def refuse_other_settings(datasets: Sequence[str], settings: PreprocessSettings, features: Sequence[str]) -> None:
    """Raise the `StoreError` that `make_plan` would raise, as far as can be decided without reading texts."""
    expected = store_settings(settings, features, ())
    expected.pop("symbols", None)
    for dataset in datasets:
        check_store(settings.processed_path / dataset, expected)
        _refuse_mixed_durations(settings.processed_path / dataset, features)


def _refuse_mixed_durations(folder: Path, features: Sequence[str]) -> None:
    """Raise a `StoreError` for a store whose phones have durations where these features have none, or the reverse."""
    stored = settings_of(folder) if is_store(folder) else {}
    is_learned = lacks_durations(stored)
    if for_voice(features) and "symbols" in stored and is_learned != is_unaligned(features):
        present, wanted = ("without", "with") if is_learned else ("with", "without")
        raise StoreError(
            f"{folder}: was made {present} durations, and this model's stage 1 makes features {wanted} them; choose "
            "another processed_dir, or run stage 1 with --overwrite"
        )


def _front_end_note(folder: Path, features: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the front end's version, to be noted in a store without phones; nothing for a store that has some."""
    has_phones = is_store(folder) and "symbols" in settings_of(folder)
    return {FRONT_END: FRONT_END_VERSION.as_dict()} if needs_text(features) and not has_phones else {}


def remove_partial_files(folder: Path, *, deeper: bool = True) -> None:
    """Delete partial files of killed processes in a folder and, if deeper, below it; no process may be writing."""
    for partial in folder.rglob(".*.partial") if deeper else folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def _missing(
    utterances: Sequence[Utterance],
    store: FeatureStore,
    folder: Path,
    settings: PreprocessSettings,
    features: Sequence[str],
    former: FormerPhones | None,
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
        fingerprints = Fingerprints(stamp_of_file(utterance.audio_path), text, textgrid, limits)
        has_former_phones = former is not None and given is None and former.has(utterance)
        if has_former_phones or not _is_up_to_date(utterance.id, fingerprints, store, features):
            yield Job(utterance, fingerprints, given, own, is_known=store.has(utterance.id, (SOURCE,)))


def _textgrids(folder: Path, utterances: Sequence[Utterance], settings: PreprocessSettings) -> TextGrids:
    own = folder / "TextGrid"
    if not settings.textgrid_dir or settings.alignment in _OWN:
        if settings.alignment == "textgrid" and next(own.rglob("*.TextGrid"), None) is None:
            raise AlignmentError(
                f"preprocess.alignment is textgrid, but there are no TextGrids of {folder.name}: set their folder in "
                "preprocess.textgrid_dir, or choose auto"
            )
        return TextGrids(None, own)
    given = settings.textgrid_path(folder.name)
    if not given.is_dir():
        raise AlignmentError(f"preprocess.textgrid_dir: {given}: no such folder; leave it empty if there are none")
    textgrids = TextGrids(given, own)
    n_given = sum(textgrids.given(utterance) is not None for utterance in utterances)
    if n_given:
        info(f"{folder.name}: {n_given} recordings have a TextGrid in {given}")
    elif utterances:  # a share may be empty
        warn(f"{given}: no TextGrid there is named <id>.TextGrid for an utterance of {folder.name}")
    return textgrids


def _is_up_to_date(utterance_id: str, now: Fingerprints, store: FeatureStore, features: Sequence[str]) -> bool:
    """Return whether the store has up-to-date features, or an up-to-date reason for rejection."""
    if not store.has(utterance_id, (SOURCE,)):
        return False
    made_from = Fingerprints.from_array(store.read(utterance_id, SOURCE))
    if store.has(utterance_id, (PROBLEM,)):
        return made_from == now
    return store.has(utterance_id, features) and now.match(made_from, with_text=needs_text(features))
