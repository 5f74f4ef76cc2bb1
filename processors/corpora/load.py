"""Loading of an experiment's corpora by its settings: parts and languages."""

from __future__ import annotations

from dataclasses import replace

from config.schema import ExperimentSettings
from processors.corpora.corpus import Corpus, CorpusError, some
from processors.corpora.layouts import language_of, layout_of, read_corpus
from utils.console import info, warn


def read_dataset(settings: ExperimentSettings, dataset: str, needs_text: bool = True) -> Corpus:
    """Read one corpus by the settings, and print the number of recordings.

    Args:
        settings: of the whole experiment.
        dataset: the corpus, as in `settings.dataset`.
        needs_text: whether recordings without a text are excluded.

    Raises:
        CorpusError: it cannot be read, or the settings name a language for a speaker that it does not have.
    """
    layout = layout_of(dataset, settings.dataset_layout)
    folder = settings.corpus_path(dataset)
    corpus = read_corpus(
        dataset,
        layout,
        folder,
        language=_language_of(dataset, settings),
        needs_text=needs_text,
        subset=settings.dataset_subset.get(dataset, ()),
    )
    corpus = _with_languages_of_speakers(corpus, dataset, settings)
    unusable = f", {len(corpus.problems)} unusable" if corpus.problems else ""
    info(f"{dataset}: {len(corpus.utterances)} recordings in {folder}{unusable}")
    for note in corpus.notes:
        warn(note)
    return corpus


def languages_of(settings: ExperimentSettings) -> dict[str, str]:
    """Return the language of each corpus, and of speakers with their own."""
    languages = {dataset: _language_of(dataset, settings) for dataset in settings.dataset}
    of_speakers = {
        name: language
        for name, language in settings.dataset_language.items()
        if name not in languages and name.partition("/")[0] in languages
    }
    return languages | of_speakers


def _language_of(dataset: str, settings: ExperimentSettings) -> str:
    named = settings.dataset_language.get(dataset)
    return named or language_of(dataset, settings.dataset_layout, settings.preprocess.language)


def _with_languages_of_speakers(corpus: Corpus, dataset: str, settings: ExperimentSettings) -> Corpus:
    """Set the language of speakers that have their own in the settings."""
    named = {
        name.partition("/")[2]: language
        for name, language in settings.dataset_language.items()
        if name.startswith(f"{dataset}/")
    }
    speakers = sorted({utterance.speaker for utterance in corpus.utterances})
    for speaker in named:
        if speaker not in speakers:
            raise CorpusError(
                f"dataset_language.{dataset}/{speaker}: {dataset} has no such speaker; there are {some(speakers, 8)}"
            )
    utterances = (replace(each, language=named.get(each.speaker, each.language)) for each in corpus.utterances)
    return replace(corpus, utterances=tuple(utterances)) if named else corpus
