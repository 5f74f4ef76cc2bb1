"""Random numbers of utterances."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor


def utterance_draws(ids: Sequence[str], n_draws: int, *key: object) -> Tensor:
    """Return random numbers that depend on each utterance and a key alone, not on the rest of the batch.

    So they are the same however a step is split into micro-batches and processes, and in a resumed run.

    Args:
        ids: B utterances.
        n_draws: per utterance.
        key: what else they depend on, such as the seed and the step.

    Returns:
        (B, n_draws) whole numbers from 0 to below 2 ** 32, as int64.
    """
    words = [blake2b(repr((*key, id_)).encode(), digest_size=4 * n_draws).digest() for id_ in ids]
    return torch.from_numpy(np.frombuffer(b"".join(words), "<u4").reshape(len(ids), n_draws).astype(np.int64))
