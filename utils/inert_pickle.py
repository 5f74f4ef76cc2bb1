"""Tensors of modules that `torch.save` pickled whole, read without importing or calling anything that a pickle names.

Every class and function that a pickle names becomes an inert record of the arguments and the state that it is given;
tensors are then built from storages alone. Both of torch's formats are read: the zip archive, and the one before torch
1.6, five pickles in a row and the storages after them.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from utils.torch_file import TorchFileError, is_archive

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
}
_PARTS = ("_parameters", "_buffers")


class Record:
    """A stand-in for whatever a pickle names: it holds what it is given and does nothing.

    Attributes:
        name: the last part of what the pickle names.
        arguments: of its construction or call.
        state: what the pickle would set its attributes to.
        entries: what the pickle would put into it by key.
    """

    name = ""

    def __new__(cls, *arguments: Any, **_: Any) -> Record:
        record = super().__new__(cls)
        record.arguments, record.state, record.entries = arguments, None, {}
        return record

    arguments: tuple[Any, ...]
    state: Any
    entries: dict[Any, Any]

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, value: Any) -> None:
        """Ignore a value of a list."""

    def extend(self, values: Any) -> None:
        """Ignore values of a list."""

    def add(self, value: Any) -> None:
        """Ignore a value of a set."""


class Storage(NamedTuple):
    """A storage that a pickle refers to."""

    dtype: torch.dtype
    key: str


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Record]:
        return type("Record", (Record,), {"name": name})

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == "module":
            return rest[0]
        storage_type, key, _, _, *view = rest
        if kind != "storage" or any(view):
            raise pickle.UnpicklingError(f"holds a {kind}")
        return Storage(_DTYPES[storage_type.name], str(key))


def read_modules(path: Path) -> dict[str, Any]:
    """Return what a file holds at its top, modules as dictionaries of their tensors by name.

    Raises:
        TorchFileError: it is damaged, or holds no dictionary.
    """
    try:
        found, storages = _of_archive(path) if is_archive(path) else _of_stream(path)
        content = _entries(found)
        return {str(key): _plain(value, storages) for key, value in content.items()}
    except TorchFileError:
        raise
    except FileNotFoundError:
        raise TorchFileError(f"{path}: there is no such file") from None
    except Exception as error:  # a damaged file raises anything
        raise TorchFileError(f"{path}: is not a torch file, or is damaged ({type(error).__name__})") from error


def read_top(path: Path) -> dict[str, Any]:
    """Return what a file holds at its top, without reading any tensor; nothing if it is damaged or no dictionary."""
    try:
        if is_archive(path):
            with zipfile.ZipFile(path) as archive:
                found, _ = _pickled_in(archive)
        else:
            with path.open("rb") as stream:
                *_, found, _ = (_load(stream) for _ in range(5))
        return {str(key): value for key, value in _entries(found).items()}
    except Exception:  # a damaged file raises anything
        return {}


Storages = Callable[[Storage], bytes]


def _pickled_in(archive: zipfile.ZipFile) -> tuple[Any, str]:
    """Return the object in an archive, and the folder of its storages."""
    [pickled] = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    with archive.open(pickled) as file:
        return _InertUnpickler(file).load(), pickled.removesuffix("data.pkl")


def _of_archive(path: Path) -> tuple[Any, Storages]:
    with zipfile.ZipFile(path) as archive:
        found, folder = _pickled_in(archive)
        prefix = f"{folder}data/"
        held = {name.removeprefix(prefix): archive.read(name) for name in archive.namelist() if name.startswith(prefix)}
    return found, lambda storage: held[storage.key]


def _of_stream(path: Path) -> tuple[Any, Storages]:
    with path.open("rb") as file:
        magic_number, _, _, found, keys = (_load(file) for _ in range(5))
        if magic_number != _MAGIC_NUMBER:
            raise pickle.UnpicklingError("not a torch file")
        dtypes = _dtypes(found)
        held = {}
        for key in keys:
            (count,) = struct.unpack("<q", file.read(8))
            n_bytes = count * dtypes[str(key)].itemsize
            held[str(key)] = file.read(n_bytes)
            if len(held[str(key)]) != n_bytes:
                raise EOFError
    return found, lambda storage: held[storage.key]


def _load(file: IO[bytes]) -> Any:
    return _InertUnpickler(file).load()


def _dtypes(found: Any) -> dict[str, torch.dtype]:
    return {storage.key: storage.dtype for storage in _storages(found, set())}


def _storages(found: Any, seen: set[int]) -> Iterator[Storage]:
    if id(found) in seen:
        return
    seen.add(id(found))
    if isinstance(found, Storage):
        yield found
    elif isinstance(found, Record):
        for part in (found.arguments, found.state, found.entries):
            yield from _storages(part, seen)
    elif isinstance(found, Mapping):
        for part in found.values():
            yield from _storages(part, seen)
    elif isinstance(found, tuple | list):
        for part in found:
            yield from _storages(part, seen)


def _entries(found: Any) -> Mapping[Any, Any]:
    """Return the entries of a dictionary, plain or ordered."""
    if isinstance(found, Record):
        return found.entries
    if not isinstance(found, Mapping):
        raise pickle.UnpicklingError("not a dictionary")
    return found


def _plain(value: Any, storages: Storages) -> Any:
    if isinstance(value, Record) and isinstance(value.state, Mapping) and "_modules" in value.state:
        return dict(_tensors(value, storages, ""))
    return value


def _tensors(module: Record, storages: Storages, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a pickled module by their names, as its `state_dict` would hold them."""
    for part in _PARTS:
        for name, value in _entries(module.state[part]).items():
            if value is not None:
                yield f"{prefix}{name}", _tensor(value, storages)
    for name, child in _entries(module.state["_modules"]).items():
        if child is not None:
            yield from _tensors(child, storages, f"{prefix}{name}.")


def _tensor(record: Record, storages: Storages) -> Tensor:
    while record.name == "_rebuild_parameter":
        record = record.arguments[0]
    if record.name != "_rebuild_tensor_v2":
        raise pickle.UnpicklingError(f"holds a {record.name} in place of a tensor")
    storage, offset, size, stride = record.arguments[:4]
    flat = torch.frombuffer(bytearray(storages(storage)), dtype=storage.dtype)
    return flat.as_strided(size, stride, offset).clone()  # refuses what lies beyond the storage
