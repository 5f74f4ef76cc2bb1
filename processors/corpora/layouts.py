"""Layouts of corpora, by name and by dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from processors.corpora import (
    aishell3,
    baker,
    cmu_arctic,
    hifitts,
    jsonl,
    lhotse_adapter,
    libritts,
    ljspeech,
    recordings,
    speaker_folders,
    vctk,
)
from processors.corpora.corpus import Corpus, CorpusError, some
from processors.text.language_codes import primary_language
from utils.suggestions import did_you_mean


class Reader(Protocol):
    """Reads a folder of one layout."""

    def __call__(self, dataset: str, folder: Path, *, language: str) -> Corpus: ...


LAYOUTS: dict[str, Reader] = {
    "ljspeech": ljspeech.read,
    "speaker_folders": speaker_folders.read,
    "jsonl": jsonl.read,
    "recordings": recordings.read,
    "ljspeech_official": ljspeech.read_with_official_split,
}
RECIPES = {
    "vctk": vctk.RECIPE,
    "libritts": libritts.RECIPE,  # and LibriTTS-R
    "hifitts": hifitts.RECIPE,
    "cmu_arctic": cmu_arctic.RECIPE,
    "aishell3": aishell3.RECIPE,
    "baker": baker.RECIPE,
}
OFFICIAL_LAYOUTS = {layout: partial(lhotse_adapter.read, recipe, layout) for layout, recipe in RECIPES.items()}
"""Layouts of published corpora, with the corpus's own parts and splits."""
WITHOUT_TEXTS = ("recordings",)
"""Layouts without transcripts, for vocoders."""

LAYOUT_OF_DATASET = {
    "LJSpeech": "ljspeech",
    "VCTK": "vctk",
    "LibriTTS": "libritts",
    "LibriTTS_R": "libritts",
    "HiFiTTS": "hifitts",
    "CMU_ARCTIC": "cmu_arctic",
    "AISHELL-3": "aishell3",
    "Baker": "baker",
    "demo": "ljspeech",
}

_CHINESE = ("AISHELL-3", "Baker")  # the other published ones are English


def language_of(dataset: str, dataset_layout: Mapping[str, str], default: str) -> str:
    """Return the language of a dataset without a setting: that of a published corpus, else `default`.

    A default of the same language is kept, since it may name the region, such as `en-gb`.
    """
    if not _is_published(dataset, layout_of(dataset, dataset_layout)):
        return default
    same, own = (("zh", "cmn"), "zh") if dataset in _CHINESE else (("en",), "en")
    return default if primary_language(default) in same else own


def _is_published(dataset: str, layout: str) -> bool:
    """Return whether a dataset is the published corpus of its name, not the user's own in another layout."""
    return LAYOUT_OF_DATASET.get(dataset) == layout.removesuffix("_official")


def layout_of(dataset: str, dataset_layout: Mapping[str, str]) -> str:
    """Return the layout of a dataset: from the settings, else by its name.

    Args:
        dataset: a name from the setting `dataset`.
        dataset_layout: the setting of that name.

    Raises:
        CorpusError: the dataset is in neither, or the settings name an unknown layout.
    """
    layout = dataset_layout.get(dataset) or LAYOUT_OF_DATASET.get(dataset)
    if layout is None:
        raise CorpusError(
            f"dataset: unknown name {dataset!r}; known: "
            f'{", ".join(LAYOUT_OF_DATASET)}; for your own add "dataset_layout": {{"{dataset}": '
            f'"{"|".join((*LAYOUTS, *OFFICIAL_LAYOUTS))}"}}{did_you_mean(dataset, LAYOUT_OF_DATASET)}'
        )
    _check_layout(dataset, layout)
    return layout


def read_corpus(
    dataset: str,
    layout: str,
    folder: Path | str,
    *,
    language: str,
    needs_text: bool = True,
    subset: Sequence[str] = (),
) -> Corpus:
    """Read the recordings of a dataset and their texts.

    Sound files are not opened: damaged ones are detected later, and `duration_s` is 0 unless the corpus states it.

    Args:
        dataset: its name, also that of the speaker if there is only one.
        layout: one of `LAYOUTS` or `OFFICIAL_LAYOUTS`.
        folder: from `dataset_path`.
        language: of the texts.
        needs_text: whether recordings without a text are excluded.
        subset: parts, if the layout has parts, or speakers to read; all if empty.

    Raises:
        CorpusError: no such folder, not this layout, or no usable recording in it.
        ManifestError: its list of recordings cannot be read; names file and line.
    """
    _check_layout(dataset, layout)
    folder = Path(folder).absolute()
    if not folder.exists():
        # All but the demo corpus can be downloaded.
        hint = ", or download it by stage 0" if dataset != "demo" and _is_published(dataset, layout) else ""
        raise CorpusError(f"dataset_path.{dataset}: {folder}: no such folder; set the folder of the corpus{hint}")
    if not folder.is_dir() and layout != "jsonl":
        raise CorpusError(f"dataset_path.{dataset}: {folder}: is a file; name the folder of the corpus")
    if needs_text and layout in WITHOUT_TEXTS:
        raise CorpusError(
            f"dataset_layout.{dataset}: {layout} has no transcripts, which an acoustic model needs; set a layout "
            f"that has them ({', '.join(name for name in LAYOUTS if name not in WITHOUT_TEXTS)}), or train a vocoder"
        )
    try:
        if layout in OFFICIAL_LAYOUTS:
            corpus = OFFICIAL_LAYOUTS[layout](dataset, folder, language=language, subset=subset)
        else:
            corpus = LAYOUTS[layout](dataset, folder, language=language)
        if needs_text:
            corpus.require_usable(folder, dataset)
    except CorpusError as error:
        raise CorpusError(f"{error}{_other_layout(dataset, layout, folder)}") from error
    if layout not in OFFICIAL_LAYOUTS:
        corpus = _of_speakers(corpus, dataset, folder, subset)
    return corpus if needs_text else corpus.for_audio_only()


def _other_layout(dataset: str, layout: str, folder: Path) -> str:
    """Return the end of a message about an unreadable folder: another layout that it seems to have, if any."""
    fitting = [name for name, recipe in RECIPES.items() if recipe.parts(folder)] if folder.is_dir() else []
    if (folder / "metadata.csv").is_file() and (folder / "wavs").is_dir():
        fitting.append("ljspeech")
    if any((folder / f"{name}.jsonl").is_file() for name in ("manifest", "train")):
        fitting.append("jsonl")
    if next(folder.glob("*/*.lab"), None):
        fitting.append("speaker_folders")
    if not fitting or layout.removesuffix("_official") in fitting:
        return ""
    return f'. It looks like another layout; try "dataset_layout": {{"{dataset}": "{fitting[0]}"}}'


def _of_speakers(corpus: Corpus, dataset: str, folder: Path, subset: Sequence[str]) -> Corpus:
    """Return the recordings of the named speakers, or all if none is named."""
    if not subset:
        return corpus
    speakers = {utterance.speaker for utterance in (*corpus.utterances, *corpus.without_text)}
    if unknown := [name for name in subset if name not in speakers]:
        raise CorpusError(
            f"dataset_subset.{dataset}: {some(unknown)} is not a speaker of {folder}; known: "
            f"{some(sorted(speakers), most=20)}"
        )
    utterances, without_text = (
        tuple(utterance for utterance in group if utterance.speaker in subset)
        for group in (corpus.utterances, corpus.without_text)
    )
    return replace(corpus, utterances=utterances, without_text=without_text)


def _check_layout(dataset: str, layout: str) -> None:
    known = (*LAYOUTS, *OFFICIAL_LAYOUTS)
    if layout not in known:
        raise CorpusError(f"dataset_layout.{dataset}: unknown layout {layout!r}; known: {', '.join(known)}")
