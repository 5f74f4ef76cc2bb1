"""FastPitch: symbols to a mel, all frames at once, with pitch that can be set per symbol."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.contracts import AS_PREDICTED, Controls, GeneratedSpeech, PhonemeBatch
from models.fastpitch.settings import FastPitchModelSettings
from models.layers.acoustic_network import AcousticNetwork, Prediction
from models.layers.attention import SelfAttention
from models.layers.conv1d import Conv1d
from models.layers.convolved_value import ConvolvedValue
from models.layers.learned_alignment import SoftAligner, relu_encoder, with_durations
from models.layers.positions import SinusoidalPositions
from models.layers.speaker_projection import speaker_table
from models.layers.transformer import FeedForwardTransformer
from models.layers.variance_adaptor import SpeakerScales, VarianceAdaptor
from processors.audio.mel import MEL_FLOOR
from processors.datasets.acoustic_data import AcousticBatch
from utils.precision import Precision

_MAX_DURATION = 75.0  # frames of a symbol, as theirs
_TYPICAL_LOG_MEL = -5.0


class FastPitch(AcousticNetwork):
    """A non-autoregressive acoustic model with pitch and energy per symbol (arXiv:2006.06873, section 2).

    With `durations: learned` an aligner within it finds the durations that it learns from (version 1.1; see
    `SoftAligner`). Departure from the public code: padding takes part in nothing, so that a text is synthesized alone
    as in a batch. Arguments and shapes are those of `AcousticNetwork`. Any symbol may last 0 frames.
    """

    clamps_mels = False  # nor does the public code

    def __init__(
        self,
        settings: FastPitchModelSettings,
        *,
        n_mel: int,
        is_pause: Tensor,
        scales: SpeakerScales,
        speaker_embeddings: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden_size, kernel_size = settings.hidden_size, settings.conv_kernel_size

        def attention() -> SelfAttention:
            return SelfAttention(
                hidden_size, settings.n_heads, settings.head_size, output_bias=False, dropout=settings.dropout
            )

        def transformer(n_layers: int) -> FeedForwardTransformer:
            return FeedForwardTransformer(
                n_layers,
                hidden_size,
                n_heads=settings.n_heads,
                filter_size=settings.conv_filter_size,
                kernel_sizes=(kernel_size, kernel_size),
                dropout=settings.dropout,
                norm_first=False,
                make_attention=attention,
            )

        self.phoneme_embedding = nn.Embedding(len(is_pause), hidden_size)
        n_speakers = len(scales.pitch_std)
        self.speaker_embedding = speaker_table(
            n_speakers, hidden_size, speaker_embeddings, settings.speaker_conditioning
        )
        self.speaker_weight = settings.speaker_weight
        self.positions = SinusoidalPositions(hidden_size)
        self.encoder = transformer(settings.encoder_layers)
        quantities = ("pitch", "energy") if settings.energy else ("pitch",)
        # Energy is not normalised: the logarithm of 1 + the length of the log-mel frame.
        scales = replace(scales, energy_mean=torch.zeros(n_speakers), energy_std=torch.ones(n_speakers))
        self.variance_adaptor = VarianceAdaptor(
            hidden_size,
            dict.fromkeys(quantities, "phone"),
            lambda quantity: ConvolvedValue(hidden_size, settings.embedding_kernel_size),
            filter_size=settings.predictor_filter_size,
            kernel_size=settings.predictor_kernel_size,
            dropout=settings.predictor_dropout,
            is_pause=torch.ones_like(is_pause),
            scales=scales,
            max_duration=_MAX_DURATION,
        )
        self.decoder = transformer(settings.decoder_layers)
        self.to_mel = Conv1d(hidden_size, n_mel)
        nn.init.constant_(self.to_mel.bias, _TYPICAL_LOG_MEL)
        self.aligner = None
        if settings.durations == "learned":
            self.aligner = SoftAligner(
                relu_encoder((hidden_size, 2 * hidden_size, n_mel)),
                relu_encoder((n_mel, 2 * n_mel, n_mel, n_mel)),
                is_prior_transposed=settings.alignment_prior == "transposed",
            )

    @property
    def controls(self) -> frozenset[str]:
        # Not energy: its measure falls where the mel gets louder.
        return frozenset({"duration", "pitch"})

    def encode(self, phoneme_ids: Tensor, is_padding: Tensor, speaker_ids: Tensor) -> Tensor:
        speaker = self.speaker_weight * self.speaker_embedding(speaker_ids).unsqueeze(1)
        hidden: Tensor = self.encoder(self.positions(self.phoneme_embedding(phoneme_ids)) + speaker, is_padding)
        return hidden

    def decode(self, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None) -> tuple[Tensor, None]:
        mel = self.to_mel(self.decoder(self.positions(frames), is_padding)).float()
        mel = mel.masked_fill(is_padding.unsqueeze(2), math.log(MEL_FLOOR))
        return mel.transpose(1, 2), None  # (B, T_mel, M) -> (B, M, T_mel)

    def forward(
        self, batch: AcousticBatch, noise_places: Tensor | None = None, log_prior: Tensor | None = None
    ) -> Prediction:
        """Align, where durations are learned, and predict a mel with teacher forcing.

        Args:
            batch: with pitch per frame.
            noise_places: (B,) of the decoder's noise; None for those of inference.
            log_prior: (B, T_mel, T_text) of the alignment; None for the usual one.
        """
        alignment = None
        if self.aligner is not None:
            alignment = self.aligner(
                self.phoneme_embedding(batch.phoneme_ids),
                batch.phoneme_lengths,
                batch.mel,
                batch.mel_lengths,
                log_prior,
            )
        durations = batch.durations if alignment is None else alignment.durations
        target = with_durations(batch, durations, has_energy="energy" in self.variance_adaptor.levels)
        return replace(super().forward(target, noise_places), target=target, alignment=alignment)

    def infer(
        self, batch: PhonemeBatch, prosody: Controls = AS_PREDICTED, precision: Precision = "fp32"
    ) -> GeneratedSpeech:
        """Synthesize freely; its energy is another than that of `GeneratedSpeech`, and is left out."""
        return replace(super().infer(batch, prosody, precision), energy=None)
