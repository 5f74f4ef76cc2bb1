"""Dataset for vocoders: segments of mels and waveforms, read as slices from the feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from processors.audio.mel_blur import randomly_blurred
from processors.datasets.open_split import open_split
from processors.datasets.utterance_data import Batch
from processors.feature_store import FeatureStore
from processors.features import PREDICTED_BY, PREDICTED_MEL, VOCODER_FEATURES, DataError
from processors.utterance import Utterance
from utils.console import warn

MEL_FEATURES = {"recorded": "mel", "predicted": PREDICTED_MEL}
"""The feature with a vocoder's input mels, by `train.mel_source`."""

# Segments begin at any place of an utterance of so many frames, far beyond the period of any table of noise.
_MAX_FRAMES = 2**16


@dataclass(frozen=True)
class VocoderBatch(Batch):
    """A batch for vocoders: segments of recordings, all of one length.

    Attributes:
        ids: B utterance ids.
        mel: (B, M, T_mel) log-mel.
        waveform: (B, T_mel * hop_size) in [-1, 1).
        first_frame: (B,) place of the first frame, counted from the beginning of an utterance; of training segments a
            random one.
        counts: frames and utterances.
        f0_hz: (B, T_mel) in Hz, 0 where unvoiced; None for vocoders that do not take it.
    """

    ids: tuple[str, ...]
    mel: Tensor
    waveform: Tensor
    first_frame: Tensor
    counts: Mapping[str, int]
    f0_hz: Tensor | None = None

    @property
    def padded(self) -> Mapping[str, int]:
        """Numbers of frames, without any padding."""
        return {"frames": self.counts["frames"]}


@dataclass(frozen=True)
class VocoderExample:
    """A segment of one recording: `mel` (T_mel, M), `waveform` (T_mel * hop_size,) int16, `f0_hz` (T_mel,) if taken."""

    id: str
    mel: np.ndarray
    waveform: np.ndarray
    f0_hz: np.ndarray | None = None
    first_frame: int = 0


def collate_vocoder(examples: Sequence[VocoderExample]) -> VocoderBatch:
    """Stack segments of one length."""
    mel = torch.from_numpy(np.stack([example.mel for example in examples]))
    waveform = torch.from_numpy(np.stack([example.waveform for example in examples]))
    contours = [example.f0_hz for example in examples if example.f0_hz is not None]
    return VocoderBatch(
        ids=tuple(example.id for example in examples),
        mel=mel.transpose(1, 2).contiguous(),
        waveform=waveform.float() / 32768.0,
        first_frame=torch.tensor([example.first_frame for example in examples]),
        f0_hz=torch.from_numpy(np.stack(contours)) if contours else None,
        counts={"frames": mel.shape[0] * mel.shape[1], "utterances": len(examples)},
    )


class _VocoderData:
    """Recordings of one split of one or more corpora, read from their feature stores."""

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        stores: Mapping[str, FeatureStore],
        mel_feature: str,
        *,
        with_f0: bool = False,
    ) -> None:
        self._items, self._stores, self._mel_feature = list(items), dict(stores), mel_feature
        self._with_f0 = with_f0
        self.lengths = np.array([stores[dataset].length(id_, "mel") for id_, dataset in items], dtype=np.int64)
        """(len(self),) frames per recording."""

    def weights(self, dataset_weight: Mapping[str, float]) -> list[float]:
        """Return how often each recording is drawn per epoch, from the setting `dataset_weight`."""
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
            store.read(id_, "f0", start, stop) if self._with_f0 else None,
        )


class WholeRecordings(_VocoderData, Dataset[VocoderExample]):
    """Whole recordings."""

    def __getitem__(self, index: int) -> VocoderExample:
        return self._read(index, 0, int(self.lengths[index]))


class Segments(_VocoderData, Dataset[VocoderExample]):
    """A segment of each recording, another one in each epoch; only its bytes are read.

    It depends on seed, epoch, index and, for recordings drawn several times per epoch, turn alone. Recordings
    shorter than a segment are left out.

    Args:
        items: id and corpus of each recording.
        stores: corpus to its features.
        mel_feature: the feature with the mels.
        segment_frames: length of a segment.
        seed: of the segments.
        with_f0: whether F0 is read, too.
        blur_share: share of the segments whose mel is blurred (`processors.audio.mel_blur`).

    Raises:
        DataError: every recording is shorter than a segment.
    """

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        stores: Mapping[str, FeatureStore],
        mel_feature: str,
        *,
        segment_frames: int,
        seed: int,
        with_f0: bool = False,
        blur_share: float = 0.0,
    ) -> None:
        super().__init__(items, stores, mel_feature, with_f0=with_f0)
        self._segment_frames, self._seed, self._blur_share = segment_frames, seed, blur_share
        long_enough = self.lengths >= segment_frames
        if not long_enough.any():
            longest = int(self.lengths.max(initial=0))
            raise DataError(
                f"none of the {len(items)} training recordings has the {segment_frames} frames of "
                f"train.segment_size, the longest has {longest}; set a smaller train.segment_size"
            )
        if left_out := int((~long_enough).sum()):
            warn(f"{left_out} of {len(items)} training recordings are shorter than train.segment_size: left out")
        self._items = [item for item, keep in zip(items, long_enough, strict=True) if keep]
        self.lengths = self.lengths[long_enough]

    def __getitem__(self, key: tuple[int, int, int]) -> VocoderExample:
        index, epoch, turn = key
        generator = np.random.default_rng([self._seed, epoch, index, *([turn] if turn else [])])
        start = int(generator.integers(0, self.lengths[index] - self._segment_frames + 1))
        example = self._read(index, start, start + self._segment_frames)
        example = replace(example, first_frame=int(generator.integers(0, _MAX_FRAMES)))
        if generator.random() < self._blur_share:
            example = replace(example, mel=randomly_blurred(example.mel, generator))
        return example


def open_recordings(
    processed_dir: Path,
    datasets: Sequence[str],
    split: str,
    *,
    mel_feature: str = "mel",
    features: Sequence[str] = VOCODER_FEATURES,
    expect: Mapping[str, Any] | None = None,
) -> tuple[list[tuple[str, str]], dict[str, FeatureStore]]:
    """Return id and corpus of each recording in one split of all corpora of an experiment, and the stores.

    Args:
        processed_dir: the output of stage 1.
        datasets: names of the corpora.
        split: `train`, `valid`, ...
        mel_feature: the feature with the mels.
        features: all that are needed; `mel` stands for `mel_feature`.
        expect: the settings that the features must have been made with; see `FeatureStore.open`.

    Raises:
        ManifestError, StoreError: output of stage 1 is missing, damaged or made with other settings.
        DataError: there is no such split, or recordings lack one of the features.
    """
    utterances, stores = open_split(processed_dir, datasets, split, expect=expect)
    if mel_feature == PREDICTED_MEL:  # which recordings without usable text lack
        utterances = [utterance for utterance in utterances if utterance.phones]
    needed = [mel_feature if feature == "mel" else feature for feature in features]
    for dataset, store in stores.items():
        of_corpus = [utterance for utterance in utterances if utterance.dataset == dataset]
        lacking = [utterance.id for utterance in of_corpus if not store.has(utterance.id, needed)]
        if lacking:
            [missing, *_] = (feature for feature in needed if not store.has(lacking[0], (feature,)))
            raise DataError(
                f"{processed_dir / dataset}: {len(lacking)} of {len(of_corpus)} {split} recordings have no "
                f"{missing}, such as {lacking[0]}; run "
                + ("python -m bins.predict_mels" if missing == PREDICTED_MEL else "stage 1")
                + " first"
            )
        if mel_feature == PREDICTED_MEL:
            _require_one_model(store, of_corpus)
    return [(utterance.id, utterance.dataset) for utterance in utterances], stores


def _require_one_model(store: FeatureStore, utterances: Sequence[Utterance]) -> None:
    """Raise a `DataError` unless all predicted mels are by one model and as long as their recordings."""
    models = set()
    for utterance in utterances:
        frames, predicted = (store.length(utterance.id, feature) for feature in ("mel", PREDICTED_MEL))
        if frames != predicted:
            raise DataError(
                f"{store.folder}: {utterance.id} has {frames} frames, its predicted mel {predicted}; "
                "run python -m bins.predict_mels again"
            )
        models.add(store.read(utterance.id, PREDICTED_BY).tobytes())
    if len(models) > 1:
        raise DataError(
            f"{store.folder}: the predicted mels are of {len(models)} acoustic models; predict all with one of them: "
            "python -m bins.predict_mels --overwrite"
        )
