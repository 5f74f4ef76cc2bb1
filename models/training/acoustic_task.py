"""Training of acoustic models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from models.bundle import Bundle
from models.contracts import EmbeddingRows, GeneratedSpeech, PhonemeBatch, prosody_levels
from models.layers.acoustic_network import AcousticNetwork, Prediction
from models.layers.length_regulator import frame_index
from models.layers.spoken_languages import SpokenLanguages
from models.training.acoustic_loss import MelError, acoustic_loss_terms
from models.training.mel_adversary import ADVERSARY, MelAdversary
from models.training.optimization import acoustic_optimizer, adam_over
from models.training.schedules import learning_rate_share
from models.training.settings import AcousticSettings
from models.training.utterance_draws import utterance_draws
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
from processors.datasets.further_utterances import FurtherSettings
from processors.datasets.utterance_data import front_end_version_of
from processors.evaluation.measures.sharpness import SHARPNESS_NAMES, sharpness
from processors.features import ACOUSTIC_FEATURES, DataError, Level, store_settings
from processors.reports.speech_pictures import alignment_picture, curves_picture, mels_picture
from utils.pictures import pixels
from utils.task import Optimization, Samples, Sum, Term, Update

if TYPE_CHECKING:
    from config.schema import ExperimentSettings

_SAMPLES = 2
_GRIFFIN_LIM_ITERATIONS = 30
_collate = partial(collate_acoustic, length_step=8)


class AcousticTask:
    """Trains an acoustic model (`utils.task.Task`): the network alone, or first a discriminator of its mels, then it.

    Args:
        settings: of the experiment.
        voice: symbols, speakers and statistics of its data.
        network: untrained, for this voice.

    Attributes:
        network_class: of the network that `from_settings` creates.
        mel_error: see `acoustic_loss_terms`.
    """

    network_class: ClassVar[type[AcousticNetwork]]
    mel_error: ClassVar[MelError] = "absolute"

    def __init__(self, settings: AcousticSettings, voice: Voice, network: AcousticNetwork) -> None:
        self._settings, self._voice = settings, voice
        scale = settings.preprocess.pitch_scale
        if other := next((each for each in voice.statistics.values() if each.pitch_scale != scale), None):
            raise DataError(
                f"{settings.preprocess.processed_path}: its statistics of pitch are of {other.pitch_scale}, and "
                f"preprocess.pitch_scale is {scale}; run stage 1 again"
            )
        self._levels = network.variance_adaptor.levels
        self.modules: dict[str, nn.Module] = {"network": network}
        self._adversary: MelAdversary | None = None
        if settings.train.mel_adversary_start_step:
            self._adversary = MelAdversary(settings.train)
            n_mel, n_symbols = settings.preprocess.n_mel, len(voice.symbols.symbols)
            self.modules[ADVERSARY] = self._adversary.make_discriminator(n_mel, n_symbols)

    @classmethod
    def from_settings(cls, settings: ExperimentSettings) -> AcousticTask:
        """Create the task from the files of stage 1 in `processed_dir`.

        Raises:
            DataError: stage 1 has not been run, or its files are damaged.
        """
        assert isinstance(settings, AcousticSettings)
        voice = open_voice(settings.preprocess.processed_path, settings.dataset)
        make_network = cls.network_class.untrained
        network = make_network(
            settings, voice.symbols, voice.speakers, voice.statistics, voice.embeddings, voice.languages
        )
        return cls(settings, voice, network)

    def embedding_rows(self) -> Mapping[str, EmbeddingRows]:
        """Return the tables of symbols, speakers and languages (`models.contracts.HasEmbeddingRows`)."""
        speakers = self._voice.speakers
        tables = {"network.phoneme_embedding.weight": EmbeddingRows("symbol", self._voice.symbols.symbols)}
        if self._settings.model.speaker_conditioning == "table":
            names = sorted(speakers, key=lambda name: speakers[name])
            tables["network.speaker_embedding.weight"] = EmbeddingRows("speaker", names)
        if self._adversary is not None and self._settings.train.mel_adversary_condition == "phones":
            tables[f"{ADVERSARY}.phone_planes.weight"] = tables["network.phoneme_embedding.weight"]
        if self._network.has_languages:
            spoken = SpokenLanguages.of(speakers, self._voice.languages, self._settings.preprocess.language)
            tables["network.language_table.embedding.weight"] = EmbeddingRows("language", spoken.names)
        return tables

    def weights_added_later(self) -> Sequence[str]:
        """Return parameters that initial weights may lack (`models.contracts.HasWeightsAddedLater`)."""
        return [f"network.{name}" for name in self._network.state_dict() if name.startswith("decoder_noise.")]

    def discriminators(self) -> Sequence[str]:
        """Return the discriminator of mels, where there is one (`models.contracts.HasDiscriminators`)."""
        return [ADVERSARY] if self._adversary is not None else []

    def train_batches(self, rank: int = 0, world_size: int = 1) -> PlannedBatches:
        """Return one process's share of the training data."""
        return training_batches(self._open("train"), _collate, self._settings, rank=rank, world_size=world_size)

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Return one process's share of the validation data."""
        return validation_batches(self._open("valid"), _collate, self._settings, rank=rank, world_size=world_size)

    def test_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Return one process's share of the test data."""
        return validation_batches(self._open("test"), _collate, self._settings, rank=rank, world_size=world_size)

    def _open(self, split: str) -> AcousticData:
        preprocess, datasets = self._settings.preprocess, self._settings.dataset
        given = datasets if preprocess.textgrid_dir else ()
        further = FurtherSettings(
            preprocess.phrases_share,
            preprocess.joined_share,
            frame_s=preprocess.hop_size / preprocess.sample_rate,
            max_duration_s=preprocess.max_duration_s,
            textgrid_dirs={dataset: preprocess.textgrid_path(dataset) for dataset in given},
        )
        makes_more = split == "train" and (preprocess.phrases_share or preprocess.joined_share)
        return open_acoustic_data(
            preprocess.processed_path,
            datasets,
            split,
            self._voice,
            expect=store_settings(preprocess, ACOUSTIC_FEATURES, self._voice.symbols.symbols),
            **prosody_levels(self._settings.model),
            further=further if makes_more else None,
            needs_durations=not self._settings.model.learns_durations,
        )

    def optimizers(self) -> Mapping[str, Optimization]:
        """Return the optimizers, with warm-up, decay and annealing; that of the discriminator has no warm-up."""
        train = self._settings.train
        share = learning_rate_share(
            warmup_steps=train.warmup_steps,
            decay=train.decay,
            decay_steps=train.decay_steps,
            anneal_steps=train.anneal_steps,
            anneal_rate=train.anneal_rate,
        )
        network = acoustic_optimizer(self.modules, train, share)
        if self._adversary is None:
            return network
        rate, betas = train.mel_adversary_learning_rate, train.mel_adversary_betas
        start = train.mel_adversary_start_step - 1

        def without_warmup(step: int) -> float:
            return share(max(start + step, train.warmup_steps))

        return adam_over(ADVERSARY, self.modules, train, rate, betas, without_warmup) | network

    def loss_terms(self, predicted: Prediction, target: AcousticBatch, step: int | None) -> dict[str, Term]:
        """Compute the losses of teacher-forced outputs; a model with others overrides this.

        Args:
            predicted: teacher-forced outputs.
            target: ground truth.
            step: optimizer steps taken; None in validation, whose losses have the weights of a long training.
        """
        train = self._settings.train
        return acoustic_loss_terms(predicted, target, self._levels, train, step, mel_error=self.mel_error)

    def updates(self, batch: AcousticBatch, step: int) -> Iterator[Update]:
        """Train the discriminator, where there is one, then compute the losses of teacher-forced outputs."""
        predicted: Prediction = self.modules["network"](batch, *self._noise_places(batch, step))
        batch = predicted.target or batch
        terms = self.loss_terms(predicted, batch, step)
        if self._adversary is not None:
            adversary, discriminator, fake = self._adversary, self.modules[ADVERSARY], predicted.final_mel
            if adversary.acts_at(step):
                windows = adversary.windows(batch, step)
                yield Update(ADVERSARY, adversary.discriminator_terms(discriminator, windows, batch.mel, fake))
                terms |= adversary.network_terms(discriminator, windows, batch, fake)
            else:
                yield Update(ADVERSARY, {})
        yield Update("network", terms)

    def _noise_places(self, batch: AcousticBatch, step: int) -> tuple[Tensor, ...]:
        if not self._settings.model.decoder_noise_size:
            return ()
        draws = utterance_draws(batch.ids, 1, self._settings.train.seed, step, "decoder_noise")
        return (draws[:, 0].to(batch.mel.device),)

    def validate(self, batch: AcousticBatch) -> Mapping[str, Sum]:
        """Compute the teacher-forced losses, and the errors of free-running outputs.

        `free_mel` is the absolute error of the free-running mel, each phone stretched to its ground-truth duration;
        `free_duration` the error of the phones' durations in frames, and `free_length` the relative error of the
        utterance's length. `mel_deviation_ratio`, `mel_change_ratio` and `mel_curvature_ratio` compare the free-running
        mel's sharpness with the recordings' (`processors.evaluation.measures.sharpness`): below 1 it is smoother.
        """
        predicted: Prediction = self._network(batch)
        batch = predicted.target or batch
        terms = self.loss_terms(predicted, batch, None)
        sums = {name: Sum(term.value * batch.counts[term.per], batch.counts[term.per]) for name, term in terms.items()}
        loss = sum((term.weight * term.value for term in terms.values()), start=torch.zeros(()))
        frames, phonemes, utterances = (batch.counts[name] for name in ("frames", "phonemes", "utterances"))
        free = self._network.infer(PhonemeBatch.from_batch(batch))
        return {
            "loss": Sum(loss * frames, frames),
            **sums,
            "free_mel": Sum(_free_mel_error(free, batch), frames),
            "free_duration": Sum((free.durations - batch.durations).abs().sum(), phonemes),
            "free_length": Sum(((free.mel_lengths / batch.mel_lengths) - 1.0).abs().sum(), utterances),
            **_sharpness_ratios(free, batch),
        }

    def samples(self, batch: AcousticBatch) -> Samples:
        """Return mels and audio of some utterances: ground truth, teacher-forced, and free-running."""
        predicted: Prediction = self._network(batch)
        batch = predicted.target or batch
        free = self._network.infer(PhonemeBatch.from_batch(batch))
        preprocess = self._settings.preprocess
        images: dict[str, np.ndarray] = {}
        audio: dict[str, np.ndarray] = {}
        texts: dict[str, str] = {}
        for row in range(min(_SAMPLES, len(batch.ids))):
            name, n_frames = f"sample_{row}", int(batch.mel_lengths[row])
            mels = {
                "recorded": batch.mel[row, :, :n_frames],
                "true durations": predicted.final_mel[row, :, :n_frames],
                "free": free.mel[row, :, : int(free.mel_lengths[row])],
            }
            by_name = {key: _array(mel).T for key, mel in mels.items()}
            seconds_per_frame = preprocess.hop_size / preprocess.sample_rate
            n_phonemes = int(batch.phoneme_lengths[row])
            phones = self._voice.symbols.phones(batch.phoneme_ids[row, :n_phonemes].tolist())
            true, predicted_durations = (_array(each.durations[row, :n_phonemes]) for each in (batch, free))
            picture = mels_picture(
                by_name,
                seconds_per_frame=seconds_per_frame,
                title=batch.ids[row],
                phones=phones,
                durations={"recorded": true, "free": predicted_durations},
            )
            images[f"{name}/mel"] = pixels(picture)
            if predicted.alignment is not None:
                likelihood = predicted.alignment.soft[row, :n_frames, :n_phonemes].exp()
                picture = alignment_picture(
                    by_name["recorded"],
                    _array(likelihood),
                    phones=phones,
                    durations=true,
                    seconds_per_frame=seconds_per_frame,
                    title=batch.ids[row],
                )
                images[f"{name}/alignment"] = pixels(picture)
            images |= self._variance_images(name, batch, predicted, free, row)
            audio |= {f"{name}/{key}": self._sound(mel) for key, mel in mels.items()}
            texts[name] = " ".join(phones)
        return Samples(images, audio, preprocess.sample_rate, texts)

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return a warning if the mel's discriminator has saturated or is unstable."""
        if self._adversary is None:
            return ()
        return self._adversary.diagnose(losses.get(f"train/{ADVERSARY}/adversarial"), step)

    def bundle(self, folder: Path) -> None:
        """Write a bundle of the network's present weights."""
        voice, weights = self._voice, self.modules["network"].state_dict()
        embeddings = voice.embeddings if self._settings.model.speaker_conditioning == "encoder" else None
        Bundle(
            self._settings,
            weights,
            voice.symbols,
            voice.statistics,
            voice.speakers,
            embeddings,
            voice.languages,
            front_end=front_end_version_of(self._settings.preprocess.processed_path, self._settings.dataset),
        ).save(folder)

    @property
    def _network(self) -> AcousticNetwork:
        return cast(AcousticNetwork, self.modules["network"])

    def _variance_images(
        self, name: str, batch: AcousticBatch, predicted: Prediction, free: GeneratedSpeech, row: int
    ) -> dict[str, np.ndarray]:
        lengths = {"phone": int(batch.phoneme_lengths[row]), "frame": int(batch.mel_lengths[row])}
        images = {}

        def draw(quantity: str, true: Tensor, values: Tensor, level: Level, y_label: str) -> None:
            curves = {
                "recorded": _array(true[row, : lengths[level]]),
                "predicted": _array(values[row, : lengths[level]]),
            }
            picture = curves_picture(curves, y_label=y_label, x_label=level, title=batch.ids[row])
            images[f"{name}/{quantity}"] = pixels(picture)

        for quantity, level in self._levels.items():
            true, values = getattr(batch, quantity), predicted.values[quantity]
            draw(quantity, true, values, level, f"{quantity}, normalised")
        draw("durations", batch.durations, free.durations, "phone", "frames")
        return images

    def _sound(self, mel: Tensor) -> np.ndarray:
        definition = MelSpectrogram.from_settings(self._settings.preprocess)
        waveform = griffin_lim(mel.float().cpu(), definition, iterations=_GRIFFIN_LIM_ITERATIONS)
        return waveform.clamp(-1.0, 1.0).numpy()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _sharpness_ratios(free: GeneratedSpeech, batch: AcousticBatch) -> dict[str, Sum]:
    """Return the sharpness of free-running mels over that of the recordings, summed over utterances."""
    pairs = [
        [sharpness(mels[row, :, : int(lengths[row])]) for row in range(len(batch.ids))]
        for mels, lengths in ((free.mel, free.mel_lengths), (batch.mel, batch.mel_lengths))
    ]
    measured = [(ours, theirs) for ours, theirs in zip(*pairs, strict=True) if ours is not None and theirs is not None]
    return {
        f"mel_{name}_ratio": Sum(*(sum(getattr(each, name) for each in side) for side in zip(*measured, strict=True)))
        for name in SHARPNESS_NAMES
        if measured
    }


def _free_mel_error(free: GeneratedSpeech, batch: AcousticBatch) -> Tensor:
    """Return the summed error of the free-running mel, comparing frames at the same relative place of their phone."""
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
