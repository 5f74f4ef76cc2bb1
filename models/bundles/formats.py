"""Layouts in which models' authors publish checkpoints, by the name of their format."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from models.registry import MODELS, Kind, Model

if TYPE_CHECKING:
    from models.contracts import PublishedLayout


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
