"""Skeleton of acoustic models that predict all frames at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from models.contracts import AS_PREDICTED, Controls, GeneratedSpeech, PhonemeBatch
from models.layers.acoustic_settings import AcousticModelSettings
from models.layers.conv1d import Conv1d
from models.layers.decoder_noise import DecoderNoise
from models.layers.language_table import SpokenLanguages
from models.layers.learned_alignment import SoftAlignment
from models.layers.masks import padding_mask
from models.layers.mel_scale import clamped
from models.layers.variance_adaptor import InferredVariances, SpeakerScales, VarianceAdaptor, Variances
from processors.datasets.acoustic_data import AcousticBatch
from processors.speakers.speaker_embeddings import SpeakerEmbeddings, rows_of
from processors.speakers.statistics import SpeakerStatistics
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES
from utils.precision import Precision, autocast

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from models.bundle import Bundle

_Network = TypeVar("_Network", bound="AcousticNetwork")


@dataclass(frozen=True)
class Prediction:
    """Teacher-forced outputs: predicted with ground-truth durations, pitch and energy.

    Attributes:
        mel: (B, M, T_mel) log-mel of the decoder.
        refined_mel: (B, M, T_mel) output of the postnet; None without one.
        log_durations: (B, T_text) log(frames + 1).
        values: of pitch and, where the model has it, energy: (B, T_text) or, at frame level, (B, T_mel); normalised.
        target: the ground truth, where the network completed the batch's itself, such as by durations it found; None
            for the batch.
        alignment: of symbols and frames, where the network learns it; None with stored durations.
    """

    mel: Tensor
    refined_mel: Tensor | None
    log_durations: Tensor
    values: Mapping[str, Tensor]
    target: AcousticBatch | None = None
    alignment: SoftAlignment | None = None

    @property
    def final_mel(self) -> Tensor:
        """The mel to vocode: the refined one, if there is one."""
        return self.mel if self.refined_mel is None else self.refined_mel


class AcousticNetwork(nn.Module):
    """An encoder over phonemes, the variance adaptor, and a decoder over frames (`models.contracts.AcousticModel`).

    A subclass creates its layers in `__init__`, among them `variance_adaptor`, and implements `encode` and `decode`.
    Its embedding tables are `phoneme_embedding` and `speaker_embedding`.

    Args:
        settings: of the model.
        n_mel: M.
        is_pause: (n_symbols,) symbols that may last 0 frames; symbol 0 is padding.
        scales: of pitch and energy, one row per speaker.
        speaker_embeddings: (n_speakers, E) from a speaker encoder; None to learn a vector for each speaker.
        languages: of the speakers; an argument only where `has_languages`.

    Attributes:
        decoder_noise: added to the decoder's input; None without.
        has_languages: whether the network is conditioned on the language.
        takes_reference: see `models.contracts.AcousticModel`.
        clamps_mels: whether synthesized mels have no values below the floor of recordings.
    """

    variance_adaptor: VarianceAdaptor
    clamps_mels: ClassVar[bool] = True
    has_languages: ClassVar[bool] = False
    takes_reference: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.decoder_noise: DecoderNoise | None = None

    @property
    def controls(self) -> frozenset[str]:
        return frozenset({"duration", *self.variance_adaptor.levels})

    def encode(self, phoneme_ids: Tensor, is_padding: Tensor, speaker_ids: Tensor) -> Tensor:
        """Return (B, T_text, D) of (B, T_text) phonemes and (B,) speakers."""
        raise NotImplementedError

    def decode(
        self, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return (B, M, T_mel) log-mels of (B, T_mel, D), before and after a postnet, if there is one.

        Args:
            frames: (B, T_mel, D).
            is_padding: (B, T_mel).
            condition: (B, 1, C) of the utterances, where the network has one.
        """
        raise NotImplementedError

    @classmethod
    def untrained(
        cls: type[_Network],
        settings: ExperimentSettings,
        symbols: SymbolTable | None,
        speakers: Mapping[str, int],
        statistics: Mapping[str, SpeakerStatistics],
        embeddings: SpeakerEmbeddings | None = None,
        languages: Mapping[str, str] | None = None,
    ) -> _Network:
        """Return a network for these symbols and speakers, with random weights.

        Raises:
            SpeakerEmbeddingsError: the settings use speaker embeddings, and some are missing or of another encoder.
        """
        assert isinstance(settings.model, AcousticModelSettings)
        assert symbols is not None, "an acoustic model reads text"
        speaker_embeddings = None
        if settings.model.speaker_conditioning == "encoder":
            names = sorted(speakers, key=lambda name: speakers[name])
            speaker_embeddings = torch.from_numpy(rows_of(embeddings, names, settings.preprocess.speaker_encoder))
        spoken = SpokenLanguages.of(speakers, languages or {}, settings.preprocess.language)
        make_network: Callable[..., _Network] = cls
        network = make_network(
            settings.model,
            n_mel=settings.preprocess.n_mel,
            is_pause=torch.tensor([symbol in PAUSES for symbol in symbols.symbols]),
            scales=SpeakerScales.from_statistics(speakers, statistics),
            speaker_embeddings=speaker_embeddings,
            **({"languages": spoken} if cls.has_languages else {}),
        )
        if settings.model.decoder_noise_size:
            network.decoder_noise = DecoderNoise(settings.model.decoder_noise_size, settings.model.hidden_size)
        return network

    @classmethod
    def from_bundle(cls: type[_Network], bundle: Bundle) -> _Network:
        """Return the network of a bundle, with its weights.

        Raises:
            BundleError: the bundle lacks a part, or the weights do not fit its settings.
        """
        bundle.require_front_end()
        network = cls.untrained(
            bundle.settings, bundle.symbols, bundle.speakers, bundle.statistics, bundle.embeddings, bundle.languages
        )
        bundle.load_into(network)
        network.prepare_for_inference()
        return network

    def prepare_for_inference(self) -> None:
        """Change the weights' memory layout for inference; no training afterwards (see `Conv1d`)."""
        for module in self.modules():
            if isinstance(module, Conv1d):
                module.prepare_for_inference()

    def forward(self, batch: AcousticBatch, noise_places: Tensor | None = None) -> Prediction:
        """Predict a mel with teacher forcing, and durations, pitch and energy besides.

        Args:
            batch: with the ground truth.
            noise_places: (B,) of the decoder's noise; None for those of inference.
        """
        is_padding = padding_mask(batch.phoneme_lengths, batch.phoneme_ids.shape[1])
        hidden = self.encode(batch.phoneme_ids, is_padding, batch.speaker_ids)
        return self._taught(hidden, is_padding, batch, noise_places)

    @torch.no_grad()
    def teacher_forced(self, batch: AcousticBatch) -> Tensor:
        """Return the (B, M, T_mel) log-mel predicted with the batch's own durations, pitch and energy."""
        predicted: Prediction = self(batch)
        return self._clamped(predicted.final_mel)

    @torch.no_grad()
    def infer(
        self, batch: PhonemeBatch, prosody: Controls = AS_PREDICTED, precision: Precision = "fp32"
    ) -> GeneratedSpeech:
        """Synthesize with predicted durations, pitch and energy (`models.contracts.AcousticModel`).

        Raises:
            ValueError: an utterance consists of pauses that last 0 frames.
        """
        is_padding = padding_mask(batch.phoneme_lengths, batch.phoneme_ids.shape[1])
        hidden, condition = self.encode_freely(batch, is_padding)
        return self._generated(hidden, is_padding, batch, prosody, precision, condition)

    def encode_freely(self, batch: PhonemeBatch, is_padding: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the (B, T_text, D) sequence to synthesize from, and the decoder's condition, if it has one."""
        return self.encode(batch.phoneme_ids, is_padding, batch.speaker_ids), None

    def _taught(
        self,
        hidden: Tensor,
        is_padding: Tensor,
        batch: AcousticBatch,
        noise_places: Tensor | None,
        condition: Tensor | None = None,
    ) -> Prediction:
        """Return the teacher-forced outputs for a (B, T_text, D) hidden sequence; see `forward` and `decode`."""
        variances = self.variance_adaptor(hidden, is_padding, batch)
        mel, refined_mel = self._decode_with_noise(variances, batch.phoneme_ids, noise_places, condition)
        return Prediction(mel, refined_mel, variances.log_durations, variances.values)

    def _generated(
        self,
        hidden: Tensor,
        is_padding: Tensor,
        batch: PhonemeBatch,
        prosody: Controls,
        precision: Precision,
        condition: Tensor | None,
    ) -> GeneratedSpeech:
        """Return the free-running outputs for a (B, T_text, D) hidden sequence; see `infer` and `decode`."""
        variances = self.variance_adaptor.infer(hidden, is_padding, batch, prosody)
        with autocast(precision, hidden.device.type):
            mel, refined_mel = self._decode_with_noise(variances, batch.phoneme_ids, None, condition)
        return GeneratedSpeech(
            mel=self._clamped(mel if refined_mel is None else refined_mel),
            mel_lengths=variances.durations.sum(dim=1),
            durations=variances.durations,
            f0_hz=variances.f0_hz,
            energy=variances.energy,
        )

    def _clamped(self, mel: Tensor) -> Tensor:
        return clamped(mel) if self.clamps_mels else mel

    def _decode_with_noise(
        self,
        variances: Variances | InferredVariances,
        phoneme_ids: Tensor,
        noise_places: Tensor | None,
        condition: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        frames, is_padding = variances.frames, variances.is_padding
        if self.decoder_noise is not None:
            places = self.decoder_noise.places(phoneme_ids) if noise_places is None else noise_places
            frames = self.decoder_noise(frames, is_padding, places)
        return self.decode(frames, is_padding, condition)
