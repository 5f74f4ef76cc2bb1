"""Gradient checkpointing: blocks that compute their activations again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class CheckpointedBlock(nn.Module):
    """A block of a network that can keep its inputs alone for the backward pass, and compute the rest again there.

    T. Chen and others, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174, section 4. Random states are
    restored for the second computation, so that dropout is the same. A subclass is an ordinary module, whose inputs are
    given by position.
    """

    is_checkpointed = False

    def __call__(self, *inputs: Any) -> Any:
        if self.is_checkpointed and torch.is_grad_enabled():
            return checkpoint(super().__call__, *inputs, use_reentrant=False)
        return super().__call__(*inputs)


def checkpoint_blocks(networks: Iterable[nn.Module]) -> int:
    """Turn gradient checkpointing on in all blocks of some networks; return how many there are."""
    blocks = [module for network in networks for module in network.modules() if isinstance(module, CheckpointedBlock)]
    for block in blocks:
        block.is_checkpointed = True
    return len(blocks)
