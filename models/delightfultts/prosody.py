"""Prosody of DelightfulTTS: vectors of an utterance and of its phones, from a recording or from the text alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.delightfultts.predictors import SeparablePredictor
from models.delightfultts.settings import DelightfulTTSModelSettings
from models.layers.attention import attend, attention_bias
from models.layers.conformer import LEAKY_SLOPE
from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout
from models.layers.masks import padding_mask
from models.layers.mel_scale import from_log_mel
from models.layers.utterance_norm import UtteranceNorm

_COORDINATES = 2


class Reference(NamedTuple):
    """A recording as a reference encoder leaves it: (B, T, C) states and (B,) their lengths."""

    states: Tensor
    lengths: Tensor


class ProsodyVectors(NamedTuple):
    """Prosody of utterances, (B, 1, U), and of their phones, (B, T_text, P)."""

    utterance: Tensor
    phonemes: Tensor


class ReferenceEncoder(nn.Module):
    """Convolutions over frames and their positions, and a GRU.

    Padding takes part in no statistic, and frames count from an utterance's own ends.

    Args:
        n_mel: M.
        channels: of each convolution.
        size: of the GRU's states.
    """

    def __init__(self, n_mel: int, channels: tuple[int, ...], size: int) -> None:
        super().__init__()
        widths = (n_mel + _COORDINATES, *channels)
        self.strides = [2 if number >= 2 and number % 2 == 0 else 1 for number in range(len(channels))]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 3, stride, padding=1)
            for before, after, stride in zip(widths[:-1], channels, self.strides, strict=True)
        )
        self.norms = nn.ModuleList(UtteranceNorm(width, per_channel=True) for width in channels)
        self.gru = nn.GRU(channels[-1], size, batch_first=True)

    def forward(self, mel: Tensor, lengths: Tensor) -> Reference:
        """Encode (B, M, T_mel) log-mels of (B,) lengths."""
        # float32: half precision rounds thousands of positions to the same values.
        with torch.autocast(mel.device.type, enabled=False):
            frames = torch.arange(mel.shape[2], device=mel.device)
            position = 2.0 * frames / (lengths - 1).clamp_min(1).unsqueeze(1) - 1.0  # from -1 to 1
            coordinates = torch.stack([position, (position - 0.5).abs()], dim=2)
            x = torch.cat([from_log_mel(mel.float()), coordinates], dim=2)
            for convolution, norm, stride in zip(self.convolutions, self.norms, self.strides, strict=True):
                x = x.masked_fill(padding_mask(lengths, x.shape[1]).unsqueeze(2), 0.0)
                x = F.leaky_relu(convolution(x.transpose(1, 2)).transpose(1, 2), LEAKY_SLOPE)
                lengths = (lengths - 1) // stride + 1
                x = norm(x, padding_mask(lengths, x.shape[1]).unsqueeze(2))
            return Reference(self.gru(x)[0], lengths)


class UtteranceEncoder(nn.Module):
    """Vector of an utterance's prosody: a mixture of style tokens (arXiv:1803.09017), which its recording selects.

    Args:
        settings: of the model.
        n_mel: M.
    """

    def __init__(self, settings: DelightfulTTSModelSettings, n_mel: int) -> None:
        super().__init__()
        style_size = settings.style_size
        self.reference = ReferenceEncoder(n_mel, settings.reference_channels, settings.reference_size)
        self.to_query = nn.Linear(settings.reference_size, style_size)
        self.tokens = nn.Parameter(torch.randn(settings.style_tokens, style_size) * 0.5)
        self.to_keys_values = nn.Linear(style_size, 2 * style_size, bias=False)
        self.dropout = Dropout(settings.style_dropout)
        self.to_vector = nn.Linear(style_size, settings.utterance_prosody_size)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, 1, U) of (B, M, T_mel) log-mels of (B,) lengths."""
        states, lengths = self.reference(mel, lengths)
        last = states.take_along_dim((lengths - 1).view(-1, 1, 1), dim=1)  # (B, 1, C)
        keys, values = self.to_keys_values(self.tokens.tanh()).chunk(2, dim=1)
        scores = self.to_query(last) @ keys.T * keys.shape[1] ** -0.5
        return _normalised(self.to_vector(self.dropout(scores.softmax(dim=2) @ values)))


class PhonemeEncoder(nn.Module):
    """Vectors of phones' prosody: each phone attends to the recording's frames.

    Args:
        settings: of the model.
        n_mel: M.
    """

    def __init__(self, settings: DelightfulTTSModelSettings, n_mel: int) -> None:
        super().__init__()
        hidden_size = settings.hidden_size
        self.n_heads = settings.n_heads
        self.reference = ReferenceEncoder(n_mel, settings.reference_channels, settings.reference_size)
        self.to_queries = Conv1d(hidden_size, hidden_size)
        self.to_keys_values = nn.Linear(settings.reference_size, 2 * hidden_size, bias=False)
        self.to_vectors = Conv1d(hidden_size, settings.phoneme_prosody_size)

    def forward(self, encoded: Tensor, mel: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, T_text, P) of (B, T_text, D) phones and (B, M, T_mel) log-mels of (B,) lengths."""
        states, lengths = self.reference(mel, lengths)
        queries = self.to_queries(encoded).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        keys, values = self.to_keys_values(states).unflatten(2, (2, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = attend(queries, keys, values, attention_bias(padding_mask(lengths, states.shape[1])))
        return _normalised(self.to_vectors(attended.transpose(1, 2).flatten(2)))


class ProsodyModule(nn.Module):
    """Both levels of prosody: encoders for recordings, predictors for text, and their way into the hidden sequence.

    Args:
        settings: of the model.
        n_mel: M.
    """

    def __init__(self, settings: DelightfulTTSModelSettings, n_mel: int) -> None:
        super().__init__()
        sizes = {"utterance": settings.utterance_prosody_size, "phonemes": settings.phoneme_prosody_size}
        self.encoders = nn.ModuleDict(
            {"utterance": UtteranceEncoder(settings, n_mel), "phonemes": PhonemeEncoder(settings, n_mel)}
        )
        self.predictors = nn.ModuleDict(
            {
                name: SeparablePredictor(
                    settings.hidden_size,
                    filter_size=settings.prosody_predictor_size,
                    kernel_size=settings.predictor_kernel_size,
                    dropout=settings.prosody_dropout,
                    size=size,
                )
                for name, size in sizes.items()
            }
        )
        self.to_hidden = nn.ModuleDict({name: nn.Linear(size, settings.hidden_size) for name, size in sizes.items()})

    def of_recordings(self, encoded: Tensor, mel: Tensor, mel_lengths: Tensor) -> ProsodyVectors:
        """Return the prosody of recordings of the (B, T_text, D) encoded texts."""
        encoders = self.encoders
        return ProsodyVectors(encoders["utterance"](mel, mel_lengths), encoders["phonemes"](encoded, mel, mel_lengths))

    def predicted(self, encoded: Tensor, is_padding: Tensor) -> ProsodyVectors:
        """Return the prosody predicted from the (B, T_text, D) encoded texts; the utterance's as a mean over phones."""
        utterance, phonemes = (
            self.predictors[name].vectors(encoded, is_padding)  # type: ignore[operator]
            for name in ("utterance", "phonemes")
        )
        real = ~is_padding.unsqueeze(2)
        mean = (utterance * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)
        return ProsodyVectors(_normalised(mean), _normalised(phonemes))

    def added(self, encoded: Tensor, prosody: ProsodyVectors, is_padding: Tensor) -> Tensor:
        """Return the (B, T_text, D) encoded texts with prosody, 0 on padding."""
        of_utterance, of_phonemes = self.to_hidden["utterance"], self.to_hidden["phonemes"]
        hidden: Tensor = encoded + of_utterance(prosody.utterance) + of_phonemes(prosody.phonemes)
        return hidden.masked_fill(is_padding.unsqueeze(2), 0.0)


def _normalised(vectors: Tensor) -> Tensor:
    """Return vectors of mean 0 and variance 1: encoders and predictors meet on one scale."""
    return F.layer_norm(vectors.float(), vectors.shape[-1:])
