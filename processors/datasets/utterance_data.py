"""What training data of spoken texts have in common: phones and mels, read one by one and padded together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from processors.audio.mel import MEL_FLOOR
from processors.feature_store import FeatureStore, StoreError, is_store, settings_of
from processors.text.front_end_version import FrontEndVersion
from processors.utterance import Utterance

_Batch = TypeVar("_Batch", bound="UtteranceBatch")
_Example = TypeVar("_Example", bound="UtteranceExample", covariant=True)


@dataclass(frozen=True)
class UtteranceBatch:
    """Utterances with their phones and mels; 0 stands on padding, but in `mel`, where it is silence.

    Attributes:
        ids: B names.
        phoneme_ids: (B, T_text) numbers of the symbol table.
        phoneme_lengths: (B,) real phonemes.
        mel: (B, M, T_mel) log-mel, M next to each other in memory.
        mel_lengths: (B,) real frames.
        counts: real frames, phonemes and utterances.
    """

    ids: tuple[str, ...]
    phoneme_ids: Tensor
    phoneme_lengths: Tensor
    mel: Tensor
    mel_lengths: Tensor
    counts: Mapping[str, int]

    @property
    def padded(self) -> Mapping[str, int]:
        """Places with padding."""
        return {"frames": self.mel.shape[0] * self.mel.shape[2], "phonemes": self.phoneme_ids.numel()}

    def to(self: _Batch, device: torch.device | str) -> _Batch:
        """The same batch on another device."""
        moved: dict[str, Any] = {
            each.name: value.to(device, non_blocking=True)
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), Tensor)
        }
        return replace(self, **moved)


class UtteranceExample(Protocol):
    """One utterance of a batch, without the padding: (T_text,) `phoneme_ids` and (T_mel, M) `mel`."""

    @property
    def id(self) -> str: ...
    @property
    def phoneme_ids(self) -> np.ndarray: ...
    @property
    def mel(self) -> np.ndarray: ...


def pad_arrays(arrays: Sequence[np.ndarray], *, filler: float = 0.0, length_step: int = 1) -> Tensor:
    """Put arrays (T, ...) together into (B, T, ...), where T is the longest, rounded up to a multiple of a step."""
    together = pad_sequence([torch.from_numpy(array) for array in arrays], batch_first=True, padding_value=filler)
    missing = -together.shape[1] % length_step
    return F.pad(together, (0, 0) * (together.ndim - 2) + (0, missing), value=filler)


def collate_utterances(
    make_batch: Callable[..., _Batch], examples: Sequence[UtteranceExample], length_step: int, **of_its_own: Any
) -> _Batch:
    """Make a batch of what every utterance has, and of what else the kind of batch holds.

    Args:
        make_batch: its class.
        examples: at least one.
        length_step: lengths are rounded up to a multiple of it. The fewer lengths there are, the more often a CPU's
            kernels, which are made anew for every shape, are found ready: with 8, training is a tenth faster and
            takes a quarter less memory, for one more frame of padding in a hundred.
        **of_its_own: the other attributes.
    """
    phoneme_lengths = torch.tensor([len(example.phoneme_ids) for example in examples])
    mel_lengths = torch.tensor([len(example.mel) for example in examples])
    mels = [example.mel for example in examples]
    return make_batch(
        ids=tuple(example.id for example in examples),
        phoneme_ids=pad_arrays([example.phoneme_ids for example in examples], length_step=length_step).long(),
        phoneme_lengths=phoneme_lengths,
        mel=pad_arrays(mels, filler=math.log(MEL_FLOOR), length_step=length_step).transpose(1, 2),
        mel_lengths=mel_lengths,
        counts={
            "frames": int(mel_lengths.sum()),
            "phonemes": int(phoneme_lengths.sum()),
            "utterances": len(examples),
        },
        **of_its_own,
    )


def front_end_version_of(processed_dir: Path, datasets: Sequence[str]) -> FrontEndVersion:
    """Return the version of the front end that made the phones in feature stores, the oldest where they differ.

    Raises:
        StoreError: it is damaged.
    """
    versions = []
    for folder in (processed_dir / dataset for dataset in datasets):
        if is_store(folder):
            try:
                versions.append(FrontEndVersion.read(settings_of(folder)))
            except ValueError as error:
                raise StoreError(f"{folder}: {error}; run stage 1 again with --overwrite") from error
    return FrontEndVersion.oldest(versions)


class UtteranceData(Dataset[_Example]):
    """Utterances of one or more corpora, read from their feature stores.

    Args:
        utterances: those with phones and a mel; their corpora are keys of `stores`.
        stores: corpus to its features.
    """

    def __init__(self, utterances: Sequence[Utterance], stores: Mapping[str, FeatureStore]) -> None:
        self._stores = dict(stores)
        self._places = [(utterance.dataset, utterance.id) for utterance in utterances]
        self.lengths = np.array([stores[dataset].length(id_, "mel") for dataset, id_ in self._places], dtype=np.int64)
        """(len(self),) frames of every utterance."""

    def weights(self, dataset_weight: Mapping[str, float]) -> list[float]:
        """How often each utterance shall be drawn per epoch, by the setting of that name."""
        return [dataset_weight.get(dataset, 1.0) for dataset, _ in self._places]

    def __len__(self) -> int:
        return len(self._places)
