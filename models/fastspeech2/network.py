"""FastSpeech 2: phones to a mel, all frames at once."""

from __future__ import annotations

from torch import Tensor, nn

from models.fastspeech2.settings import FastSpeech2ModelSettings
from models.layers.acoustic_network import AcousticNetwork
from models.layers.binned_embedding import BinnedEmbedding
from models.layers.block_stack import block_stack
from models.layers.conformer import Conformer
from models.layers.conv1d import Conv1d
from models.layers.mel_scale import as_log_mel
from models.layers.positions import SinusoidalPositions
from models.layers.postnet import Postnet
from models.layers.speaker_projection import speaker_table
from models.layers.transformer import FeedForwardTransformer
from models.layers.variance_adaptor import SpeakerScales, VarianceAdaptor


class FastSpeech2(AcousticNetwork):
    """A non-autoregressive acoustic model (arXiv:2006.04558).

    An encoder over phones, the variance adaptor, a decoder over frames, and a postnet. Departures from the paper: pitch
    is predicted as log F0 and not as a wavelet spectrogram, as in nearly all implementations; pitch and energy are per
    phone by default, which FastPitch (arXiv:2006.06873) found sufficient and easier to control; the postnet has layer
    norm (see `Postnet`). Arguments and shapes are those of `AcousticNetwork`.
    """

    def __init__(
        self,
        settings: FastSpeech2ModelSettings,
        *,
        n_mel: int,
        is_pause: Tensor,
        scales: SpeakerScales,
        speaker_embeddings: Tensor | None = None,
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
        self.speaker_embedding = speaker_table(
            len(scales.pitch_std), hidden_size, speaker_embeddings, settings.speaker_conditioning
        )
        self.positions = SinusoidalPositions(hidden_size)
        self.encoder = block_stack(settings.encoder_block, settings.encoder_layers, settings, transformer)
        self.variance_adaptor = VarianceAdaptor(
            hidden_size,
            {"pitch": settings.pitch_level, "energy": settings.energy_level},
            lambda quantity: BinnedEmbedding(settings.n_bins, hidden_size),
            filter_size=settings.predictor_filter_size,
            kernel_size=settings.predictor_kernel_size,
            dropout=settings.predictor_dropout,
            is_pause=is_pause,
            scales=scales,
        )
        self.decoder = block_stack(settings.decoder_block, settings.decoder_layers, settings, transformer)
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

    def encode(self, phoneme_ids: Tensor, is_padding: Tensor, speaker_ids: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(self.positions(self.phoneme_embedding(phoneme_ids)), is_padding)
        hidden = hidden + self.speaker_embedding(speaker_ids).unsqueeze(1)
        return hidden

    @property
    def decodes_in_windows(self) -> bool:
        return not isinstance(self.decoder, Conformer)  # which normalises over whole utterances

    def decode(
        self, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return self.decode_from(0, frames, is_padding, condition)

    def decode_from(
        self, first_frame: int | Tensor, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        mel = self.to_mel(self.decoder(self.positions(frames, first_frame), is_padding)).float()
        refined = None if self.postnet is None else mel + self.postnet(mel, is_padding).float()
        return as_log_mel(mel, is_padding), None if refined is None else as_log_mel(refined, is_padding)
