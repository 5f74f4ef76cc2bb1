"""Training of vocoders, most of them GANs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR

from models.bundle import Bundle
from models.layers.adversarial_loss import adversarial_loss, discriminator_loss, feature_matching_loss
from models.layers.discriminator import DiscriminatorOutput, Discriminators
from models.layers.normed_convolution import SpectralNormed
from models.training.schedules import learning_rate_share
from models.training.settings import GanVocoderSettings, VocoderSettings
from processors.audio.mel import MelSpectrogram
from processors.audio.stft_distance import Padding, multi_resolution_stft
from processors.datasets.batches import BatchPlan, OrderedBatches, PlannedBatches, micro_batches
from processors.datasets.vocoder_data import (
    MEL_FEATURES,
    Segments,
    VocoderBatch,
    WholeRecordings,
    collate_vocoder,
    open_recordings,
)
from processors.evaluation.measures import pesq, stoi
from processors.evaluation.packages import are_installed
from processors.feature_store import FeatureStore
from processors.features import VOCODER_FEATURES, store_settings
from processors.reports.speech_pictures import mels_picture
from utils.parameter_groups import learning_groups
from utils.pictures import pixels
from utils.task import Optimization, Samples, Sum, Term, Update

# Perceptual metrics, where installed, of so many validation recordings: each takes a tenth of a second.
_PERCEPTUAL_METRICS = {
    "pesq": (pesq.pesq, pesq.PACKAGES),
    "stoi": (stoi.stoi, stoi.PACKAGES),
}
_MAX_RATED = 20
# Loss per discriminator: 0.5 where they cannot distinguish real from fake.
_SATURATED, _UNSTABLE = 0.02, 0.8
# Steps after they begin without warnings: at first they score at random, and logged losses are means over many steps.
_SETTLING_STEPS = 500


class Generated(NamedTuple):
    """A generator's outputs for a batch.

    Attributes:
        waveform: (B, T_mel * hop_size).
        terms: of the generator's loss, beside those that compare waveforms.
    """

    waveform: Tensor
    terms: Mapping[str, Term]


class VocoderTask:
    """Data, samples and validation of vocoders that are trained on segments (`utils.task.Task` without its updates).

    Args:
        settings: of the experiment.
        modules: by name; `generator` makes waveforms from (B, M, T_mel) log-mels.
    """

    features: ClassVar[Sequence[str]] = VOCODER_FEATURES
    """Those of the store that training reads; with `f0` among them, batches have it."""

    def __init__(self, settings: VocoderSettings, modules: Mapping[str, nn.Module]) -> None:
        self._vocoder_settings = settings
        self.modules: dict[str, nn.Module] = dict(modules)
        self._rated: frozenset[str] = frozenset()
        # The loss covers the full band, whatever the input mel leaves out (HiFi-GAN's fmax_for_loss).
        preprocess = settings.preprocess
        self._full_band = MelSpectrogram.from_settings(
            preprocess.model_copy(update={"fmax": preprocess.sample_rate / 2})
        )

    def train_batches(self, rank: int = 0, world_size: int = 1) -> PlannedBatches:
        """Return one process's share of the training segments."""
        train = self._vocoder_settings.train
        segment_frames = train.segment_size // self._vocoder_settings.preprocess.hop_size
        items, stores = self._open("train")
        data = Segments(
            items,
            stores,
            self._mel_feature,
            segment_frames=segment_frames,
            seed=train.seed,
            with_f0="f0" in self.features,
            blur_share=train.mel_blur_share,
        )
        plan = BatchPlan(
            np.full(len(data), segment_frames),
            batch_size=train.batch_size,
            micro_batches=micro_batches(train, world_size),
            seed=train.seed,
            weights=data.weights(self._vocoder_settings.dataset_weight),
        )
        return PlannedBatches(
            data,
            collate_vocoder,
            plan,
            rank=rank,
            world_size=world_size,
            num_workers=train.num_workers,
            by_epoch=True,
        )

    def valid_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Return one process's share of the whole validation recordings, one by one."""
        return self._whole_recordings("valid", rank, world_size)

    def test_batches(self, rank: int = 0, world_size: int = 1) -> OrderedBatches:
        """Return one process's share of the whole test recordings, one by one."""
        return self._whole_recordings("test", rank, world_size)

    def _whole_recordings(self, split: str, rank: int, world_size: int) -> OrderedBatches:
        items, stores = self._open(split)
        self._rated |= {id_ for id_, _ in items[:_MAX_RATED]}
        data = WholeRecordings(items, stores, self._mel_feature, with_f0="f0" in self.features)
        workers = min(self._vocoder_settings.train.num_workers, 1)
        return OrderedBatches(
            data, collate_vocoder, data.lengths, batch_size=1, rank=rank, world_size=world_size, num_workers=workers
        )

    @property
    def _mel_feature(self) -> str:
        return MEL_FEATURES[self._vocoder_settings.train.mel_source]

    def _open(self, split: str) -> tuple[list[tuple[str, str]], dict[str, FeatureStore]]:
        preprocess = self._vocoder_settings.preprocess
        return open_recordings(
            preprocess.processed_path,
            self._vocoder_settings.dataset,
            split,
            mel_feature=self._mel_feature,
            features=self.features,
            expect=store_settings(preprocess, self.features, ()),
        )

    def generate(self, batch: VocoderBatch) -> Generated:
        """Return the generator's waveforms for a batch; a model whose generator takes more than mels overrides this."""
        return Generated(self.modules["generator"](batch.mel), {})

    def validate(self, batch: VocoderBatch) -> Mapping[str, Sum]:
        """Measure on whole recordings: the mel's absolute error over the full band, and multi-resolution STFT.

        Where their packages are installed, PESQ and STOI of the first recordings, too.
        """
        fake, n_frames = self.generate(batch).waveform, batch.counts["frames"]
        mel_error = self._mel_error(fake, batch.waveform) * n_frames
        distance = multi_resolution_stft(fake, batch.waveform)
        return {
            "loss": Sum(mel_error, n_frames),
            "mel": Sum(mel_error, n_frames),
            "spectral_convergence": Sum(distance.spectral_convergence * n_frames, n_frames),
            "log_magnitude": Sum(distance.log_magnitude * n_frames, n_frames),
            **self._rate(fake, batch),
        }

    def _rate(self, fake: Tensor, batch: VocoderBatch) -> dict[str, Sum]:
        metrics = {
            name: measure for name, (measure, packages) in _PERCEPTUAL_METRICS.items() if are_installed(packages)
        }
        rows = [row for row, id_ in enumerate(batch.ids) if id_ in self._rated]
        pairs = [(_array(batch.waveform[row]), _array(fake[row]).clip(-1, 1)) for row in rows if metrics]
        sums = {}
        for name, measure in metrics.items():
            measured = (measure(real, made, self._vocoder_settings.preprocess.sample_rate) for real, made in pairs)
            scores = [score for score in measured if score is not None]
            sums[name] = Sum(sum(scores), len(scores))
        return sums

    def samples(self, batch: VocoderBatch) -> Samples:
        """Return picture and sound of a recording and of what the generator makes of its mel."""
        preprocess = self._vocoder_settings.preprocess
        fake = self.generate(batch).waveform
        sounds = {"recorded": batch.waveform[0], "made": fake[0].float()}
        definition = self._full_band.to(fake.device)
        mels = {name: _array(definition(sound)).T for name, sound in sounds.items()}
        picture = mels_picture(mels, seconds_per_frame=preprocess.hop_size / preprocess.sample_rate, title=batch.ids[0])
        audio = {f"sample/{name}": _array(sound) for name, sound in sounds.items()}
        return Samples({"sample/mel": pixels(picture)}, audio, preprocess.sample_rate)

    def bundle(self, folder: Path) -> None:
        """Write a bundle of the generator as it is now."""
        Bundle(self._vocoder_settings, self.modules["generator"].state_dict()).save(folder)

    def _mel_error(self, fake: Tensor, real: Tensor) -> Tensor:
        definition = self._full_band.to(real.device)
        with torch.no_grad():
            target = definition(real)
        difference: Tensor = definition(fake) - target
        return difference.abs().mean()


class GanVocoderTask(VocoderTask):
    """Trains a GAN vocoder: first the discriminators act on each batch, then the generator (`utils.task.Task`).

    Before `train.adversarial_start_step` the discriminators rest, and the generator learns from the mel loss and the
    multi-resolution STFT loss alone (arXiv:1910.11480, section 2.2), as it does for another
    `train.generator_alone_steps` while the discriminators find their bearings.

    Args:
        settings: of the experiment.
        generator: from (B, M, T_mel) log-mels to (B, T_mel * hop_size) waveforms.
        discriminators: by the names of their modules.
    """

    generator_first: ClassVar[bool] = False
    """True where the generator acts before the discriminators."""
    stft_padding: ClassVar[Padding] = "constant"
    """How the multi-resolution STFT loss pads the edges."""

    def __init__(
        self, settings: GanVocoderSettings, generator: nn.Module, discriminators: Mapping[str, Discriminators]
    ) -> None:
        super().__init__(settings, {"generator": generator, **discriminators})
        self._settings, self._discriminators = settings, tuple(discriminators)
        self._n_discriminators = sum(len(each.discriminators) for each in discriminators.values())

    def discriminators(self) -> Sequence[str]:
        """Return the names of the discriminators (`models.contracts.HasDiscriminators`)."""
        return self._discriminators

    def optimizers(self) -> Mapping[str, Optimization]:
        """Return AdamW for the discriminators and for the generator, decaying alike, in the order in which they act."""
        train = self._settings.train
        discriminator_rate = train.discriminator_learning_rate or train.learning_rate
        optimizers = {
            "discriminator": self._optimization(self._discriminators, discriminator_rate),
            "generator": self._optimization(("generator",), train.learning_rate, train.ema_decay),
        }
        return dict(reversed(optimizers.items())) if self.generator_first else optimizers

    def _optimization(self, names: tuple[str, ...], learning_rate: float, ema_decay: float = 0.0) -> Optimization:
        train = self._settings.train
        optimizer = torch.optim.AdamW(
            learning_groups(self.modules, names, train.lr_groups, learning_rate),
            lr=learning_rate,
            betas=train.adam_betas,
            weight_decay=train.weight_decay,
            fused=True,
        )
        if train.decay == "exponential":
            schedule = ExponentialLR(optimizer, train.lr_decay)
            return Optimization(optimizer, names, schedule, scheduled_by="epoch", ema_decay=ema_decay)
        share = learning_rate_share(warmup_steps=train.warmup_steps, decay="cosine", decay_steps=train.decay_steps)
        return Optimization(optimizer, names, LambdaLR(optimizer, share), ema_decay=ema_decay)

    def updates(self, batch: VocoderBatch, step: int) -> Iterator[Update]:
        """Train the discriminators on real and fake segments, and the generator against them."""
        generated = self.generate(batch)
        fake = generated.waveform.detach()
        if self.generator_first:
            yield self._generator_update(batch, generated, step)
            yield self._discriminator_update(batch, fake, step)
        else:
            yield self._discriminator_update(batch, fake, step)
            yield self._generator_update(batch, generated, step)

    def _discriminator_update(self, batch: VocoderBatch, fake: Tensor, step: int) -> Update:
        if step < self._settings.train.adversarial_start_step:
            return Update("discriminator", {})
        for name in self._discriminators:
            for module in self.modules[name].modules():
                if isinstance(module, SpectralNormed):
                    module.advance(step)
        outputs = self._discriminate(torch.cat([batch.waveform, fake]))
        return Update("discriminator", {"adversarial": Term(discriminator_loss(outputs))})

    def _generator_update(self, batch: VocoderBatch, generated: Generated, step: int) -> Update:
        train = self._settings.train
        is_adversarial = step >= train.adversarial_start_step + train.generator_alone_steps
        real, fake = batch.waveform, generated.waveform
        terms = {}
        if train.mel_loss_weight:
            terms["mel"] = Term(self._mel_error(fake, real), train.mel_loss_weight)
        if is_adversarial:
            of_real: list[DiscriminatorOutput] = []
            if train.feature_loss_weight:
                with torch.no_grad():
                    of_real = self._discriminate(real)
            of_fake = self._discriminate(fake)
            terms["adversarial"] = Term(adversarial_loss(of_fake), train.adversarial_loss_weight)
            if train.feature_loss_weight:
                terms["feature"] = Term(feature_matching_loss(of_real, of_fake), train.feature_loss_weight)
        stft_weight = train.adversarial_stft_loss_weight if is_adversarial else train.stft_loss_weight
        if stft_weight:
            distance = multi_resolution_stft(fake, real, self.stft_padding)
            terms["spectral_convergence"] = Term(distance.spectral_convergence, stft_weight)
            terms["log_magnitude"] = Term(distance.log_magnitude, stft_weight)
        return Update("generator", terms | dict(generated.terms))

    def diagnose(self, losses: Mapping[str, float], step: int) -> Sequence[str]:
        """Return a warning if the discriminators have saturated or training is unstable."""
        loss, train = losses.get("train/discriminator/adversarial"), self._settings.train
        settled = train.adversarial_start_step + train.generator_alone_steps + _SETTLING_STEPS
        if loss is None or step < settled:
            return ()
        per_discriminator = loss / self._n_discriminators
        if per_discriminator < _SATURATED:
            return (
                "the discriminator loss is near 0: the discriminators have saturated and give no useful gradient; "
                "lower train.learning_rate, or begin with a later train.adversarial_start_step",
            )
        if per_discriminator > _UNSTABLE:
            return ("the discriminators are worse than chance: the training is unstable; lower train.learning_rate",)
        return ()

    def _discriminate(self, waveform: Tensor) -> list[DiscriminatorOutput]:
        return [output for name in self._discriminators for output in self.modules[name](waveform)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
