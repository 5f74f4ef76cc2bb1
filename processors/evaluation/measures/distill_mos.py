"""Predicted mean opinion score by DistillMOS (arXiv:2502.05356), whose weights are in its package."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import torch

from processors.evaluation.packages import are_installed
from processors.evaluation.pair import Pair
from processors.evaluation.signals import at_16_khz, finite, is_audible

PACKAGES = ("distillmos", "xls_r_sqa")
# The packages import these for the model that DistillMOS was distilled from, and use none of them here.
_STAND_INS = {
    "torchaudio": (),
    "transformers": ("Wav2Vec2Model", "AutoModel", "Wav2Vec2Config", "AutoConfig"),
}


def measure(pair: Pair) -> float | None:
    """Return the score of the synthesised speech."""
    return distillmos(pair.degraded, pair.sample_rate)


def distillmos(waveform: np.ndarray, sample_rate: int) -> float | None:
    """Predict the mean opinion score, from 1 to 5, by DistillMOS.

    Args:
        waveform: (T_wav,) in [-1, 1]; there is no reference.
        sample_rate: in Hz; resampled to 16 kHz.

    Returns:
        None if a package is missing, or the waveform is silent.
    """
    if not are_installed(PACKAGES) or not is_audible(waveform):
        return None
    with torch.inference_mode():
        return finite(float(_network()(torch.from_numpy(at_16_khz(waveform, sample_rate))[None])))


@lru_cache(maxsize=1)
def _network() -> Any:
    with _stand_ins():
        import distillmos
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights are
        return distillmos.ConvTransformerSQAModel().eval()


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Put empty modules in the place of packages that are not installed, within the block."""
    absent = [name for name in _STAND_INS if importlib.util.find_spec(name) is None]
    for name in absent:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update({each: type(each, (), {}) for each in _STAND_INS[name]})
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
