"""Dataset for aligners: utterances with the phones of their texts and mels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.datasets.open_split import open_split
from processors.datasets.utterance_data import UtteranceBatch, UtteranceData, UtteranceExample, collate_utterances
from processors.feature_store import FeatureStore
from processors.features import ALIGNER_FEATURES, DataError
from processors.speakers.voice_folder import voice_folder
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from processors.utterance import Utterance


@dataclass(frozen=True)
class AlignerBatch(UtteranceBatch):
    """A batch for aligners.

    Attributes:
        datasets: B corpora, within which ids are unique.
    """

    datasets: tuple[str, ...]


@dataclass(frozen=True)
class AlignerExample(UtteranceExample):
    """One utterance of an `AlignerBatch`, with its corpus."""

    dataset: str = ""


def collate_aligner(examples: Sequence[AlignerExample], length_step: int = 1) -> AlignerBatch:
    """Pad utterances to the longest one; see `collate_utterances`."""
    datasets = tuple(example.dataset for example in examples)
    return collate_utterances(AlignerBatch, examples, length_step, datasets=datasets)


class AlignerData(UtteranceData[AlignerExample]):
    """Utterances of one or more corpora for training an aligner."""

    def __getitem__(self, index: int) -> AlignerExample:
        dataset, id_ = self._keys[index]
        store = self._stores[dataset]
        return AlignerExample(id_, store.read(id_, "phonemes"), store.read(id_, "mel"), dataset)


def open_symbols(processed_dir: Path, datasets: Collection[str]) -> SymbolTable:
    """Read the symbol table that stage 1 wrote for these corpora together.

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
    """Open splits of all corpora of an experiment, and the corpora's stores, for an `AlignerData`.

    Args:
        processed_dir: the output of stage 1.
        datasets: names of the corpora.
        splits: `train`, `valid`, ...
        expect: the settings that the features must have been made with; see `FeatureStore.open`.

    Raises:
        ManifestError, StoreError: output of stage 1 is missing, damaged or made with other settings.
        DataError: there is no manifest, or no utterance in it has phones.
    """
    return open_split(
        processed_dir,
        datasets,
        *splits,
        is_usable=lambda utterance, store: store.has(utterance.id, ALIGNER_FEATURES),
        expect=expect,
    )
