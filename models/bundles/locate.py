"""Opening of bundles: by folder, or by whatever a user may point at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from models.bundle import SETTINGS_FILE, WEIGHTS_FILE, Bundle, BundleError
from models.bundles.bundle_files import open_without_weights
from models.bundles.formats import describe_published
from models.bundles.hub import local_path
from models.bundles.layouts import find_foreign
from processors.speakers.sources import Source, sources_of
from utils.bundle_file import bundle_file_of, read_bytes
from utils.checkpoint import CheckpointFolder, average_name
from utils.suggestions import near_path


def open_bundle(folder: Path | str) -> Bundle:
    """Read a bundle.

    Args:
        folder: the bundle, or a bundle file.

    Raises:
        BundleFileError: a bundle file is damaged.
        BundleError: the folder is no bundle, a file in it is damaged, or a later Recital wrote it whose bundles
            this one cannot read.
    """
    folder = Path(folder)
    return replace(open_without_weights(folder), weights=_read_weights(folder / WEIGHTS_FILE))


def find_bundle(path: Path | str) -> Bundle:
    """Open what a user may point at: a bundle, an experiment, its checkpoints or one of them, or a foreign model.

    A checkpoint brings its weights; settings, symbols and statistics come from its experiment's bundle. Of the folder
    of checkpoints, the newest counts. Each may be named by its folder or by a file in it, or be on the Hugging Face Hub
    (`hf://owner/name`).

    Raises:
        BundleError: there is nothing of the kind there, or a model that is not read; says what it is.
        HubError: it cannot be downloaded.
    """
    path = place_of(path)
    if bundle_file_of(path) is not None:
        return open_bundle(path)
    if (path / WEIGHTS_FILE).is_file() and (path / SETTINGS_FILE).is_file():
        return open_bundle(path)
    if (path / "bundle").is_dir():
        return open_bundle(path / "bundle")
    if _is_checkpoint(path):
        return _checkpoint_as_bundle(path)
    if (path.parent / "bundle").is_dir() and (checkpoints := CheckpointFolder(path).folders()):
        return _checkpoint_as_bundle(checkpoints[-1])
    if (found := find_foreign(path)) is not None:
        return found.reader().open_published(found.evidence.file)
    if path.is_file():
        raise BundleError(
            f"{path}: is a file of a kind that is not read; read are folders of experiments and bundles, and "
            f"{describe_published()}"
        )
    if not path.is_dir():
        raise BundleError(
            f"{path}: there is no such folder; name an experiment, one of its checkpoints, or a bundle{near_path(path)}"
        )
    raise BundleError(
        f"{path}: neither an experiment with a bundle/, nor a checkpoint, nor a bundle "
        f"({SETTINGS_FILE} and {WEIGHTS_FILE}); an experiment gets its bundle at the first checkpoint of stage 2"
    )


def place_of(path: Path | str) -> Path:
    """Return the folder of a checkpoint or bundle for a file in it, `checkpoint` for `checkpoints`, a copy for `hf://`."""
    path = local_path(path)
    if bundle_file_of(path) is not None:
        return path
    if path.name == "checkpoints" and not path.exists() and path.with_name("checkpoint").is_dir():
        return path.with_name("checkpoint")
    files = [path.parent / name for name in (WEIGHTS_FILE, SETTINGS_FILE)]
    is_of_bundle = path in files and all(file.is_file() for file in files)
    return path.parent if path.is_file() and (is_of_bundle or _is_checkpoint(path.parent)) else path


def _is_checkpoint(path: Path) -> bool:
    """Return whether a folder is one step's of an experiment."""
    return (path.parent.parent / "bundle").is_dir() and any(path.glob("*.safetensors"))


def find_sources(path: Path) -> tuple[Source, ...]:
    """Return the sources of synthesized speech of what `find_bundle` opens, without reading weights."""
    return sources_of([path, path / "bundle", path.parent.parent / "bundle"])


def _checkpoint_as_bundle(checkpoint: Path) -> Bundle:
    """Return an experiment's bundle with a checkpoint's weights, averaged ones if there are any.

    A checkpoint may hold more networks than the bundle.
    """
    bundle = open_bundle(checkpoint.parent.parent / "bundle")
    averaged_first = sorted(
        checkpoint.glob("*.safetensors"), key=lambda path: (not path.stem.endswith(average_name("")), path)
    )
    for path in averaged_first:
        weights = _read_weights(path)
        if weights.keys() == bundle.weights.keys():
            return replace(bundle, weights=weights)
    raise BundleError(f"{checkpoint}: holds no network with the parameters of {bundle.folder}")


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if bundle_file_of(path) is not None:
            weights_in_file = load(read_bytes(path))
            return {name: weights_in_file[name] for name in sorted(weights_in_file)}
        with safe_open(path, framework="pt") as weights:
            return {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError:
        raise BundleError(f"{path}: there are no weights there") from None
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: the weights are damaged: {error}") from error
