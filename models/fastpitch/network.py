"""FastPitch: symbols to a mel, all frames at once, with pitch that can be set per symbol."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from models.fastpitch.settings import FastPitchModelSettings
from models.layers.acoustic_network import AcousticNetwork, Prediction
from models.layers.attention import SelfAttention
from models.layers.block_stack import block_stack
from models.layers.conv1d import Conv1d
from models.layers.convolved_value import ConvolvedValue
from models.layers.learned_alignment import SoftAligner, relu_encoder, with_durations
from models.layers.positions import SinusoidalPositions
from models.layers.speaker_projection import speaker_table
from models.layers.transformer import FeedForwardTransformer
from models.layers.variance_adaptor import SpeakerScales, VarianceAdaptor
from processors.audio.mel import MEL_FLOOR
from processors.datasets.acoustic_data import AcousticBatch

_MAX_DURATION = 75.0  # frames of a symbol, as theirs
_TYPICAL_LOG_MEL = -5.0


class FastPitchAdaptor(VarianceAdaptor):
    """A variance adaptor whose energy is log(1 + E), E being the length (2-norm) of the log-mel frame.

    E falls where speech gets louder: were all M bands alike, a factor f on the frame's amplitude would add log f to
    each and take sqrt(M) log f from E. The control of energy does that, and exp(-E / sqrt(M)) is the energy returned.
    """

    def __init__(self, *arguments: Any, n_mel: int, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._length_of_one = math.sqrt(n_mel)

    def scaled(self, name: str, value: Tensor, speaker_ids: Tensor, factor: Tensor | float) -> Tensor:
        if name != "energy":
            return super().scaled(name, value, speaker_ids, factor)
        factor = torch.as_tensor(factor, dtype=value.dtype, device=value.device)
        length = _symmetric(torch.expm1, value) - self._length_of_one * factor.log()
        return torch.where(factor == 1, value, _symmetric(torch.log1p, length))

    def _denormalised(self, name: str, value: Tensor, speaker_ids: Tensor) -> Tensor:
        if name != "energy":
            return super()._denormalised(name, value, speaker_ids)
        return (-_symmetric(torch.expm1, value) / self._length_of_one).exp()


def _symmetric(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Extend a function of positive values to negative ones."""
    return values.sign() * function(values.abs())


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
        self.speaker_embedding = speaker_table(
            len(scales.pitch_std), hidden_size, speaker_embeddings, settings.speaker_conditioning
        )
        self.speaker_weight = settings.speaker_weight
        self.positions = SinusoidalPositions(hidden_size)
        self.encoder = block_stack(settings.encoder_block, settings.encoder_layers, settings, transformer)
        quantities = ("pitch", "energy") if settings.energy else ("pitch",)
        self.variance_adaptor = FastPitchAdaptor(
            hidden_size,
            dict.fromkeys(quantities, "phone"),
            lambda quantity: ConvolvedValue(hidden_size, settings.embedding_kernel_size),
            filter_size=settings.predictor_filter_size,
            kernel_size=settings.predictor_kernel_size,
            dropout=settings.predictor_dropout,
            is_pause=torch.ones_like(is_pause),
            scales=scales,
            max_duration=_MAX_DURATION,
            n_mel=n_mel,
        )
        self.decoder = block_stack(settings.decoder_block, settings.decoder_layers, settings, transformer)
        self.to_mel = Conv1d(hidden_size, n_mel)
        nn.init.constant_(self.to_mel.bias, _TYPICAL_LOG_MEL)
        self.aligner = None
        if settings.durations == "learned":
            self.aligner = SoftAligner(
                relu_encoder((hidden_size, 2 * hidden_size, n_mel)),
                relu_encoder((n_mel, 2 * n_mel, n_mel, n_mel)),
                is_prior_transposed=settings.alignment_prior == "transposed",
            )

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
