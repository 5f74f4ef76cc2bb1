"""FastSpeech 2: from phones to a mel, all frames at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.contracts import UNCHANGED, GeneratedSpeech, PhonemeBatch, Prosody
from models.fastspeech2.settings import FastSpeech2ModelSettings, FastSpeech2Settings
from models.fastspeech2.variance_adaptor import SpeakerScales, VarianceAdaptor
from models.layers.conv1d import Conv1d
from models.layers.masks import padding_mask
from models.layers.positions import SinusoidalPositions
from models.layers.postnet import Postnet
from models.layers.speaker_projection import HeardSpeakers
from models.layers.transformer import FeedForwardTransformer
from processors.audio.mel import MEL_FLOOR
from processors.datasets.acoustic_data import AcousticBatch
from processors.speakers.speaker_embeddings import SpeakerEmbeddings, rows_of
from processors.speakers.statistics import SpeakerStatistics
from processors.text.arpabet import PAUSES
from processors.text.symbols import SymbolTable

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from models.bundle import Bundle

# Log-mels of speech lie round -5, give or take 2. The network thinks in these units, so that its first output is
# a plausible loudness and not what a thousand steps of Adam would be spent on.
_MEL_CENTRE, _MEL_SPREAD = -5.0, 2.0


@dataclass(frozen=True)
class Prediction:
    """Teacher-forced outputs: predicted with true durations, pitch and energy.

    Attributes:
        mel: (B, M, T_mel) log-mel as the decoder has it.
        refined_mel: (B, M, T_mel) behind the postnet; None without one.
        log_durations: (B, T_text) log(frames + 1).
        pitch: (B, T_text) or, at frame level, (B, T_mel); normalised.
        energy: likewise.
    """

    mel: Tensor
    refined_mel: Tensor | None
    log_durations: Tensor
    pitch: Tensor
    energy: Tensor


class FastSpeech2(nn.Module):
    """A text-to-mel network without recurrence (arXiv:2006.04558).

    An encoder over phones, the variance adaptor, a decoder over frames, and a postnet. It differs from the paper in
    that pitch is predicted as log F0 and not as a wavelet spectrogram, as nearly all implementations do, and in
    that the postnet normalises frames (see `Postnet`).

    Args:
        settings: of the model.
        n_mel: M.
        is_pause: (n_symbols,) symbols that may last no frame; symbol 0 is padding.
        scales: of pitch and energy, one row per speaker.
        voices: (n_speakers, E) what each speaker's voice is like; None to learn a vector for each.
    """

    controls = frozenset({"duration", "pitch", "energy"})

    def __init__(
        self,
        settings: FastSpeech2ModelSettings,
        *,
        n_mel: int,
        is_pause: Tensor,
        scales: SpeakerScales,
        voices: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden_size = settings.hidden_size

        def transformer(n_layers: int) -> FeedForwardTransformer:
            return FeedForwardTransformer(
                n_layers,
                hidden_size,
                n_heads=settings.n_heads,
                filter_size=settings.conv_filter_size,
                kernel_sizes=settings.conv_kernel_sizes,
                dropout=settings.dropout,
                norm_first=settings.norm_first,
            )

        self.phoneme_embedding = nn.Embedding(len(is_pause), hidden_size)
        self.speaker_embedding = (
            nn.Embedding(len(scales.pitch_std), hidden_size) if voices is None else HeardSpeakers(voices, hidden_size)
        )
        self.positions = SinusoidalPositions(hidden_size)
        self.encoder = transformer(settings.encoder_layers)
        self.variance_adaptor = VarianceAdaptor(settings, is_pause=is_pause, scales=scales)
        self.decoder = transformer(settings.decoder_layers)
        self.to_mel = Conv1d(hidden_size, n_mel)
        self.postnet = (
            Postnet(
                n_mel,
                n_layers=settings.postnet_layers,
                filter_size=settings.postnet_filter_size,
                kernel_size=settings.postnet_kernel_size,
                dropout=settings.postnet_dropout,
            )
            if settings.postnet_layers
            else None
        )

    @classmethod
    def untrained(
        cls,
        settings: ExperimentSettings,
        symbols: SymbolTable | None,
        speakers: Mapping[str, int],
        statistics: Mapping[str, SpeakerStatistics],
        embeddings: SpeakerEmbeddings | None = None,
    ) -> FastSpeech2:
        """Make a network for these symbols and speakers, with random weights.

        Raises:
            SpeakerEmbeddingsError: the settings want speaker embeddings, and some are missing or of another encoder.
        """
        assert isinstance(settings, FastSpeech2Settings)
        assert symbols is not None, "a FastSpeech 2 reads text"
        names = sorted(speakers, key=lambda name: speakers[name])
        spreads = [statistics[name] for name in names]
        scales = SpeakerScales(
            pitch_mean=torch.tensor([spread.pitch.mean for spread in spreads]),
            pitch_std=torch.tensor([spread.pitch.std for spread in spreads]),
            energy_mean=torch.tensor([spread.energy.mean for spread in spreads]),
            energy_std=torch.tensor([spread.energy.std for spread in spreads]),
        )
        is_pause = torch.tensor([symbol in PAUSES for symbol in symbols.symbols])
        voices = None
        if settings.model.speaker_conditioning == "encoder":
            voices = torch.from_numpy(rows_of(embeddings, names, settings.preprocess.speaker_encoder))
        return cls(settings.model, n_mel=settings.preprocess.n_mel, is_pause=is_pause, scales=scales, voices=voices)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> FastSpeech2:
        """Make the network of a bundle, with its weights.

        Raises:
            BundleError: the bundle lacks a part, or the weights do not fit its settings.
        """
        bundle.require_front_end()
        network = cls.untrained(bundle.settings, bundle.symbols, bundle.speakers, bundle.statistics, bundle.embeddings)
        bundle.load_into(network)
        network.prepare_for_inference()
        return network

    def prepare_for_inference(self) -> None:
        """Lay out weights for inference, after which they cannot be trained (see `Conv1d.prepare_for_inference`)."""
        for module in self.modules():
            if isinstance(module, Conv1d):
                module.prepare_for_inference()

    def forward(self, batch: AcousticBatch) -> Prediction:
        """Predict a mel with true durations, pitch and energy, and predict those as well."""
        hidden, is_padding = self._encode(batch.phoneme_ids, batch.phoneme_lengths, batch.speaker_ids)
        variances = self.variance_adaptor(
            hidden,
            is_padding,
            durations=batch.durations,
            pitch=batch.pitch,
            energy=batch.energy,
            longest=batch.mel.shape[2],
        )
        mel, refined_mel = self._decode(variances.frames, variances.is_padding)
        return Prediction(mel, refined_mel, variances.log_durations, variances.pitch, variances.energy)

    @torch.no_grad()
    def teacher_forced(self, batch: AcousticBatch) -> Tensor:
        """Return the (B, M, T_mel) log-mel predicted with the batch's own durations, pitch and energy."""
        predicted: Prediction = self(batch)
        return predicted.mel if predicted.refined_mel is None else predicted.refined_mel

    @torch.no_grad()
    def infer(self, batch: PhonemeBatch, prosody: Prosody = UNCHANGED) -> GeneratedSpeech:
        """Synthesize freely (`models.contracts.AcousticModel`).

        Raises:
            ValueError: an utterance has no phone but pauses, and those last no frame.
        """
        hidden, is_padding = self._encode(batch.phoneme_ids, batch.phoneme_lengths, batch.speaker_ids)
        variances = self.variance_adaptor.infer(hidden, is_padding, batch, prosody)
        mel, refined_mel = self._decode(variances.frames, variances.is_padding)
        return GeneratedSpeech(
            mel=mel if refined_mel is None else refined_mel,
            mel_lengths=variances.durations.sum(dim=1),
            durations=variances.durations,
            f0_hz=variances.f0_hz,
            energy=variances.energy,
        )

    def _encode(self, phoneme_ids: Tensor, phoneme_lengths: Tensor, speaker_ids: Tensor) -> tuple[Tensor, Tensor]:
        is_padding = padding_mask(phoneme_lengths, phoneme_ids.shape[1])
        hidden = self.encoder(self.positions(self.phoneme_embedding(phoneme_ids)), is_padding)
        return hidden + self.speaker_embedding(speaker_ids).unsqueeze(1), is_padding

    def _decode(self, frames: Tensor, is_padding: Tensor) -> tuple[Tensor, Tensor | None]:
        mel = self.to_mel(self.decoder(self.positions(frames), is_padding)).float()
        refined = None if self.postnet is None else mel + self.postnet(mel, is_padding).float()
        return self._as_log_mel(mel, is_padding), None if refined is None else self._as_log_mel(refined, is_padding)

    @staticmethod
    def _as_log_mel(mel: Tensor, is_padding: Tensor) -> Tensor:
        log_mel = (mel * _MEL_SPREAD + _MEL_CENTRE).masked_fill(is_padding.unsqueeze(2), math.log(MEL_FLOOR))
        return log_mel.transpose(1, 2)  # (B, T_mel, M) -> (B, M, T_mel)
