"""What a vocoder learns from: aligned segments of mels and waveforms, read as slices from the feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from processors.datasets.open_split import open_split
from processors.feature_store import FeatureStore
from processors.features import PREDICTED_BY, PREDICTED_MEL, DataError
from processors.utterance import Utterance
from utils.console import warn

MEL_FEATURES = {"recorded": "mel", "predicted": PREDICTED_MEL}
"""The feature that a vocoder takes mels from, by `train.mel_source`."""


@dataclass(frozen=True)
class VocoderBatch:
    """Stretches of recordings, all of one length.

    Attributes:
        ids: B names of the recordings.
        mel: (B, M, T_mel) log-mel.
        waveform: (B, T_mel * hop_size) in [-1, 1).
        counts: frames and utterances.
    """

    ids: tuple[str, ...]
    mel: Tensor
    waveform: Tensor
    counts: Mapping[str, int]

    @property
    def padded(self) -> Mapping[str, int]:
        """The same frames: nothing is padding."""
        return {"frames": self.counts["frames"]}

    def to(self, device: torch.device | str) -> VocoderBatch:
        """The same batch on another device."""
        return replace(
            self,
            mel=self.mel.to(device, non_blocking=True),
            waveform=self.waveform.to(device, non_blocking=True),
        )


@dataclass(frozen=True)
class VocoderExample:
    """A stretch of one recording: `mel` (T_mel, M) and `waveform` (T_mel * hop_size,) int16."""

    id: str
    mel: np.ndarray
    waveform: np.ndarray


def collate_vocoder(examples: Sequence[VocoderExample]) -> VocoderBatch:
    """Stack stretches of one length."""
    mel = torch.from_numpy(np.stack([example.mel for example in examples]))
    waveform = torch.from_numpy(np.stack([example.waveform for example in examples]))
    return VocoderBatch(
        ids=tuple(example.id for example in examples),
        mel=mel.transpose(1, 2).contiguous(),
        waveform=waveform.float() / 32768.0,
        counts={"frames": mel.shape[0] * mel.shape[1], "utterances": len(examples)},
    )


class _VocoderData:
    """Recordings of one split of one or more corpora, read from their feature stores."""

    def __init__(self, items: Sequence[tuple[str, str]], stores: Mapping[str, FeatureStore], mel_feature: str) -> None:
        self._items, self._stores, self._mel_feature = list(items), dict(stores), mel_feature
        self.lengths = np.array([stores[dataset].length(id_, "mel") for id_, dataset in items], dtype=np.int64)
        """(len(self),) frames of every recording."""

    def weights(self, dataset_weight: Mapping[str, float]) -> list[float]:
        """How often each recording shall be drawn per epoch, by the setting of that name."""
        return [dataset_weight.get(dataset, 1.0) for _, dataset in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def _read(self, index: int, start: int, stop: int) -> VocoderExample:
        id_, dataset = self._items[index]
        store = self._stores[dataset]
        hop_size = store.settings["hop_size"]
        return VocoderExample(
            id_,
            store.read(id_, self._mel_feature, start, stop),
            store.read(id_, "waveform", start * hop_size, stop * hop_size),
        )


class WholeRecordings(_VocoderData, Dataset[VocoderExample]):
    """Every recording from end to end."""

    def __getitem__(self, index: int) -> VocoderExample:
        return self._read(index, 0, int(self.lengths[index]))


class Segments(_VocoderData, Dataset[VocoderExample]):
    """A segment of every recording, another one in each epoch; only its bytes are read.

    Which one follows from seed, epoch, index and, where it comes several times per epoch, turn alone. Recordings
    shorter than a segment are left out.

    Args:
        items: id and corpus of each recording.
        stores: corpus to its features.
        mel_feature: the feature to take mels from.
        segment_frames: length of a segment.
        seed: another seed, other segments.

    Raises:
        DataError: no recording is as long as a segment.
    """

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        stores: Mapping[str, FeatureStore],
        mel_feature: str,
        *,
        segment_frames: int,
        seed: int,
    ) -> None:
        super().__init__(items, stores, mel_feature)
        self._segment_frames, self._seed = segment_frames, seed
        long_enough = self.lengths >= segment_frames
        if not long_enough.any():
            longest = int(self.lengths.max(initial=0))
            raise DataError(
                f"none of the {len(items)} recordings for training has the {segment_frames} frames of "
                f"train.segment_size, the longest has {longest}; set a smaller train.segment_size"
            )
        if left_out := int((~long_enough).sum()):
            warn(f"{left_out} of {len(items)} recordings for training are shorter than train.segment_size: left out")
        self._items = [item for item, keep in zip(items, long_enough, strict=True) if keep]
        self.lengths = self.lengths[long_enough]

    def __getitem__(self, place: tuple[int, int, int]) -> VocoderExample:
        index, epoch, turn = place
        chance = np.random.default_rng([self._seed, epoch, index, *([turn] if turn else [])])
        start = int(chance.integers(0, self.lengths[index] - self._segment_frames + 1))
        return self._read(index, start, start + self._segment_frames)


def open_recordings(
    processed_dir: Path,
    datasets: Sequence[str],
    split: str,
    *,
    mel_feature: str = "mel",
    expect: Mapping[str, Any] | None = None,
) -> tuple[list[tuple[str, str]], dict[str, FeatureStore]]:
    """Open one split of all corpora of an experiment; gives id and corpus of each recording, and the stores.

    Args:
        processed_dir: what stage 1 wrote to.
        datasets: names of the corpora.
        split: `train`, `valid`, ...
        mel_feature: the feature that mels will be taken from.
        expect: the settings that the features must have been made with, as `FeatureStore.open` takes them.

    Raises:
        ManifestError, StoreError: something that stage 1 writes is missing, damaged or made with other settings.
        DataError: there is no such split, or mels of `mel_feature` are missing.
    """
    utterances, stores = open_split(processed_dir, datasets, split, expect=expect)
    if mel_feature == PREDICTED_MEL:  # there are none of recordings whose text cannot be used
        utterances = [utterance for utterance in utterances if utterance.phones]
    for dataset, store in stores.items():
        of_corpus = [utterance for utterance in utterances if utterance.dataset == dataset]
        lacking = [utterance.id for utterance in of_corpus if not store.has(utterance.id, (mel_feature, "waveform"))]
        if lacking:
            raise DataError(
                f"{processed_dir / dataset}: {len(lacking)} of {len(of_corpus)} recordings for {split} have no "
                f"{mel_feature}, among them {lacking[0]}; run "
                + ("stage 1" if mel_feature == "mel" else "python -m bins.predict_mels")
                + " first"
            )
        if mel_feature == PREDICTED_MEL:
            _require_one_maker(store, of_corpus)
    return [(utterance.id, utterance.dataset) for utterance in utterances], stores


def _require_one_maker(store: FeatureStore, utterances: Sequence[Utterance]) -> None:
    """Raise a `DataError` unless all predicted mels are one model's and as long as their recordings."""
    makers = set()
    for utterance in utterances:
        frames, predicted = (store.length(utterance.id, feature) for feature in ("mel", PREDICTED_MEL))
        if frames != predicted:
            raise DataError(
                f"{store.folder}: {utterance.id} has {frames} frames, its predicted mel {predicted}; "
                "run python -m bins.predict_mels again"
            )
        makers.add(store.read(utterance.id, PREDICTED_BY).tobytes())
    if len(makers) > 1:
        raise DataError(
            f"{store.folder}: the predicted mels are of {len(makers)} acoustic models; let one of them finish: "
            "python -m bins.predict_mels --overwrite"
        )
