"""What an aligner learns from: the phones of a text, in order, and the mel of its recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from processors.acoustic_data import DataError
from processors.audio.mel import MEL_FLOOR
from processors.feature_store import FeatureStore
from processors.text.symbols import SymbolTable
from processors.utterance import Utterance, read_manifest


@dataclass(frozen=True)
class AlignerBatch:
    """Utterances for an aligner; 0 stands on padding, but in `mel`, where it is silence.

    Attributes:
        ids: B names.
        datasets: B corpora; names are unique within one.
        phoneme_ids: (B, T_text) numbers of the symbol table.
        phoneme_lengths: (B,) real phonemes.
        mel: (B, M, T_mel) log-mel, M next to each other in memory.
        mel_lengths: (B,) real frames.
        counts: real frames, phonemes and utterances.
    """

    ids: tuple[str, ...]
    datasets: tuple[str, ...]
    phoneme_ids: Tensor
    phoneme_lengths: Tensor
    mel: Tensor
    mel_lengths: Tensor
    counts: Mapping[str, int]

    @property
    def padded(self) -> Mapping[str, int]:
        """Places with padding."""
        return {"frames": self.mel.shape[0] * self.mel.shape[2], "phonemes": self.phoneme_ids.numel()}

    def to(self, device: torch.device | str) -> AlignerBatch:
        """The same batch on another device."""
        names = ("phoneme_ids", "phoneme_lengths", "mel", "mel_lengths")
        moved: dict[str, Any] = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return replace(self, **moved)


@dataclass(frozen=True)
class AlignerExample:
    """One utterance of an `AlignerBatch`: its name, (T_text,) `phoneme_ids`, (T_mel, M) `mel`, and its corpus."""

    id: str
    phoneme_ids: np.ndarray
    mel: np.ndarray
    dataset: str = ""


def collate_aligner(examples: Sequence[AlignerExample], length_step: int = 1) -> AlignerBatch:
    """Pad utterances to the longest among them.

    Args:
        examples: at least one.
        length_step: lengths are rounded up to a multiple of it (see `collate_acoustic`).
    """

    def padded(arrays: list[np.ndarray], filler: float = 0.0) -> Tensor:
        together = pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True, padding_value=filler)
        missing = -together.shape[1] % length_step
        return F.pad(together, (0, 0) * (together.ndim - 2) + (0, missing), value=filler)

    phoneme_lengths = torch.tensor([len(example.phoneme_ids) for example in examples])
    mel_lengths = torch.tensor([len(example.mel) for example in examples])
    return AlignerBatch(
        ids=tuple(example.id for example in examples),
        datasets=tuple(example.dataset for example in examples),
        phoneme_ids=padded([example.phoneme_ids for example in examples]).long(),
        phoneme_lengths=phoneme_lengths,
        mel=padded([example.mel for example in examples], math.log(MEL_FLOOR)).transpose(1, 2),
        mel_lengths=mel_lengths,
        counts={
            "frames": int(mel_lengths.sum()),
            "phonemes": int(phoneme_lengths.sum()),
            "utterances": len(examples),
        },
    )


class AlignerData(Dataset[AlignerExample]):
    """Utterances of one or more corpora, read from their feature stores.

    Args:
        utterances: those with a mel and phonemes; their corpora are keys of `stores`.
        stores: corpus to its features.
    """

    def __init__(self, utterances: Sequence[Utterance], stores: Mapping[str, FeatureStore]) -> None:
        self._stores = dict(stores)
        self._items = [(utterance.dataset, utterance.id) for utterance in utterances]
        self.lengths = np.array([stores[dataset].length(id_, "mel") for dataset, id_ in self._items], dtype=np.int64)
        """(len(self),) frames of every utterance."""

    def weights(self, dataset_weight: Mapping[str, float]) -> list[float]:
        """How often each utterance shall be drawn per epoch, by the setting of that name."""
        return [dataset_weight.get(dataset, 1.0) for dataset, _ in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> AlignerExample:
        dataset, id_ = self._items[index]
        store = self._stores[dataset]
        return AlignerExample(id_, store.read(id_, "phonemes"), store.read(id_, "mel"), dataset)


def open_symbols(processed_dir: Path) -> SymbolTable:
    """Read the symbol table that stage 1 left.

    Raises:
        DataError: there is none.
    """
    try:
        return SymbolTable.open(processed_dir / "symbols.json")
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
    utterances: list[Utterance] = []
    stores = {}
    for dataset in datasets:
        store = stores[dataset] = FeatureStore.open(processed_dir / dataset, expect)
        for split in splits:
            manifest = processed_dir / dataset / f"{split}.jsonl"
            if not manifest.is_file():
                raise DataError(f"{manifest}: no such file; run stage 1 first")
            listed = read_manifest(manifest)
            with_phones = [utterance for utterance in listed if store.has(utterance.id, ("mel", "phonemes"))]
            if listed and not with_phones:
                raise DataError(f"{manifest}: none of the recordings has phones; run stage 1 of a recipe with texts")
            utterances += with_phones
    return utterances, stores
