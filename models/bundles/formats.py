"""Layouts in which models' authors publish checkpoints, by the name of their format."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, cast

from models.registry import MODELS, Kind, Model

if TYPE_CHECKING:
    from pathlib import Path

    from models.contracts import PublishedLayout


def published_layout(path: Path) -> PublishedLayout | None:
    """Return the layout of the checkpoint at a path; None where it is none that a model's authors publish."""
    layouts = [_layout(model) for model in MODELS.values() if model.published]
    return next((layout for layout in layouts if layout.is_published(path)), None)


def published_path(path: Path) -> Path:
    """Return the newest `*.pt` that a layout reads of a folder or its `checkpoint(s)/`; else the path itself.

    The newest is the one with the greatest last number in its name.
    """
    if not path.is_dir() or published_layout(path) is not None:
        return path
    found = (each for pattern in ("*.pt", "checkpoint/*.pt", "checkpoints/*.pt") for each in path.glob(pattern))
    files = [each for each in found if published_layout(each) is not None]
    return max(files, key=lambda file: (int((re.findall(r"\d+", file.stem) or [0])[-1]), file.name), default=path)


def published_formats() -> dict[str, str]:
    """Return the names of all published layouts, each with the `model_type` it is for."""
    return {model.package.rpartition(".")[2]: name for name, model in MODELS.items() if model.published}


def describe_published(kind: Kind | None = None) -> str:
    """Return, for help texts, which files of which models of a kind are read as their authors publish them."""
    found = [
        f"{name}'s {model.published_files}"
        for name, model in MODELS.items()
        if model.published and kind in (None, model.kind)
    ]
    return " or ".join(found)


def layout_of_format(name: str) -> PublishedLayout:
    """Return the published layout of a name among `published_formats`."""
    return _layout(MODELS[published_formats()[name]])


def _layout(model: Model) -> PublishedLayout:
    return cast("PublishedLayout", importlib.import_module(model.published))
