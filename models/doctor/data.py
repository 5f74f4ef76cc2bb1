"""Checks of corpora and features."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from config.schema import ExperimentSettings
from models.doctor.finding import Finding, Subject
from models.registry import features_for
from processors.audio.audio_file import read_recording
from processors.corpora.corpus import some
from processors.corpora.layouts import LAYOUT_OF_DATASET
from processors.corpora.load import read_dataset
from processors.datasets.open_split import open_split
from processors.feature_store import FeatureStore, is_store
from processors.features import PROBLEM, for_voice, needs_text
from processors.preparation.plan import read_plan, refuse_other_settings
from processors.speakers.statistics import STATISTICS_FILE, open_statistics
from processors.speakers.voice_folder import SPEAKERS_FILE, voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import Utterance
from utils.errors import RecitalError
from utils.lock import InUseError, require_free

_N_OPENED = 5
_MANIFESTS = ("train", "valid")


def corpora(subject: Subject) -> Iterator[Finding]:
    """Read the lists of recordings, and open some recordings."""
    experiment = subject.known_settings
    for dataset in experiment.dataset:
        try:
            corpus = read_dataset(experiment, dataset, needs_text(features_for(experiment)))
        except RecitalError as error:
            yield Finding(str(error), _to_find_corpus(subject, experiment, dataset))
            continue
        subject.corpora[dataset] = corpus
        subject.unprepared[dataset] = corpus.utterances
        unusable = f", {len(corpus.problems)} unusable ({corpus.problems[0]})" if corpus.problems else ""
        yield Finding(f"{dataset}: {len(corpus.utterances)} recordings{unusable}")
        yield from _unreadable(subject, dataset, corpus.utterances)


def _to_find_corpus(subject: Subject, experiment: ExperimentSettings, dataset: str) -> str:
    is_there = experiment.corpus_path(dataset).exists()
    if is_there:
        return f"ls {shlex.quote(str(experiment.corpus_path(dataset)))}"
    if dataset in LAYOUT_OF_DATASET and dataset != "demo":
        return subject.call("bins.download")
    return subject.call("bins.doctor", "--set", f"dataset_path.{dataset}=FOLDER")


def _unreadable(subject: Subject, dataset: str, utterances: Sequence[Utterance]) -> Iterator[Finding]:
    chosen = utterances[:: max(len(utterances) // _N_OPENED, 1)][:_N_OPENED]
    errors = []
    for utterance in chosen:
        try:
            read_recording(utterance.audio_path)
        except RecitalError as error:
            errors.append(str(error))
    if errors:
        text = f"{dataset}: {len(errors)} of {len(chosen)} recordings tried cannot be read: {errors[0]}"
        yield Finding(text, subject.call("bins.check_data"))


def features(subject: Subject) -> Iterator[Finding]:
    """Compare the feature stores with settings and corpora, and open what training reads."""
    experiment = subject.known_settings
    processed_dir = experiment.preprocess.processed_path
    try:
        require_free(processed_dir)
    except InUseError:
        yield Finding(f"{processed_dir}: not checked, since stage 1 is writing there")
        return
    again = subject.call("bins.preprocess")
    stores = [dataset for dataset in experiment.dataset if is_store(processed_dir / dataset)]
    for dataset in experiment.dataset:
        if dataset not in stores:
            yield Finding(f"{processed_dir / dataset}: no features yet")
    whole = []
    for dataset in stores:
        try:
            refuse_other_settings([dataset], experiment.preprocess, features_for(experiment))
        except RecitalError as error:
            yield Finding(str(error), f"{again} --overwrite")
            continue
        try:
            incomplete = _incompleteness(subject, dataset)
        except RecitalError as error:
            incomplete = [str(error)]
        for text in incomplete:
            yield Finding(text, again)
        if not incomplete:
            whole.append(dataset)
            yield Finding(f"{processed_dir / dataset}: complete")
    if whole and len(whole) == len(experiment.dataset):
        try:
            _open_voice_files(experiment)
        except (RecitalError, OSError) as error:
            yield Finding(str(error), again)


def _incompleteness(subject: Subject, dataset: str) -> list[str]:
    """Return what a store of the right settings lacks; it may be because stage 1 was stopped."""
    experiment = subject.known_settings
    preprocess, wanted = experiment.preprocess, features_for(experiment)
    folder = preprocess.processed_path / dataset
    store = FeatureStore.open(folder, skip_damaged=True)
    lacking = [f"{path}: is damaged" for path in store.damaged]
    if partial := [path.name for path in folder.rglob(".*.partial")]:
        lacking.append(f"{folder}: half-written files of a run that was stopped: {some(partial)}")
    if (corpus := subject.corpora.get(dataset)) is not None:
        path = preprocess.processed_path / SYMBOLS_FILE
        inventory = SymbolTable.open(path).symbols if path.is_file() else ()
        plan = read_plan(dataset, corpus, preprocess, wanted, inventory=inventory)
        subject.unprepared[dataset] = tuple(job.utterance for job in plan.jobs)
        ids = [job.utterance.id for job in plan.jobs]
        is_former = {id_: store.has(id_, wanted) or store.has(id_, (PROBLEM,)) for id_ in ids}
        former = [id_ for id_ in ids if is_former[id_]]
        total = f"of {len(plan.utterances)} recordings"
        if missing := [id_ for id_ in ids if not is_former[id_]]:
            lacking.append(f"{folder}: features of {len(missing)} {total} are missing ({some(missing)})")
        if former:
            lacking.append(
                f"{folder}: {len(former)} {total} have features of former files: recording, text or TextGrid has "
                f"changed since ({some(former)}); training would use them"
            )
    if not lacking:
        open_split(preprocess.processed_path, [dataset], *_MANIFESTS)
    return lacking


def _open_voice_files(experiment: ExperimentSettings) -> None:
    """Open what stage 1 writes for all corpora together."""
    if not for_voice(features_for(experiment)):
        return
    folder = voice_folder(experiment.preprocess.processed_path, experiment.dataset)
    SymbolTable.open(folder / SYMBOLS_FILE)
    open_statistics(folder / STATISTICS_FILE)
    (folder / SPEAKERS_FILE).read_bytes()
