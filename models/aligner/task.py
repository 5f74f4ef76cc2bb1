"""Training of the aligner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from models.aligner.loss import loss_terms
from models.aligner.network import Aligner
from models.aligner.settings import AlignerSettings
from models.bundle import Bundle
from models.contracts import EmbeddingRows
from models.training.optimization import adam
from models.training.schedules import learning_rate_share
from processors.datasets.aligner_data import (
    AlignerBatch,
    AlignerData,
    collate_aligner,
    open_aligner_corpora,
    open_symbols,
)
from processors.datasets.batches import OrderedBatches, PlannedBatches, training_batches, validation_batches
from processors.datasets.utterance_data import front_end_version_of
from processors.features import ALIGNER_FEATURES, store_settings
from processors.reports.speech_pictures import alignment_picture
from processors.text.symbols import SymbolTable
from utils.pictures import pixels
from utils.task import Optimization, Samples, Sum, Update

if TYPE_CHECKING:
    from config.schema import ExperimentSettings

_SAMPLES = 2
_collate = partial(collate_aligner, length_step=8)


class AlignerTask:
    """Trains the aligner with one optimizer (`utils.task.Task`).

    Args:
        settings: of the experiment.
        symbols: of its front end.
    """

    def __init__(self, settings: AlignerSettings, symbols: SymbolTable) -> None:
        self._settings, self._symbols = settings, symbols
        self.modules: dict[str, nn.Module] = {"network": Aligner.untrained(settings, symbols)}

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> AlignerTask:
        """Create the task from the files of stage 1 in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run.
        """
        assert isinstance(settings, AlignerSettings)
        return cls(settings, open_symbols(settings.preprocess.processed_path, settings.dataset))

    def embedding_rows(self) -> Mapping[str, EmbeddingRows]:
        """Return the phones' embeddings and frequencies (`models.contracts.HasEmbeddingRows`)."""
        of_symbols = EmbeddingRows("symbol", self._symbols.symbols)
        return {"network.phoneme_places.weight": of_symbols, "network.frequency": of_symbols}

    def train_batches(self, rank: int = 0, world_size: int = 1) -> PlannedBatches:
        """Return one process's share of the training data."""
        return training_batches(self._open("train"), _collate, self._settings, rank=rank, world_size=world_size)

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Return one process's share of the validation data."""
        return validation_batches(self._open("valid"), _collate, self._settings, rank=rank, world_size=world_size)

    def _open(self, split: str) -> AlignerData:
        preprocess = self._settings.preprocess
        utterances, stores = open_aligner_corpora(
            preprocess.processed_path,
            self._settings.dataset,
            [split],
            expect=store_settings(preprocess, ALIGNER_FEATURES, self._symbols.symbols),
        )
        return AlignerData(utterances, stores)

    def optimizers(self) -> Mapping[str, Optimization]:
        """Return Adam with warm-up and cosine decay."""
        train = self._settings.train
        share = learning_rate_share(warmup_steps=train.warmup_steps, decay="cosine", decay_steps=train.decay_steps)
        return adam(self.modules, train, share)

    def updates(self, batch: AlignerBatch, step: int) -> Iterator[Update]:
        """Yield the forward-sum loss and, from `train.binarize_from_step` on, the binarization loss."""
        train = self._settings.train
        weight = train.binarization_weight if step >= train.binarize_from_step else None
        scored = self.modules["network"](batch)
        yield Update("network", loss_terms(scored, batch, binarization_weight=weight))

    def validate(self, batch: AlignerBatch) -> Mapping[str, Sum]:
        """Return the losses, both from the first step on so that all checkpoints compare."""
        network, train = self._network, self._settings.train
        terms = loss_terms(network(batch), batch, binarization_weight=train.binarization_weight)
        frames = batch.counts["frames"]
        loss = sum((term.weight * term.value for term in terms.values()), start=torch.zeros(()))
        return {
            "loss": Sum(loss * frames, frames),
            **{name: Sum(term.value * frames, frames) for name, term in terms.items()},
        }

    def samples(self, batch: AlignerBatch) -> Samples:
        """Return pictures of some utterances' state probabilities over time, with the likeliest path."""
        scored = self._network.score(batch)
        durations = scored.durations(batch.mel_lengths)
        preprocess = self._settings.preprocess
        images = {}
        for row in range(min(_SAMPLES, len(batch.ids))):
            n_frames, n_states = int(batch.mel_lengths[row]), int(scored.states.lengths[row])
            states = slice(0, n_states)
            figure = alignment_picture(
                _array(batch.mel[row, :, :n_frames].T),
                _array(scored.scores[row, :n_frames, states].softmax(dim=1)),
                phones=self._symbols.phones(scored.states.symbols[row, states].tolist()),
                durations=_array(durations[row, states]),
                seconds_per_frame=preprocess.hop_size / preprocess.sample_rate,
                title=batch.ids[row],
            )
            images[f"sample_{row}/alignment"] = pixels(figure)
        return Samples(images)

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return nothing: the trainer's own warnings are enough."""
        return ()

    def bundle(self, folder: Path) -> None:
        """Write a bundle of the network as it is now."""
        settings = self._settings
        front_end = front_end_version_of(settings.preprocess.processed_path, settings.dataset)
        Bundle(settings, self.modules["network"].state_dict(), self._symbols, front_end=front_end).save(folder)

    @property
    def _network(self) -> Aligner:
        return cast(Aligner, self.modules["network"])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
