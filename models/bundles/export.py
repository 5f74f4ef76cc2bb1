"""Export of trained models: as a bundle to pass on, or in a layout that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from config.paths import VOCODERS
from models.bundles.formats import layout_of_format, published_formats
from utils.console import info
from utils.errors import RecitalError
from utils.precision import Precision, dtype_of

if TYPE_CHECKING:
    from models.bundle import Bundle

OWN_FORMAT = "bundle"


@dataclass(frozen=True)
class Export:
    """An export: its model and its target.

    Attributes:
        path: an experiment, a checkpoint inside one, a bundle, or a checkpoint in a published layout.
        folder: gets the files; created if missing.
        precision: of the weights, where the format leaves the choice.
        overwrite: whether files that exist are replaced.
        vocoder: what a bundle of an acoustic model names as its vocoder: the name of a folder in `ckpts/vocoder`, or a
            path as for the model, which is then copied into the bundle; None to keep what it has.
    """

    path: str
    folder: Path
    precision: Precision = "fp32"
    overwrite: bool = False
    vocoder: str | None = None


Writer = Callable[["Bundle", Export], Sequence[str]]
"""Writes a bundle in a format and returns the names of the files."""


def writers() -> dict[str, Writer]:
    """Return the writer of each format by its name."""
    published = {name: partial(_write_published, name) for name in published_formats()}
    return {OWN_FORMAT: _write_bundle, **published}


def export(request: Export, format_name: str) -> None:
    """Write a trained model in the format of a name among `writers`.

    Raises:
        BundleError: there is no such model, or files exist already.
        RecitalError: the format is for another model.
    """
    from models.bundles.locate import find_bundle

    bundle = find_bundle(request.path)
    names = writers()[format_name](bundle, request)
    info(f"wrote {', '.join(names)} to {request.folder}")
    for source in bundle.sources:
        info(f"trained on speech of {source}: keep to this licence, and name it, where you pass the model on")


def _write_bundle(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.bundle import SETTINGS_FILE, VOCODER_FOLDER, WEIGHTS_FILE, BundleError
    from models.bundles.locate import find_bundle
    from models.bundles.sharing import for_others
    from models.registry import open_network

    open_network(bundle)  # weights that do not fit would be of no use to others
    folder = request.folder
    there = [name for name in (WEIGHTS_FILE, SETTINGS_FILE) if (folder / name).exists()]
    if there and not request.overwrite:
        raise BundleError(f"{folder}: has {' and '.join(there)} already; --overwrite replaces, or name another folder")
    name, path = _vocoder_of(bundle, request.vocoder)
    shared = for_others(bundle, dtype_of(request.precision))
    replace(shared, vocoder_name=name).save(folder)
    if path is not None:
        vocoder = for_others(find_bundle(path), dtype_of(request.precision))
        vocoder.save(folder / VOCODER_FOLDER)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _vocoder_of(bundle: Bundle, vocoder_dir: str | None) -> tuple[str, Path | None]:
    """Return the name of a bundle's vocoder in `ckpts/vocoder`, or "" and what to copy, if there is one.

    Raises:
        BundleError: there is no such vocoder, or the bundle needs none.
        VocoderError: it was trained on other mels.
    """
    from models.bundle import BundleError
    from models.bundles.vocoder import find_vocoder
    from models.registry import kind_of

    if vocoder_dir is None:
        return bundle.vocoder_name, None if bundle.vocoder_name else bundle.vocoder_folder
    if kind_of(bundle.settings.model_type) != "acoustic":
        raise BundleError(f"{bundle.folder}: a {bundle.settings.model_type} needs no vocoder; leave --vocoder_dir out")
    is_name = Path(vocoder_dir).name == vocoder_dir and (VOCODERS / vocoder_dir).is_dir()
    path = VOCODERS / vocoder_dir if is_name else Path(vocoder_dir)
    find_vocoder(path, expect=bundle.settings.preprocess)
    return (vocoder_dir, None) if is_name else ("", path)


def _write_published(format_name: str, bundle: Bundle, request: Export) -> Sequence[str]:
    from models.bundles.locate import find_bundle
    from models.bundles.warm_start import find_training

    found, model_type = bundle.settings.model_type, published_formats()[format_name]
    if found != model_type:
        raise RecitalError(f"{request.path}: holds a {found}; the format {format_name} is for a {model_type}")
    training = find_training(request.path, bundle.settings)
    if training is not None:
        bundle = find_bundle(training.path)  # an experiment's bundle may be older than its newest checkpoint
    names = layout_of_format(format_name).write_published(request.folder, bundle, training, request.overwrite)
    if training is None or not training.optimizers:
        info(f"{request.path} has only the model; an experiment or a checkpoint also has the training state")
    return names
