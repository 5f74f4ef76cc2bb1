"""Files that `torch.save` wrote, read without running code that a pickle may hold."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from utils.errors import RecitalError

SAFETENSORS = ".safetensors"
_HEAD_BYTES = 200
_NAMES_BYTES = 2**24  # enough for the names in a file without storages
_PICKLE = b"\x80"


class TorchFileError(RecitalError):
    """A torch file that is missing, damaged, holds code, or is no dictionary."""


def read_torch_file(path: Path) -> dict[str, Any]:
    """Read a dictionary of tensors, numbers and strings, or the tensors of a safetensors file.

    Raises:
        TorchFileError: the file is missing, damaged, holds code, or something else than a dictionary.
    """
    if reason := what_else(path):
        raise TorchFileError(f"{path}: {reason}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles, which are refused anyway
            if path.suffix == SAFETENSORS:
                payload = load_file(path)
            else:
                payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TorchFileError(f"{path}: there is no such file") from None
    except pickle.UnpicklingError as error:
        raise TorchFileError(
            f"{path}: refused: holds more than tensors and numbers, or is damaged; it was not loaded, since that could "
            "run any code; ask its author for a file of tensors only"
        ) from error
    except Exception as error:  # a damaged file raises anything
        raise TorchFileError(f"{path}: is not a torch file, or is damaged ({type(error).__name__})") from error
    if not isinstance(payload, dict):
        raise TorchFileError(f"{path}: holds a {type(payload).__name__}, not a dictionary")
    return payload


def names_within(path: Path) -> bytes:
    """Return the part of a torch or safetensors file that names its keys and tensors; empty for other files."""
    try:
        with path.open("rb") as file:
            if path.suffix == SAFETENSORS:
                return file.read(min(int.from_bytes(file.read(8), "little"), _NAMES_BYTES))
            if not is_archive(path):  # as before torch 1.6
                return content if (content := file.read(_NAMES_BYTES)).startswith(_PICKLE) else b""
        with zipfile.ZipFile(path) as archive:
            [pickled] = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            return archive.read(pickled)
    except Exception:  # a damaged file raises anything
        return b""


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive, as far as its end shows."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # damaged at its end
        return False


def what_else(path: Path) -> str:
    """Return what a file is instead of a torch file, and what to do; empty if it may be one."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return ""  # said by what reads it whole
    start = head.lstrip().lower()
    if not head:
        return "is empty; download it again"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; get it with git lfs pull"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not the file; download it again from the address of the file itself"
    if head.startswith(b"PK") and not is_archive(path):
        return "is cut short: its end is missing or damaged; download it again"
    return ""
