"""Aligner: log-probabilities of a text's phones at each frame of its recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.aligner.settings import AlignerModelSettings, AlignerSettings
from models.layers.beta_binomial import beta_binomial_prior
from models.layers.conv1d import Conv1d
from models.layers.masks import padding_mask
from processors.alignment.phone_states import StateScores, phone_states
from processors.datasets.aligner_data import AlignerBatch
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from models.bundle import Bundle

_MEL_STD = 2.0  # of log-mels of speech
_LOG_ZERO = -1e4  # finite, so that other scores can be added
_MIN_FREQUENCY = 1e-4  # keeps the score of a symbol that never occurs finite
_FREQUENCY_DECAY = 0.98
# Augmentation of mels in training: the largest stretch and shift of the frequency axis, as shares of its length, and
# the standard deviation of added noise, where that of the mels is 1.
_WARP, _SHIFT, _NOISE = 0.12, 0.04, 0.3
_INITIAL_STD = 0.3  # of the phones' embeddings: close enough to each other for every phone to be likely at first


class Aligner(nn.Module):
    """Embeds phones and frames in one space, and scores their distances.

    One TTS Alignment To Rule Them All (Badlani et al., arXiv:2108.10447, sections 2.1 and 2.2): the negative squared
    distance of a frame from a phone is the phone's logit, to which a beta-binomial prior around the diagonal is added.
    Departures from the paper, for exact boundaries:

    - Silences between words are optional phones (see `forward_sum`), so that pauses without punctuation are found too.
    - The softmax runs over all symbols, not over the text's phones: among those, each of a dozen possible silences
      gets a twelfth, and loses to any phone that occurs once.
    - A phone's probability is divided by its frequency to the power `frequency_weight`, which keeps frequent phones
      from taking the others' frames (Huang et al., arXiv:2406.02560, section 3).
    - A phone has `n_states` states with an embedding each (see `PhoneStates`), so that none is reduced to one frame.
    - In training the vocal tract length of each recording is perturbed (Jaitly and Hinton, 2013), which helps with
      rare and unseen speakers.

    Args:
        settings: of the model.
        n_mel: M.
        is_pause: (n_symbols,) symbols that may last no frame; symbol 0 is padding.
    """

    is_pause: Tensor
    frequency: Tensor

    def __init__(self, settings: AlignerModelSettings, *, n_mel: int, is_pause: Tensor) -> None:
        super().__init__()
        hidden_size, kernel_size, space_size = settings.hidden_size, settings.kernel_size, settings.space_size
        n_symbols, n_states = len(is_pause), settings.n_states
        self.n_states, self.dropout = n_states, settings.dropout
        self.prior_sharpness, self.frequency_weight = settings.prior_sharpness, settings.frequency_weight
        self.phoneme_places = nn.Embedding(n_symbols, n_states * space_size)
        with torch.no_grad():
            self.phoneme_places.weight.mul_(_INITIAL_STD)
        self.mel_encoder = nn.ModuleList(
            [
                Conv1d(n_mel, hidden_size, kernel_size, relu=True),
                Conv1d(hidden_size, hidden_size, kernel_size, relu=True),
                Conv1d(hidden_size, space_size),
            ]
        )
        # Not saved: it follows from the symbol table.
        self.register_buffer("is_pause", is_pause, persistent=False)
        self.register_buffer("frequency", torch.full((n_symbols, n_states), 1.0 / (n_symbols * n_states)))

    @classmethod
    def untrained(cls, settings: ExperimentSettings, symbols: SymbolTable | None) -> Aligner:
        """Make a network for these symbols, with random weights."""
        assert isinstance(settings, AlignerSettings)
        assert symbols is not None, "an aligner reads text"
        is_pause = torch.tensor([symbol in PAUSES for symbol in symbols.symbols])
        return cls(settings.model, n_mel=settings.preprocess.n_mel, is_pause=is_pause)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Aligner:
        """Make the network of a bundle, with its weights.

        Raises:
            BundleError: the weights do not fit the bundle's settings.
        """
        network = cls.untrained(bundle.settings, bundle.symbols)
        bundle.load_into(network)
        return network

    def forward(self, batch: AlignerBatch) -> StateScores:
        """Return the scores to train on: those of `score` plus the log prior."""
        scored = self.score(batch)
        if not self.prior_sharpness:
            return scored
        prior = beta_binomial_prior(
            scored.states.lengths,
            batch.mel_lengths,
            n_phones=scored.scores.shape[2],
            n_frames=batch.mel.shape[2],
            sharpness=self.prior_sharpness,
        )
        return StateScores(scored.states, scored.scores + prior)

    def score(self, batch: AlignerBatch) -> StateScores:
        """Return frame-state scores (B, T_mel, S).

        Logarithms of each state's probability over its frequency; anything finite on padding.
        """
        is_padding = padding_mask(batch.mel_lengths, batch.mel.shape[2])
        frames = _normalized(batch.mel.transpose(1, 2), is_padding)  # (B, M, T_mel) -> (B, T_mel, M)
        if self.training:
            frames = _perturb_vocal_tract(frames)
            frames = frames + _NOISE * torch.randn_like(frames)
        for number, layer in enumerate(self.mel_encoder):
            if number:
                frames = F.dropout(frames, self.dropout, self.training)
            frames = layer(frames, is_padding.unsqueeze(2))
        states = phone_states(
            batch.phoneme_ids,
            batch.phoneme_lengths,
            batch.mel_lengths,
            self.is_pause[batch.phoneme_ids],
            n_states=self.n_states,
        )
        # float32: distances are small differences of large squares.
        with torch.autocast(frames.device.type, enabled=False):
            n_symbols = len(self.is_pause)
            embeddings = self.phoneme_places.weight.float().view(n_symbols * self.n_states, -1)
            logits = -_squared_distances(frames.float(), embeddings)
            log_probabilities = logits.masked_fill(~self._is_state(), _LOG_ZERO).log_softmax(dim=2)
            if self.training:
                self._update_frequency(log_probabilities.detach(), is_padding)
            # The random frequency of a new symbol (`transfer_rows`) may be negative for the first batches.
            frequency = self.frequency.clamp_min(0.0).flatten() + _MIN_FREQUENCY
            scores = log_probabilities - self.frequency_weight * frequency.log()
        columns = states.symbols * self.n_states + states.parts
        return StateScores(states, scores.gather(2, columns.unsqueeze(1).expand(-1, scores.shape[1], -1)))

    def _is_state(self) -> Tensor:
        """Return (n_symbols * n_states,) True for states that occur: none of padding, one of each pause."""
        n_symbols, device = len(self.is_pause), self.is_pause.device
        is_symbol = torch.arange(n_symbols, device=device) > 0
        is_first = torch.arange(self.n_states, device=device) == 0
        return (is_symbol.unsqueeze(1) & (is_first | ~self.is_pause.unsqueeze(1))).flatten()

    def _update_frequency(self, log_probabilities: Tensor, is_padding: Tensor) -> None:
        """Update the moving average of the states' frequencies with this batch."""
        in_batch = log_probabilities.exp()[~is_padding].mean(dim=0).view_as(self.frequency)
        self.frequency.lerp_(in_batch, 1.0 - _FREQUENCY_DECAY)


def _normalized(mel: Tensor, is_padding: Tensor) -> Tensor:
    """Subtract each recording's mean, which reduces differences of voice, room and level."""
    mel = mel.float().masked_fill(is_padding.unsqueeze(2), 0.0)
    mean = mel.sum(dim=1, keepdim=True) / (~is_padding).sum(dim=1).view(-1, 1, 1)
    return (mel - mean) / _MEL_STD


def _perturb_vocal_tract(mel: Tensor) -> Tensor:
    """Stretch and shift the frequency axis of each of (B, T_mel, M) recordings at random."""
    n_utterances, n_frames, n_mel = mel.shape
    stretch, shift = 2.0 * torch.rand(2, n_utterances, 1, device=mel.device) - 1.0
    bins = torch.arange(n_mel, device=mel.device)
    warped = ((bins - _SHIFT * n_mel * shift) * (1.0 + _WARP * stretch)).clamp(0, n_mel - 1)  # (B, M)
    below = warped.floor().long().clamp(max=max(n_mel - 2, 0))
    above = (below + 1).clamp(max=n_mel - 1)
    weight = (warped - below).unsqueeze(1)
    of_frames = (-1, n_frames, -1)
    lower, upper = (mel.gather(2, bins_of.unsqueeze(1).expand(of_frames)) for bins_of in (below, above))
    return torch.lerp(lower, upper, weight)


def _squared_distances(frames: Tensor, embeddings: Tensor) -> Tensor:
    """Return the (B, T_mel, N) squared distances of (B, T_mel, D) frames from (N, D) embeddings."""
    squares = frames.square().sum(dim=2, keepdim=True) + embeddings.square().sum(dim=1)
    return squares - 2.0 * frames @ embeddings.T
