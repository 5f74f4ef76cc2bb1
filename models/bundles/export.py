"""Export of trained models: as a bundle to pass on, or in a layout that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundles.formats import layout_of_format, published_formats
from utils.console import say
from utils.errors import RecitalError
from utils.precision import Precision, dtype_of

if TYPE_CHECKING:
    from models.bundle import Bundle

OWN_FORMAT = "bundle"


@dataclass(frozen=True)
class Export:
    """An export: its model and its target.

    Attributes:
        place: an experiment, a checkpoint inside one, a bundle, or a checkpoint in a published layout.
        folder: gets the files; is made if missing.
        precision: of the weights, where the format leaves the choice.
        overwrite: whether files that exist are replaced.
    """

    place: str
    folder: Path
    precision: Precision = "fp32"
    overwrite: bool = False


Writer = Callable[["Bundle", Export], Sequence[str]]
"""Writes a bundle in a format and returns the names of the files."""


def writers() -> dict[str, Writer]:
    """Return the writer of each format by its name."""
    published = {name: partial(_write_published, name) for name in published_formats()}
    return {OWN_FORMAT: _write_bundle, **published}


def export(wanted: Export, format_name: str) -> None:
    """Write a trained model in the format of a name among `writers`.

    Raises:
        BundleError: there is no such model, or files exist already.
        RecitalError: the format is for another model.
    """
    from models.bundles.locate import find_bundle

    names = writers()[format_name](find_bundle(wanted.place), wanted)
    say(f"wrote {', '.join(names)} to {wanted.folder}")


def _write_bundle(bundle: Bundle, wanted: Export) -> Sequence[str]:
    from models.bundle import SETTINGS_FILE, WEIGHTS_FILE, BundleError
    from models.bundles.sharing import for_others
    from models.registry import open_network

    open_network(bundle)  # weights that do not fit would be of no use to others
    folder = wanted.folder
    there = [name for name in (WEIGHTS_FILE, SETTINGS_FILE) if (folder / name).exists()]
    if there and not wanted.overwrite:
        raise BundleError(f"{folder}: has {' and '.join(there)} already; --overwrite replaces, or name another folder")
    for_others(bundle, dtype_of(wanted.precision)).save(folder)
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def _write_published(format_name: str, bundle: Bundle, wanted: Export) -> Sequence[str]:
    from models.bundles.locate import find_bundle
    from models.bundles.warm_start import find_training

    found, model_type = bundle.settings.model_type, published_formats()[format_name]
    if found != model_type:
        raise RecitalError(f"{wanted.place}: holds a {found}; the format {format_name} is for a {model_type}")
    training = find_training(wanted.place, bundle.settings)
    if training is not None:
        bundle = find_bundle(training.place)  # an experiment's bundle may be older than its newest checkpoint
    names = layout_of_format(format_name).write_published(wanted.folder, bundle, training, wanted.overwrite)
    if training is None or not training.optimizers:
        say(f"{wanted.place} has only the model; an experiment or a checkpoint also has the training state")
    return names
