"""Seeding, saving and restoring of all global random generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch, on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all global generators, in types that `torch.load(weights_only=True)` reads."""
    generator: Any = np.random.get_state(legacy=False)
    counter = generator["state"]  # int64: torch cannot send unsigned integers to other processes
    return {
        "python": random.getstate(),
        "numpy": {**generator, "state": {**counter, "key": torch.from_numpy(counter["key"].astype(np.int64))}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the state that `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    counter = state["numpy"]["state"]
    key = counter["key"].numpy().astype(np.uint32)
    np.random.set_state({**state["numpy"], "state": {**counter, "key": key}})
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the state of all global generators after the block."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
