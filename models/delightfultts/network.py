"""DelightfulTTS: phones to a mel, with the prosody of utterances and phones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contracts import PhonemeBatch
from models.delightfultts.predictors import SeparablePredictor
from models.delightfultts.prosody import ProsodyModule, ProsodyVectors
from models.delightfultts.settings import DelightfulTTSModelSettings
from models.layers.acoustic_network import AcousticNetwork, Prediction
from models.layers.conformer import LEAKY_SLOPE, Conformer, ConformerBlock
from models.layers.conv1d import Conv1d
from models.layers.convolved_value import ConvolvedValue
from models.layers.language_table import LanguageTable
from models.layers.learned_alignment import SoftAligner, average_per_symbol, with_durations
from models.layers.masks import padding_mask
from models.layers.mel_scale import as_log_mel
from models.layers.speaker_projection import speaker_table
from models.layers.spoken_languages import SpokenLanguages
from models.layers.variance_adaptor import SpeakerScales, VarianceAdaptor
from processors.datasets.acoustic_data import AcousticBatch

_KEY_KERNEL_SIZE, _QUERY_KERNEL_SIZE = 3, 7


@dataclass(frozen=True, kw_only=True)
class DelightfulTTSPrediction(Prediction):
    """Teacher-forced outputs, and the prosody of the recordings and of the text."""

    reference_prosody: ProsodyVectors
    predicted_prosody: ProsodyVectors


class LeakyConv1d(Conv1d):
    """A convolution with a leaky ReLU."""

    def forward(self, x: Tensor, is_padding: Tensor | None = None) -> Tensor:
        return F.leaky_relu(super().forward(x, is_padding), LEAKY_SLOPE)


class DelightfulTTS(AcousticNetwork):
    """A non-autoregressive acoustic model with implicit prosody (arXiv:2110.12612).

    Conformer blocks conditioned on speaker and language encode phones and decode frames. Beside pitch and energy, two
    kinds of vectors stand for prosody: the utterance's and each phone's. Training takes them from the recording,
    inference predicts them from the text, or takes the utterance's from a reference recording. With `durations:
    learned` an aligner within the model finds the durations that it learns from.

    Layers are those of the public implementations. Departures from these: training adds the vectors of the recordings,
    as the paper has it, so that their encoders learn; padding takes part in no statistic, loss or alignment.
    Arguments and shapes are those of `AcousticNetwork`.
    """

    has_languages = True
    takes_reference = True

    def __init__(
        self,
        settings: DelightfulTTSModelSettings,
        *,
        n_mel: int,
        is_pause: Tensor,
        scales: SpeakerScales,
        languages: SpokenLanguages,
        speaker_embeddings: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden_size, condition_size = settings.hidden_size, settings.speaker_size + settings.language_size

        def conformer(n_layers: int, kernel_size: int) -> Conformer:
            return Conformer(
                n_layers,
                lambda: ConformerBlock(
                    hidden_size,
                    n_heads=settings.n_heads,
                    filter_size=settings.feed_forward_size,
                    kernel_size=kernel_size,
                    dropout=settings.dropout,
                    condition_size=condition_size,
                ),
            )

        self.phoneme_embedding = nn.Embedding(len(is_pause), hidden_size)
        self.speaker_embedding = speaker_table(
            len(scales.pitch_std), settings.speaker_size, speaker_embeddings, settings.speaker_conditioning
        )
        self.language_table = LanguageTable(languages, settings.language_size)
        self.encoder = conformer(settings.encoder_layers, settings.encoder_kernel_size)
        self.prosody = ProsodyModule(settings, n_mel)
        self.variance_adaptor = VarianceAdaptor(
            hidden_size,
            {"pitch": "phone", "energy": "phone"},
            lambda quantity: ConvolvedValue(hidden_size, settings.embedding_kernel_size),
            filter_size=hidden_size,
            kernel_size=settings.predictor_kernel_size,
            dropout=settings.predictor_dropout,
            is_pause=is_pause,
            scales=scales,
            predictor=SeparablePredictor,
            is_duration_detached=True,
        )
        self.decoder = conformer(settings.decoder_layers, settings.decoder_kernel_size)
        self.to_mel = Conv1d(hidden_size, n_mel)
        self.aligner = None
        if settings.durations == "learned":
            size = settings.aligner_size
            self.aligner = SoftAligner(
                _encoder(hidden_size, size, n_layers=2, kernel_size=_KEY_KERNEL_SIZE),
                _encoder(n_mel, size, n_layers=3, kernel_size=_QUERY_KERNEL_SIZE),
                is_prior_transposed=settings.alignment_prior == "transposed",
            )

    def decode(self, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None) -> tuple[Tensor, None]:
        mel = self.to_mel(self.decoder(frames, is_padding, condition)).float()
        return as_log_mel(mel, is_padding), None

    def forward(self, batch: AcousticBatch, noise_places: Tensor | None = None) -> DelightfulTTSPrediction:
        """Align, where durations are learned, and predict a mel with teacher forcing.

        Args:
            batch: with pitch and energy per frame.
            noise_places: (B,) of the decoder's noise; None for those of inference.
        """
        is_padding = padding_mask(batch.phoneme_lengths, batch.phoneme_ids.shape[1])
        condition = self._condition(batch.speaker_ids)
        encoded = self.encoder(self.phoneme_embedding(batch.phoneme_ids), is_padding, condition)
        reference = self.prosody.of_recordings(encoded, batch.mel, batch.mel_lengths)
        hidden = self.prosody.added(encoded, reference, is_padding)
        alignment = None
        if self.aligner is not None:
            alignment = self.aligner(hidden, batch.phoneme_lengths, batch.mel, batch.mel_lengths)
        target = _per_phone(batch, batch.durations if alignment is None else alignment.durations)
        predicted = self._taught(hidden, is_padding, target, noise_places, condition)
        return DelightfulTTSPrediction(
            **vars(predicted) | {"target": target, "alignment": alignment},
            reference_prosody=reference,
            predicted_prosody=self.prosody.predicted(encoded, is_padding),
        )

    def encode_freely(self, batch: PhonemeBatch, is_padding: Tensor) -> tuple[Tensor, Tensor]:
        condition = self._condition(batch.speaker_ids, batch.language_ids)
        encoded = self.encoder(self.phoneme_embedding(batch.phoneme_ids), is_padding, condition)
        vectors = self.prosody.predicted(encoded, is_padding)
        if batch.reference is not None:
            mel = batch.reference.unsqueeze(0)
            lengths = torch.tensor([mel.shape[2]], device=mel.device)
            vectors = vectors._replace(utterance=self.prosody.encoders["utterance"](mel, lengths))
        return self.prosody.added(encoded, vectors, is_padding), condition

    def _condition(self, speaker_ids: Tensor, language_ids: Tensor | None = None) -> Tensor:
        """Return the (B, 1, C) vectors of speakers and languages."""
        vectors = [self.speaker_embedding(speaker_ids), self.language_table(speaker_ids, language_ids)]
        return torch.cat(vectors, dim=1).unsqueeze(1)


def _per_phone(batch: AcousticBatch, durations: Tensor) -> AcousticBatch:
    """Return the batch with these durations, and pitch and energy per phone."""
    assert batch.energy is not None
    energy = average_per_symbol(batch.energy, durations)
    return replace(with_durations(batch, durations, has_energy=False), energy=energy)


def _encoder(in_channels: int, size: int, *, n_layers: int, kernel_size: int) -> nn.ModuleList:
    """Return the convolutions that encode phones or frames for the aligner."""
    return nn.ModuleList(LeakyConv1d(size if layer else in_channels, size, kernel_size) for layer in range(n_layers))
