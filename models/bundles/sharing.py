"""Bundles to pass on: in a chosen precision, without the folders of the machine that trained them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from config.load import check_settings
from models.bundle import Bundle, BundleError


def for_others(bundle: Bundle, dtype: torch.dtype) -> Bundle:
    """Return a bundle to pass on: its weights in `dtype`, its settings without this machine's folders.

    Of a folder outside the project only the last name stays.

    Raises:
        BundleError: a weight is too large for `dtype`.
    """
    weights = {name: _in_dtype(name, tensor, dtype) for name, tensor in bundle.weights.items()}
    tree = _without_folders(bundle.settings.model_dump(mode="json"))
    settings = check_settings(tree, type(bundle.settings), {}, fallback_source=str(bundle.folder))
    return replace(bundle, settings=settings, weights=weights)


def _in_dtype(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    converted = tensor.to(dtype)
    if not torch.isfinite(converted).all():
        raise BundleError(f"{name}: reaches {float(tensor.abs().max()):.4g}, which {dtype} cannot hold; choose another")
    return converted


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    return _name_alone(value) if isinstance(value, str) else value


def _name_alone(text: str) -> str:
    is_outside = text.startswith("~") or PurePath(text).is_absolute() or ".." in PurePath(text).parts
    return PurePath(text).name if is_outside else text
