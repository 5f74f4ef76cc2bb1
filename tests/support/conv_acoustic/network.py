"""A convolutional acoustic model with pitch and no energy, for tests alone."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.acoustic_network import AcousticNetwork
from models.layers.conv1d import Conv1d
from models.layers.convolved_value import ConvolvedValue
from models.layers.mel_scale import as_log_mel
from models.layers.speaker_projection import speaker_table
from models.layers.variance_adaptor import SpeakerScales, VarianceAdaptor
from tests.support.conv_acoustic.settings import ConvAcousticModelSettings


class ConvStack(nn.Module):
    """Residual convolutions over time."""

    def __init__(self, n_layers: int, hidden_size: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(Conv1d(hidden_size, hidden_size, 5, relu=True) for _ in range(n_layers))

    def forward(self, x: Tensor, is_padding: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = x + convolution(x, is_padding.unsqueeze(2))
        return x


class ConvAcoustic(AcousticNetwork):
    """Convolutions over phones, the variance adaptor, and convolutions over frames."""

    def __init__(
        self,
        settings: ConvAcousticModelSettings,
        *,
        n_mel: int,
        is_pause: Tensor,
        scales: SpeakerScales,
        speaker_embeddings: Tensor | None = None,
    ) -> None:
        super().__init__()
        hidden_size = settings.hidden_size
        self.phoneme_embedding = nn.Embedding(len(is_pause), hidden_size)
        self.speaker_embedding = speaker_table(
            len(scales.pitch_std), hidden_size, speaker_embeddings, settings.speaker_conditioning
        )
        self.encoder = ConvStack(settings.n_layers, hidden_size)
        self.variance_adaptor = VarianceAdaptor(
            hidden_size,
            {"pitch": settings.pitch_level},
            lambda quantity: ConvolvedValue(hidden_size, 3),
            filter_size=hidden_size,
            kernel_size=3,
            dropout=settings.dropout,
            is_pause=is_pause,
            scales=scales,
        )
        self.decoder = ConvStack(settings.n_layers, hidden_size)
        self.to_mel = Conv1d(hidden_size, n_mel)

    def encode(self, phoneme_ids: Tensor, is_padding: Tensor, speaker_ids: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(self.phoneme_embedding(phoneme_ids), is_padding)
        return hidden + self.speaker_embedding(speaker_ids).unsqueeze(1)

    def decode(self, frames: Tensor, is_padding: Tensor, condition: Tensor | None = None) -> tuple[Tensor, None]:
        return as_log_mel(self.to_mel(self.decoder(frames, is_padding)).float(), is_padding), None
