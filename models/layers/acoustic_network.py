"""Skeleton of acoustic models that predict all frames at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from models.contracts import AS_PREDICTED, Controls, GeneratedSpeech, PhonemeBatch, SpeechInParts
from models.layers.acoustic_settings import AcousticModelSettings
from models.layers.conv1d import Conv1d
from models.layers.decoder_noise import DecoderNoise
from models.layers.decoding_windows import WHOLE_FRAMES, Window, decoding_windows
from models.layers.learned_alignment import SoftAlignment
from models.layers.masks import padding_mask
from models.layers.mel_scale import clamped
from models.layers.spoken_languages import SpokenLanguages
from models.layers.variance_adaptor import InferredVariances, SpeakerScales, VarianceAdaptor, Variances
from processors.audio.mel import MEL_FLOOR
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


class _Generation(NamedTuple):
    """Free-running outputs before the decoder.

    Attributes:
        variances: durations, pitch and energy.
        decode: from rows of the batch and a window of their frames to the (rows, M, T) log-mels of the kept ones.
    """

    variances: InferredVariances
    decode: Callable[[Tensor | slice, Window], Tensor]


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

    @property
    def decodes_in_windows(self) -> bool:
        """Return whether long utterances are decoded in windows: frames far away hardly count, and none must be seen.

        Then the first frames are known early (`infer_in_parts`), and attention takes less time.
        """
        return False

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

    def decode_from(
        self, first_frame: int | Tensor, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Decode frames that follow the first `first_frame` ones; see `decode`, and `decodes_in_windows` for which."""
        assert first_frame == 0, "only networks that decode in windows begin elsewhere"
        return self.decode(frames, is_padding, condition)

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
        generation = self._generation(batch, prosody, precision)
        variances, decode = generation
        lengths = variances.durations.sum(dim=1)
        n_rows, longest = variances.is_padding.shape
        if n_rows == 1 or longest <= WHOLE_FRAMES or not self.decodes_in_windows:
            mel = torch.cat(list(self._parts(generation)), dim=2)
        else:
            places = [
                ((group & (lengths > window.start)).nonzero()[:, 0], window)
                for group in (lengths <= WHOLE_FRAMES, lengths > WHOLE_FRAMES)
                for window in decoding_windows(int((lengths * group).max()))
            ]
            parts = [(rows, window, decode(rows, window)) for rows, window in places if len(rows)]
            mel = parts[0][2].new_full((n_rows, parts[0][2].shape[1], longest), math.log(MEL_FLOOR))
            for rows, window, part in parts:
                mel[rows, :, window.start : window.stop] = part
        return GeneratedSpeech(mel, lengths, variances.durations, variances.f0_hz, variances.energy)

    @torch.no_grad()
    def infer_in_parts(
        self, batch: PhonemeBatch, prosody: Controls = AS_PREDICTED, precision: Precision = "fp32"
    ) -> SpeechInParts:
        """Synthesize one utterance as `infer` does, its mel in parts (`models.contracts.AcousticModel`)."""
        generation = self._generation(batch, prosody, precision)
        mels = (part[0] for part in self._parts(generation))
        return SpeechInParts(mels, generation.variances.durations[0], generation.variances.f0_hz[0])

    @torch.no_grad()
    def _parts(self, generation: _Generation) -> Iterator[Tensor]:
        """Yield the (B, M, T) log-mels of consecutive frames, of rows of one length."""
        n_frames = generation.variances.frames.shape[1]
        for window in decoding_windows(n_frames, in_windows=self.decodes_in_windows):
            yield generation.decode(slice(None), window)

    def _generation(self, batch: PhonemeBatch, prosody: Controls, precision: Precision) -> _Generation:
        """Predict everything but the mel."""
        is_padding = padding_mask(batch.phoneme_lengths, batch.phoneme_ids.shape[1])
        hidden, condition = self.encode_freely(batch, is_padding)
        variances = self.variance_adaptor.infer(hidden, is_padding, batch, prosody)
        with autocast(precision, hidden.device.type):
            frames = self._with_noise(variances, batch.phoneme_ids, None)

        def decode(rows: Tensor | slice, window: Window) -> Tensor:
            given = slice(window.first, window.last)
            of_rows = None if condition is None else condition[rows]
            with autocast(precision, frames.device.type):
                mel, refined_mel = self.decode_from(
                    window.first, frames[rows, given], variances.is_padding[rows, given], of_rows
                )
            return self._clamped(mel if refined_mel is None else refined_mel)[:, :, window.kept]

        return _Generation(variances, decode)

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
        frames = self._with_noise(variances, batch.phoneme_ids, noise_places)
        mel, refined_mel = self.decode(frames, variances.is_padding, condition)
        return Prediction(mel, refined_mel, variances.log_durations, variances.values)

    def _clamped(self, mel: Tensor) -> Tensor:
        return clamped(mel) if self.clamps_mels else mel

    def _with_noise(
        self, variances: Variances | InferredVariances, phoneme_ids: Tensor, noise_places: Tensor | None
    ) -> Tensor:
        """Return the (B, T_mel, D) input of the decoder."""
        if self.decoder_noise is None:
            return variances.frames
        places = self.decoder_noise.places(phoneme_ids) if noise_places is None else noise_places
        noisy: Tensor = self.decoder_noise(variances.frames, variances.is_padding, places)
        return noisy
