"""Manifests of a recipe's corpora for other programs, before or after stage 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from config.schema import ExperimentSettings
from processors.audio.audio_file import AudioError, audio_info
from processors.corpora.load import read_dataset
from processors.corpora.splits import with_splits
from processors.preparation.corpus_result import PreparationError
from processors.utterance import SPLITS, Utterance, read_manifest
from utils.console import Progress, info, warn


def utterances_of(settings: ExperimentSettings, dataset: str) -> list[Utterance]:
    """Return the utterances of a corpus with their splits and durations.

    After stage 1 they are the usable ones; before it, all of the corpus whose recordings can be opened.

    Raises:
        CorpusError: the corpus cannot be read.
        PreparationError: none of its recordings can be opened.
    """
    folder = settings.preprocess.processed_path / dataset
    manifests = [folder / f"{split}.jsonl" for split in SPLITS]
    if manifests[0].is_file():
        info(f"{dataset}: from the manifests of stage 1 in {folder}")
        return [utterance for path in manifests if path.is_file() for utterance in read_manifest(path)]
    listed = with_splits(read_dataset(settings, dataset).utterances, settings.preprocess)
    found = list(_with_durations(dataset, listed))
    if not found:
        raise PreparationError(f"{dataset}: none of its {len(listed)} recordings can be opened")
    return found


def _with_durations(dataset: str, utterances: Sequence[Utterance]) -> Iterator[Utterance]:
    unreadable: list[str] = []
    with Progress(len(utterances), f"{dataset}: reading durations", "clips") as progress:
        for utterance in utterances:
            try:
                yield replace(utterance, duration_s=audio_info(utterance.audio_path).duration_s)
            except AudioError as error:
                unreadable.append(str(error))
            progress.advance()
    if unreadable:
        warn(f"{dataset}: {len(unreadable)} recordings are left out, such as {unreadable[0]}")


def absolute(utterance: Utterance) -> Utterance:
    """Return an utterance with the absolute path of its recording."""
    return replace(utterance, audio_path=Path(utterance.audio_path).absolute())
