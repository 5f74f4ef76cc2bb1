"""The layouts of corpora, by name and by dataset."""

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
    "ljspeech_official": ljspeech.read_with_usual_split,
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
"""Layouts of published corpora, whose recipes have the corpus's own parts and splits."""
WITHOUT_TEXTS = ("recordings",)
"""Layouts of corpora that have no transcripts; a vocoder learns from them."""

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

_CHINESE = ("AISHELL-3", "Baker")  # the other famous ones are English


def language_of(dataset: str, dataset_layout: Mapping[str, str], default: str) -> str:
    """Say in which language a dataset is whose language no setting names: a famous corpus's own, else `default`.

    A default of the same language stays, for it may say more, as `en-gb` does.
    """
    if not _is_famous(dataset, layout_of(dataset, dataset_layout)):
        return default
    same, own = (("zh", "cmn"), "zh") if dataset in _CHINESE else (("en",), "en")
    return default if primary_language(default) in same else own


def _is_famous(dataset: str, layout: str) -> bool:
    """Whether a dataset is the corpus that is known by its name, not one of the user's in another layout."""
    return LAYOUT_OF_DATASET.get(dataset) == layout.removesuffix("_official")


def layout_of(dataset: str, dataset_layout: Mapping[str, str]) -> str:
    """Say in which layout a dataset lies: the settings go before the known names.

    Args:
        dataset: a name out of the setting `dataset`.
        dataset_layout: the setting of that name.

    Raises:
        CorpusError: neither knows it, or the settings name a layout that does not exist.
    """
    layout = dataset_layout.get(dataset) or LAYOUT_OF_DATASET.get(dataset)
    if layout is None:
        raise CorpusError(
            f"dataset: unknown name {dataset!r}; known are "
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
    """Find the recordings of a dataset and their texts.

    Sound files are not opened: a damaged one comes to light where it is read, and `duration_s` is 0 unless the
    corpus states it.

    Args:
        dataset: its name, which is also the speaker's where there is one speaker.
        layout: one of `LAYOUTS` or `OFFICIAL_LAYOUTS`.
        folder: where it lies, from `dataset_path`.
        language: of the texts.
        needs_text: whether recordings without a text are of no use.
        subset: only these parts, where the layout knows parts, or speakers; everything unless given.

    Raises:
        CorpusError: no such folder, not this layout, or nothing usable in it.
        ManifestError: its list of recordings cannot be read; names file and line.
    """
    _check_layout(dataset, layout)
    folder = Path(folder).absolute()
    if not folder.exists():
        # All known names but the demo's can be downloaded.
        bring = ", or have stage 0 bring it" if dataset != "demo" and _is_famous(dataset, layout) else ""
        raise CorpusError(f"dataset_path.{dataset}: {folder}: no such folder; say where the corpus lies{bring}")
    if not folder.is_dir() and layout != "jsonl":
        raise CorpusError(f"dataset_path.{dataset}: {folder}: is a file; name the folder of the corpus")
    if needs_text and layout in WITHOUT_TEXTS:
        raise CorpusError(
            f"dataset_layout.{dataset}: {layout} have no transcripts, which an acoustic model needs; name a layout "
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
    return corpus if needs_text else corpus.for_sound_alone()


def _other_layout(dataset: str, layout: str, folder: Path) -> str:
    """Give the end of a message about a folder that cannot be read: the layout that it has instead, if any."""
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
    """Give what the speakers named say, or everything where none is named."""
    if not subset:
        return corpus
    speakers = {utterance.speaker for utterance in (*corpus.utterances, *corpus.without_text)}
    if unknown := [name for name in subset if name not in speakers]:
        raise CorpusError(
            f"dataset_subset.{dataset}: {some(unknown)} does not speak in {folder}; there are "
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
        raise CorpusError(f"dataset_layout.{dataset}: unknown layout {layout!r}; known are {', '.join(known)}")
