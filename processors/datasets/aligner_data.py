"""What an aligner learns from: the phones of a text, in order, and the mel of its recording."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processors.datasets.open_split import open_split
from processors.datasets.utterance_data import UtteranceBatch, UtteranceData, collate_utterances
from processors.feature_store import FeatureStore
from processors.features import ALIGNER_FEATURES, DataError
from processors.speakers.voice_folder import voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import Utterance


@dataclass(frozen=True)
class AlignerBatch(UtteranceBatch):
    """Utterances for an aligner.

    Attributes:
        datasets: B corpora; names are unique within one.
    """

    datasets: tuple[str, ...]


@dataclass(frozen=True)
class AlignerExample:
    """One utterance of an `AlignerBatch`: its name, (T_text,) `phoneme_ids`, (T_mel, M) `mel`, and its corpus."""

    id: str
    phoneme_ids: np.ndarray
    mel: np.ndarray
    dataset: str = ""


def collate_aligner(examples: Sequence[AlignerExample], length_step: int = 1) -> AlignerBatch:
    """Pad utterances to the longest among them; see `collate_utterances`."""
    datasets = tuple(example.dataset for example in examples)
    return collate_utterances(AlignerBatch, examples, length_step, datasets=datasets)


class AlignerData(UtteranceData[AlignerExample]):
    """Utterances as an aligner learns from them."""

    def __getitem__(self, index: int) -> AlignerExample:
        dataset, id_ = self._places[index]
        store = self._stores[dataset]
        return AlignerExample(id_, store.read(id_, "phonemes"), store.read(id_, "mel"), dataset)


def open_symbols(processed_dir: Path, datasets: Collection[str]) -> SymbolTable:
    """Read the symbol table that stage 1 left for these corpora together.

    Raises:
        DataError: there is none.
    """
    try:
        return SymbolTable.open(voice_folder(processed_dir, datasets) / SYMBOLS_FILE)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such file; run stage 1 first") from None


def open_aligner_corpora(
    processed_dir: Path, datasets: Sequence[str], splits: Sequence[str], *, expect: Mapping[str, Any] | None = None
) -> tuple[list[Utterance], dict[str, FeatureStore]]:
    """Open what an `AlignerData` is made of: some splits of all corpora of an experiment, and the corpora's stores.

    Args:
        processed_dir: what stage 1 wrote to.
        datasets: names of the corpora.
        splits: `train`, `valid`, ...
        expect: the settings that the features must have been made with, as `FeatureStore.open` takes them.

    Raises:
        ManifestError, StoreError: something that stage 1 writes is missing, damaged or made with other settings.
        DataError: there is no manifest, or no utterance in it has phones.
    """
    return open_split(
        processed_dir,
        datasets,
        *splits,
        is_usable=lambda utterance, store: store.has(utterance.id, ALIGNER_FEATURES),
        expect=expect,
    )
