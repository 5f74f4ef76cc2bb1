"""Stacks of blocks that an acoustic model may have as encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from models.layers.acoustic_settings import BlockName, BlockSettings
from models.layers.conformer import Conformer, ConformerBlock
from models.layers.convnext import ConvNeXtEncoder


def block_stack(
    block: BlockName, n_layers: int, settings: BlockSettings, transformer: Callable[[int], nn.Module]
) -> nn.Module:
    """Return a stack that maps (B, T, D) and (B, T) padding to (B, T, D), 0 on padding.

    Args:
        block: of which the stack consists.
        n_layers: blocks.
        settings: of the model.
        transformer: returns the model's own Transformer of so many blocks.
    """
    size, filter_size = settings.hidden_size, settings.conv_filter_size
    kernel_size, dropout = settings.block_kernel_size, settings.dropout
    if block == "transformer":
        return transformer(n_layers)
    if block == "convolution":
        return ConvNeXtEncoder(n_layers, size, inner_size=filter_size, kernel_size=kernel_size, dropout=dropout)
    return Conformer(
        n_layers,
        lambda: ConformerBlock(
            size, n_heads=settings.n_heads, filter_size=filter_size, kernel_size=kernel_size, dropout=dropout
        ),
    )
