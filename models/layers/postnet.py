"""Postnet: convolutions that refine a mel."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.conv1d import Conv1d
from models.layers.dropout import Dropout


class Postnet(nn.Module):
    """Predict a correction of a mel.

    Tacotron 2 (arXiv:1712.05884, section 2.2), as commonly used with FastSpeech 2, but with layer norm instead of batch
    norm, whose statistics would depend on padding, on the number of processes and on gradient accumulation.

    Args:
        n_mel: M.
        n_layers: convolutions, at least 2.
        filter_size: their width.
        kernel_size: in frames, odd.
        dropout: probability, after each.
    """

    def __init__(self, n_mel: int, *, n_layers: int, filter_size: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        widths = [n_mel] + [filter_size] * (n_layers - 1)
        self.convolutions = nn.ModuleList(Conv1d(width, filter_size, kernel_size) for width in widths[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(filter_size) for _ in self.convolutions)
        self.dropout = Dropout(dropout)
        self.to_mel = Conv1d(filter_size, n_mel, kernel_size)
        # Near 0: an untrained postnet leaves the mel as it is.
        nn.init.normal_(self.to_mel.weight, std=1e-3)
        nn.init.zeros_(self.to_mel.bias)

    def forward(self, mel: Tensor, is_padding: Tensor) -> Tensor:
        """Return the (B, T_mel, M) residual of a (B, T_mel, M) mel; `is_padding` is (B, T_mel)."""
        is_padding = is_padding.unsqueeze(2)
        x = mel
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(norm(convolution(x, is_padding)).tanh())
        residual: Tensor = self.to_mel(x, is_padding)
        return residual
