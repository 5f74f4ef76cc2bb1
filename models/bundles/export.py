"""Export of trained models: as a bundle to pass on, or in a layout that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from config.paths import SHIPPED_VOCODER, VOCODERS
from models.bundles.formats import layout_of_format, published_formats
from utils.bundle_file import SUFFIX, write_bundle_file
from utils.console import info
from utils.errors import RecitalError
from utils.hub import cached_repository, require_upload, upload
from utils.precision import Precision, dtype_of

if TYPE_CHECKING:
    from models.bundle import Bundle

OWN_FORMAT, FILE_FORMAT = "bundle", "recital"


@dataclass(frozen=True)
class Export:
    """An export: its model and its target.

    Attributes:
        path: an experiment, a checkpoint inside one, a bundle, or a checkpoint in a published layout.
        folder: gets the files, created if missing; of a bundle file it may be the file itself.
        precision: of the weights, where the format leaves the choice.
        overwrite: whether files that exist are replaced.
        vocoder: what a bundle of an acoustic model names as its vocoder: the name of a folder in `ckpts/vocoder`, or a
            path as for the model, which is then copied into the bundle; None to keep what it has. A bundle file always
            holds a copy; None for the vocoder that the model would be used with.
        repository: on the Hugging Face Hub that gets the files, too; None for none.
        is_private: whether a repository that has to be created is.
        licence: of the weights, for the model card; None for that of the sources of synthesized speech.
        int8: whether the weights of graphs are stored as 8-bit integers.
    """

    path: str
    folder: Path
    precision: Precision = "fp32"
    overwrite: bool = False
    vocoder: str | None = None
    repository: str | None = None
    is_private: bool = False
    licence: str | None = None
    int8: bool = False


Writer = Callable[["Bundle", Export], Sequence[str]]
"""Writes a bundle in a format and returns the names of the files."""


def writers() -> dict[str, Writer]:
    """Return the writer of each format by its name."""
    published = {name: partial(_write_published, name) for name in published_formats()}
    return {OWN_FORMAT: _write_bundle, FILE_FORMAT: _write_file, **published}


def export(request: Export, write: Writer) -> None:
    """Write a trained model in the format of a writer.

    Raises:
        BundleError: there is no such model, or files exist already.
        HubError: the upload is refused, before anything is written where a token is missing.
        RecitalError: the format is for another model.
    """
    from models.bundles.locate import find_bundle

    if request.repository is not None:
        require_upload(request.repository)
    bundle = find_bundle(request.path)
    names = write(bundle, request)
    info(f"wrote {', '.join(names)} to {_place(request)}")
    if request.repository is not None:
        info(f"uploaded to {_upload(bundle, names, request, request.repository)}")
    for source in bundle.sources:
        info(f"trained on speech of {source}: keep to this licence, and name it, where you pass the model on")


def _upload(bundle: Bundle, names: Sequence[str], request: Export, repository: str) -> str:
    from models.bundles.model_card import add_card

    names = [*names, add_card(bundle, repository, _place(request), request.licence)]
    message = f"Upload {bundle.settings.model_type}"
    return upload(_place(request), names, repository, is_private=request.is_private, message=message)


def _write_bundle(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.bundle import SETTINGS_FILE, WEIGHTS_FILE, BundleError
    from models.registry import open_network

    open_network(bundle)  # weights that do not fit would be of no use to others
    folder = request.folder
    there = [name for name in (WEIGHTS_FILE, SETTINGS_FILE) if (folder / name).exists()]
    if there and not request.overwrite:
        raise BundleError(f"{folder}: has {' and '.join(there)} already; --overwrite replaces, or name another folder")
    name, path = _vocoder_of(bundle, request.vocoder)
    _save(bundle, folder, request.precision, name, path)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _save(bundle: Bundle, folder: Path, precision: Precision, vocoder_name: str, vocoder: Path | None) -> None:
    """Write a bundle for others, with the name of its vocoder, or a copy of it."""
    from models.bundle import VOCODER_FOLDER
    from models.bundles.sharing import for_others
    from models.bundles.vocoder import find_vocoder

    replace(for_others(bundle, dtype_of(precision)), vocoder_name=vocoder_name).save(folder)
    if vocoder is not None:
        for_others(find_vocoder(vocoder), dtype_of(precision)).save(folder / VOCODER_FOLDER)


def _place(request: Export) -> Path:
    return request.folder.parent if request.folder.suffix == SUFFIX else request.folder


def _write_file(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.bundle import BundleError
    from models.registry import open_network

    open_network(bundle)
    target = _place(request) / (
        request.folder.name if request.folder.suffix == SUFFIX else f"{name_of(bundle)}{SUFFIX}"
    )
    if target.is_dir() or (target.exists() and not request.overwrite):
        raise BundleError(f"{target}: is there already; --overwrite replaces a file, or name another place")
    with TemporaryDirectory(prefix="recital-") as folder:
        _save(bundle, Path(folder), request.precision, "", vocoder_to_copy(bundle, request.vocoder))
        write_bundle_file(target, Path(folder))
    return [target.name]


def name_of(bundle: Bundle) -> str:
    """Return a name for a file made of a bundle: that of the experiment, bundle, file or repository it came from."""
    if repository := cached_repository(bundle.folder):
        return Path(repository).name
    folder = bundle.folder.resolve()
    is_of_experiment = folder.name == "bundle" and folder.parent.name
    return folder.parent.name if is_of_experiment else folder.stem if folder.is_file() else folder.name


def vocoder_to_copy(bundle: Bundle, vocoder_dir: str | None) -> Path | None:
    """Return the vocoder to copy beside an acoustic model; None for a vocoder's own, and where only Griffin-Lim fits.

    Raises:
        BundleError: there is no such vocoder, or the bundle needs none.
        VocoderError: it was trained on other mels.
    """
    from models.bundle import BundleError
    from models.bundles.vocoder import VocoderError, find_vocoder
    from models.registry import kind_of

    name, path = _vocoder_of(bundle, vocoder_dir)
    if name or path is not None or kind_of(bundle.settings.model_type) != "acoustic":
        return VOCODERS / name if name else path
    try:
        find_vocoder(SHIPPED_VOCODER, expect=bundle.settings.preprocess)
    except (VocoderError, BundleError):
        info("no shipped vocoder fits this model: it goes without one; --vocoder_dir takes one")
        return None
    return SHIPPED_VOCODER


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
