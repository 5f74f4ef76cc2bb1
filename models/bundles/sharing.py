"""Bundles to pass on: in a chosen precision, without the folders of the machine that trained them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import torch
from torch import Tensor

from models.bundle import Bundle, BundleError

_PLACES_OF_PREPROCESS = ("processed_dir", "lexicon_path", "speaker_encoder_path", "textgrid_dir")


def for_others(bundle: Bundle, dtype: torch.dtype) -> Bundle:
    """Return a bundle to pass on: its weights in `dtype`, its settings without this machine's folders.

    Of a folder outside the project only the last name stays.

    Raises:
        BundleError: a weight is too large for `dtype`.
    """
    weights = {name: _in_dtype(name, tensor, dtype) for name, tensor in bundle.weights.items()}
    settings = bundle.settings
    preprocess = settings.preprocess.model_copy(
        update={name: _name_alone(getattr(settings.preprocess, name)) for name in _PLACES_OF_PREPROCESS}
    )
    dataset_path = {name: _name_alone(path) for name, path in settings.dataset_path.items()}
    update = {"dataset_path": dataset_path, "log_dir": _name_alone(settings.log_dir), "preprocess": preprocess}
    return replace(bundle, settings=settings.model_copy(update=update), weights=weights)


def _in_dtype(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    converted = tensor.to(dtype)
    if not torch.isfinite(converted).all():
        raise BundleError(f"{name}: reaches {float(tensor.abs().max()):.4g}, which {dtype} cannot hold; choose another")
    return converted


def _name_alone(path: str) -> str:
    outside = PurePath(path).is_absolute() or ".." in PurePath(path).parts
    return PurePath(path).name if outside else path
