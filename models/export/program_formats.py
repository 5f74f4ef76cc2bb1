"""Export formats of whole voices: a program of torch.export, and a folder for sherpa-onnx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundles.export import Export, Writer, name_of, vocoder_to_copy
from utils.errors import RecitalError

if TYPE_CHECKING:
    from models.bundle import Bundle

TORCH_EXPORT, SHERPA = "torch_export", "sherpa"


def program_writers() -> dict[str, Writer]:
    """Return the writer of each format by its name."""
    return {TORCH_EXPORT: _write_torch_export, SHERPA: _write_sherpa}


def _write_torch_export(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.export.torch_program import SUFFIX, write_program

    vocoder = _vocoder(bundle, request)
    path = request.folder / f"{name_of(bundle)}{SUFFIX}"
    _require_new(request, path)
    write_program(path, bundle, vocoder)
    return [path.name]


def _write_sherpa(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.export.sherpa_export import sherpa_files, write_sherpa

    files = sherpa_files(bundle)
    vocoder = _vocoder(bundle, request)
    assert vocoder is not None, "an acoustic model"
    _require_new(request, *(request.folder / name for name in files))
    write_sherpa(request.folder, bundle, vocoder)
    return files


def _vocoder(bundle: Bundle, request: Export) -> Bundle | None:
    """Return the vocoder of an acoustic model; None for a vocoder.

    Raises:
        RecitalError: only Griffin-Lim fits the model.
    """
    from models.bundles.vocoder import find_vocoder
    from models.registry import kind_of

    kind = kind_of(bundle.settings.model_type)
    if kind not in ("acoustic", "vocoder"):
        raise RecitalError(f"{request.path}: holds a {bundle.settings.model_type}, which makes no sound")
    path = vocoder_to_copy(bundle, request.vocoder)
    if kind == "vocoder":
        return None
    if path is None:
        raise RecitalError(f"{request.path}: a whole voice needs a vocoder; name one by --vocoder_dir")
    return find_vocoder(path, expect=bundle.settings.preprocess)


def _require_new(request: Export, *paths: Path) -> None:
    there = [path.name for path in paths if path.exists()]
    if there and not request.overwrite:
        raise RecitalError(
            f"{request.folder}: has {' and '.join(there)} already; --overwrite replaces, or name another folder"
        )
