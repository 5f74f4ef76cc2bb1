"""FastSpeech 2 in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from config.paths import rooted
from models.bundle import Bundle
from models.contracts import EmbeddingRows, GeneratedSpeech, PhonemeBatch
from models.fastspeech2.loss import loss_terms
from models.fastspeech2.network import FastSpeech2
from models.fastspeech2.settings import FastSpeech2Settings
from models.layers.acoustic_network import Prediction
from models.layers.length_regulator import frame_index
from models.training.schedules import learning_rate_share
from processors.audio.griffin_lim import griffin_lim
from processors.audio.mel import MelSpectrogram
from processors.datasets.acoustic_data import (
    AcousticBatch,
    AcousticData,
    Voice,
    collate_acoustic,
    open_acoustic_data,
    open_voice,
)
from processors.datasets.batches import OrderedBatches, PlannedBatches, training_batches, validation_batches
from processors.datasets.utterance_data import front_end_version_of
from processors.features import ACOUSTIC_FEATURES, store_settings
from processors.reports.speech_pictures import curves_picture, mels_picture
from utils.parameter_groups import learning_groups
from utils.pictures import pixels
from utils.task import Optimization, Samples, Sum, Update

if TYPE_CHECKING:
    from config.schema import ExperimentSettings

_SAMPLES = 2
_GRIFFIN_LIM_ITERATIONS = 30
_collate = partial(collate_acoustic, length_step=8)


class FastSpeech2Task:
    """Trains FastSpeech 2 with one optimizer (`utils.task.Task`).

    Args:
        settings: of the experiment.
        voice: symbols, speakers and statistics of its data.
    """

    def __init__(self, settings: FastSpeech2Settings, voice: Voice) -> None:
        self._settings, self._voice = settings, voice
        network = FastSpeech2.untrained(settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings)
        self.modules: dict[str, nn.Module] = {"network": network}

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> FastSpeech2Task:
        """Make the task from what stage 1 left in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run, or its files are damaged.
        """
        assert isinstance(settings, FastSpeech2Settings)
        return cls(settings, open_voice(rooted(settings.preprocess.processed_dir)))

    def embedding_rows(self) -> Mapping[str, EmbeddingRows]:
        """The tables of phones and speakers (`models.contracts.HasEmbeddingRows`)."""
        speakers = self._voice.speakers
        tables = {"network.phoneme_embedding.weight": EmbeddingRows("symbol", self._voice.symbols.symbols)}
        if self._settings.model.speaker_conditioning == "table":
            names = sorted(speakers, key=lambda name: speakers[name])
            tables["network.speaker_embedding.weight"] = EmbeddingRows("speaker", names)
        return tables

    def train_batches(self, rank: int = 0, world_size: int = 1) -> PlannedBatches:
        """Give one process's share of the training data."""
        return training_batches(self._open("train"), _collate, self._settings, rank=rank, world_size=world_size)

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Give one process's share of the validation data."""
        return validation_batches(self._open("valid"), _collate, self._settings, rank=rank, world_size=world_size)

    def _open(self, split: str) -> AcousticData:
        model, preprocess = self._settings.model, self._settings.preprocess
        return open_acoustic_data(
            rooted(preprocess.processed_dir),
            self._settings.dataset,
            split,
            self._voice,
            expect=store_settings(preprocess, ACOUSTIC_FEATURES, self._voice.symbols.symbols),
            pitch_level=model.pitch_level,
            energy_level=model.energy_level,
        )

    def optimizers(self) -> Mapping[str, Optimization]:
        """Adam with warm-up, decay and annealing."""
        train = self._settings.train
        optimizer = torch.optim.Adam(
            learning_groups(self.modules, ("network",), train.lr_groups, train.learning_rate),
            lr=train.learning_rate,
            betas=train.adam_betas,
            eps=train.adam_eps,
            fused=True,  # three times as fast as one parameter after the other, on CPU too
        )
        share = learning_rate_share(
            warmup_steps=train.warmup_steps,
            decay=train.decay,
            decay_steps=train.decay_steps,
            anneal_steps=train.anneal_steps,
            anneal_rate=train.anneal_rate,
        )
        scheduler = LambdaLR(optimizer, share)
        return {"network": Optimization(optimizer, ("network",), scheduler, ema_decay=train.ema_decay)}

    def updates(self, batch: AcousticBatch, step: int) -> Iterator[Update]:
        """Predict with true durations, pitch and energy, and compare."""
        model = self._settings.model
        predicted: Prediction = self.modules["network"](batch)
        terms = loss_terms(predicted, batch, pitch_level=model.pitch_level, energy_level=model.energy_level)
        yield Update("network", terms)

    def validate(self, batch: AcousticBatch) -> Mapping[str, Sum]:
        """Measure the losses with true durations, and how far free speech is from the recording.

        `free_mel` is the absolute error of the freely spoken mel, each phone stretched to its true duration;
        `free_duration` the error of the phones' durations in frames, and `free_length` that of the whole
        utterance as a share of it.
        """
        model, network = self._settings.model, self._network
        terms = loss_terms(network(batch), batch, pitch_level=model.pitch_level, energy_level=model.energy_level)
        sums = {name: Sum(term.value * batch.counts[term.per], batch.counts[term.per]) for name, term in terms.items()}
        loss = sum((term.weight * term.value for term in terms.values()), start=torch.zeros(()))
        frames, phonemes, utterances = (batch.counts[name] for name in ("frames", "phonemes", "utterances"))
        free = network.infer(PhonemeBatch.of(batch))
        return {
            "loss": Sum(loss * frames, frames),
            **sums,
            "free_mel": Sum(_free_mel_error(free, batch), frames),
            "free_duration": Sum((free.durations - batch.durations).abs().sum(), phonemes),
            "free_length": Sum(((free.mel_lengths / batch.mel_lengths) - 1.0).abs().sum(), utterances),
        }

    def samples(self, batch: AcousticBatch) -> Samples:
        """Draw and sound some utterances: recorded, with true durations, and freely spoken."""
        network = self._network
        predicted: Prediction = network(batch)
        free = network.infer(PhonemeBatch.of(batch))
        told = predicted.mel if predicted.refined_mel is None else predicted.refined_mel
        pictures: dict[str, np.ndarray] = {}
        audio: dict[str, np.ndarray] = {}
        texts: dict[str, str] = {}
        for row in range(min(_SAMPLES, len(batch.ids))):
            n_frames, n_phonemes = int(batch.mel_lengths[row]), int(batch.phoneme_lengths[row])
            mels = {
                "recorded": batch.mel[row, :, :n_frames],
                "true durations": told[row, :, :n_frames],
                "free": free.mel[row, :, : int(free.mel_lengths[row])],
            }
            name = f"sample_{row}"
            seconds_per_frame = self._settings.preprocess.hop_size / self._settings.preprocess.sample_rate
            by_name = {key: _array(mel).T for key, mel in mels.items()}
            pictures[f"{name}/mel"] = pixels(
                mels_picture(by_name, seconds_per_frame=seconds_per_frame, title=batch.ids[row])
            )
            pictures |= self._variance_pictures(name, batch, predicted, free, row)
            for key, mel in mels.items():
                audio[f"{name}/{key}"] = self._sound(mel)
            symbols = self._voice.symbols.symbols
            texts[name] = " ".join(symbols[index] for index in batch.phoneme_ids[row, :n_phonemes].tolist())
        return Samples(pictures, audio, self._settings.preprocess.sample_rate, texts)

    def concerns(self, losses: Mapping[str, float]) -> Sequence[str]:
        """Nothing beyond what the trainer sees itself."""
        return ()

    def bundle(self, folder: Path) -> None:
        """Write a bundle of the network as it is now."""
        voice = self._voice
        weights = self.modules["network"].state_dict()
        by_voice = self._settings.model.speaker_conditioning == "encoder"
        embeddings = voice.embeddings if by_voice else None
        Bundle(
            self._settings,
            weights,
            voice.symbols,
            voice.statistics,
            voice.speakers,
            embeddings,
            voice.languages,
            front_end=front_end_version_of(rooted(self._settings.preprocess.processed_dir), self._settings.dataset),
        ).save(folder)

    @property
    def _network(self) -> FastSpeech2:
        return cast(FastSpeech2, self.modules["network"])

    def _variance_pictures(
        self, name: str, batch: AcousticBatch, predicted: Prediction, free: GeneratedSpeech, row: int
    ) -> dict[str, np.ndarray]:
        n_frames, n_phonemes = int(batch.mel_lengths[row]), int(batch.phoneme_lengths[row])
        model = self._settings.model
        pictures = {}
        for quantity, level in (("pitch", model.pitch_level), ("energy", model.energy_level)):
            length = n_phonemes if level == "phone" else n_frames
            values = {
                "recorded": _array(getattr(batch, quantity)[row, :length]),
                "predicted": _array(predicted.values[quantity][row, :length]),
            }
            pictures[f"{name}/{quantity}"] = pixels(
                curves_picture(values, y_label=f"{quantity}, normalised", x_label=level, title=batch.ids[row])
            )
        durations = {
            "recorded": _array(batch.durations[row, :n_phonemes]),
            "predicted": _array(free.durations[row, :n_phonemes]),
        }
        pictures[f"{name}/durations"] = pixels(
            curves_picture(durations, y_label="frames", x_label="phone", title=batch.ids[row])
        )
        return pictures

    def _sound(self, mel: Tensor) -> np.ndarray:
        preprocess = self._settings.preprocess
        definition = MelSpectrogram.from_settings(preprocess)
        waveform = griffin_lim(mel.float().cpu(), definition, iterations=_GRIFFIN_LIM_ITERATIONS)
        return waveform.clamp(-1.0, 1.0).numpy()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _free_mel_error(free: GeneratedSpeech, batch: AcousticBatch) -> Tensor:
    """Add up the error of the freely spoken mel over true frames, each against the same place of its phone."""
    phone, is_padding = frame_index(batch.durations, batch.mel.shape[2])

    def starts_and_durations(durations: Tensor) -> tuple[Tensor, Tensor]:
        starts = durations.cumsum(dim=1) - durations
        return starts.gather(1, phone), durations.gather(1, phone)

    true_start, true_duration = starts_and_durations(batch.durations)
    free_start, free_duration = starts_and_durations(free.durations)
    frames = torch.arange(batch.mel.shape[2], device=phone.device)
    place_in_phone = (frames - true_start + 0.5) / true_duration.clamp(min=1)
    counterpart = (free_start + (place_in_phone * free_duration).floor().long()).clamp(0, free.mel.shape[2] - 1)
    index = counterpart.unsqueeze(1).expand(-1, batch.mel.shape[1], -1)
    error = (free.mel.gather(2, index) - batch.mel).abs().mean(dim=1)
    return error.masked_fill(is_padding, 0.0).sum()
