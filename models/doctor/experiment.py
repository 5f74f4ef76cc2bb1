"""Checks of an experiment: settings, corpora, features, runs in progress, checkpoints and bundles."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.load import load_settings
from config.schema import ExperimentSettings
from models.bundle import Bundle
from models.bundles.locate import find_bundle, open_bundle
from models.doctor.finding import Finding, Subject
from models.registry import features_for, kind_of, open_network, settings_class
from models.runs.experiment_settings import settled
from processors.audio.audio_file import read_recording
from processors.corpora.corpus import some
from processors.corpora.layouts import LAYOUT_OF_DATASET
from processors.corpora.load import languages_of, read_dataset
from processors.datasets.open_split import open_split
from processors.feature_store import FeatureStore, is_store
from processors.features import for_voice, needs_text
from processors.preparation.plan import read_plan, refuse_other_settings
from processors.speakers.statistics import STATISTICS_FILE, open_statistics
from processors.speakers.voice_folder import SPEAKERS_FILE, voice_folder
from processors.text.front_end import FrontEnds
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import Utterance
from utils.checkpoint import CheckpointFolder, open_checkpoint
from utils.errors import RecitalError
from utils.lock import InUseError, require_free
from utils.version import VERSION

_N_OPENED = 5
_MANIFESTS = ("train", "valid")


def settings(subject: Subject) -> Iterator[Finding]:
    """Read the settings with all checks of loading."""
    try:
        subject.settings = load_settings(subject.config, subject.overrides, settings_class).settings
    except RecitalError as error:
        yield Finding(str(error), subject.call("bins.settings"))
        return
    yield Finding(f"{subject.config}: {subject.settings.model_type} on {', '.join(subject.settings.dataset)}")
    if subject.settings.preprocess.phone_extractor and needs_text(features_for(subject.settings)):
        try:
            FrontEnds(subject.settings.preprocess).require(languages_of(subject.settings))
        except RecitalError as error:
            yield Finding(str(error), subject.call("bins.pronounce", "--text", "TEXT"))


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
    lacking = [f"{path}: is damaged" for path in FeatureStore.open(folder, skip_damaged=True).damaged]
    if partial := [path.name for path in folder.rglob(".*.partial")]:
        lacking.append(f"{folder}: half-written files of a run that was stopped: {some(partial)}")
    if (corpus := subject.corpora.get(dataset)) is not None:
        path = preprocess.processed_path / SYMBOLS_FILE
        inventory = SymbolTable.open(path).symbols if path.is_file() else ()
        plan = read_plan(dataset, corpus, preprocess, wanted, inventory=inventory)
        subject.unprepared[dataset] = tuple(job.utterance for job in plan.jobs)
        if plan.jobs:
            lacking.append(
                f"{folder}: features of {len(plan.jobs)} of {len(plan.utterances)} recordings are missing or out of "
                f"date ({some(job.utterance.id for job in plan.jobs)})"
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


def runs(subject: Subject) -> Iterator[Finding]:
    """Look whether another run holds the features, or the experiment."""
    folders = [subject.known_settings.preprocess.processed_path, *subject.experiments()]
    n_free = 0
    for folder in folders:
        try:
            require_free(folder)
            n_free += 1
        except InUseError as error:
            yield Finding(str(error), f"ps -fp {error.process}" if error.process else "ps -ef")
    if n_free == len(folders):
        yield Finding("no other run uses these folders")


def checkpoints(subject: Subject) -> Iterator[Finding]:
    """Open the checkpoints of the named experiment, of others the newest, and compare settings."""
    experiment = subject.known_settings
    for folder in subject.experiments():
        call = subject.call("bins.train", "--name", folder.name)
        found = CheckpointFolder(folder / "checkpoint").folders()
        damaged = {}
        for path in found if subject.name else found[-1:]:
            try:
                open_checkpoint(path)
            except RecitalError as error:
                damaged[path] = str(error)
        for path, text in damaged.items():
            is_all = len(damaged) == len(found)
            instead = "none is left" if is_all else "training goes on from an older one"
            yield Finding(f"{text}; {instead}", f"rm -r {shlex.quote(str(path))}" if is_all else call)
        if found and not damaged:
            yield Finding(f"{folder.name}: {len(found)} checkpoints, the newest of step {int(found[-1].name[5:])}")
        if subject.name:
            try:
                settled(experiment, folder, resuming=False, quiet=True)
            except RecitalError as error:
                yield Finding(str(error), f"{call} --resume_type resume")


def bundles(subject: Subject) -> Iterator[Finding]:
    """Open the bundles of the experiments."""
    for folder in subject.experiments():
        if (folder / "bundle").is_dir():
            yield from _opened(folder / "bundle", subject.call("bins.train", "--name", folder.name))


def model(subject: Subject) -> Iterator[Finding]:
    """Open the model that shall be used."""
    yield from _opened(Path(subject.model), f"ls -l {shlex.quote(subject.model)}")


def _opened(path: Path, command: str) -> Iterator[Finding]:
    try:
        bundle = find_bundle(path) if path.name != "bundle" else open_bundle(path)
        _require_usable(bundle)
    except RecitalError as error:
        is_later = "update Recital" in str(error)
        yield Finding(str(error), "git pull" if is_later else command)
        return
    by = f", written by Recital {bundle.version}" if bundle.version not in ("", VERSION) else ""
    yield Finding(f"{path}: {bundle.settings.model_type}{by}")


def _require_usable(bundle: Bundle) -> None:
    if kind_of(bundle.settings.model_type) == "acoustic":
        bundle.require_front_end()
    open_network(bundle)
