"""Bundle files: a folder as one zip archive, whose files are read in place.

A path may lead into one, as in `anna.recital/vocoder/settings.json`. Nothing is ever extracted to disk, and nothing is
compressed, so that no file in it is larger than the archive.
"""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from utils.errors import RecitalError
from utils.files import atomic_file

SUFFIX = ".recital"
WEIGHTS_SUFFIX = ".safetensors"
_MOST_FILES = 1000
_LARGEST_TEXT = 2**26
_IS_ENCRYPTED = 0x1
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of zip's time: the same bundle makes the same file


class BundleFileError(RecitalError):
    """A bundle file that is damaged, or no bundle file at all."""


def bundle_file_of(path: Path) -> Path | None:
    """Return the bundle file that a path names or leads into; None for any other path."""
    return next((each for each in (path, *path.parents) if each.suffix.lower() == SUFFIX and each.is_file()), None)


def is_file(path: Path) -> bool:
    """Return whether a path leads to a file, on disk or in a bundle file."""
    if (file := bundle_file_of(path)) is None or file == path:
        return path.is_file()
    with _opened(file) as (_, entries):
        return path.relative_to(file).as_posix() in entries


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder, on disk or in a bundle file, which is one itself."""
    if (file := bundle_file_of(path)) is None or file == path:
        return path.is_dir() or file is not None
    with _opened(file) as (_, entries):
        return any(name.startswith(f"{path.relative_to(file).as_posix()}/") for name in entries)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, on disk or in a bundle file.

    Raises:
        BundleFileError: the bundle file is damaged.
        FileNotFoundError: there is no such file.
    """
    if (file := bundle_file_of(path)) is None or file == path:
        return path.read_bytes()
    with _opened(file) as (archive, entries):
        name = path.relative_to(file).as_posix()
        if name not in entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return archive.read(entries[name])


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Return the text of a file, on disk or in a bundle file; see `read_bytes`."""
    return read_bytes(path).decode(encoding)


def require_sound(path: Path) -> None:
    """Raise a `BundleFileError` where a path leads into a bundle file with a damaged file beside its weights.

    Weights are checked as they are read.
    """
    if (file := bundle_file_of(path)) is None:
        return
    with _opened(file) as (archive, entries):
        for name, entry in entries.items():
            if not name.endswith(WEIGHTS_SUFFIX):
                archive.read(entry)


def write_bundle_file(path: Path, folder: Path) -> None:
    """Write the files of a folder, at any depth, as a bundle file, which appears whole."""
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                entry = zipfile.ZipInfo(each.relative_to(folder).as_posix(), _BEGINNING)
                entry.file_size = each.stat().st_size  # for those beyond 4 GiB
                with each.open("rb") as source, archive.open(entry, "w") as target:
                    while block := source.read(2**20):
                        target.write(block)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Mapping[str, zipfile.ZipInfo]]]:
    """Open a bundle file; yield the archive and its files by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, _files_of(archive, path)
    except (RecitalError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a damaged archive raises anything
        raise BundleFileError(f"{path}: is damaged, or no bundle file: {error}; copy or export it again") from error


def _files_of(archive: zipfile.ZipFile, path: Path) -> Mapping[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > _MOST_FILES:
        raise BundleFileError(f"{path}: is no bundle file: it holds {len(entries)} files")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise BundleFileError(
            f"{path}: is refused: its files are compressed, or claim to be larger than it is; export it again"
        )
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        if reason := _fault(entry, files):
            raise BundleFileError(f"{path}: is refused: {entry.filename[:80]!r} {reason}; export it again")
        if not entry.is_dir():
            files[entry.filename] = entry
    return files


def _fault(entry: zipfile.ZipInfo, before: Mapping[str, zipfile.ZipInfo]) -> str:
    name = entry.filename
    if name != entry.orig_filename or "\\" in name or ":" in name or name.startswith("/"):
        return "is not the name of a file within it"
    if not name or ".." in PurePosixPath(name).parts or str(PurePosixPath(name)) != name.removesuffix("/"):
        return "is not the name of a file within it"
    if name in before:
        return "is in it twice"
    if entry.flag_bits & _IS_ENCRYPTED:
        return "is encrypted"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "is compressed"
    if entry.file_size > _LARGEST_TEXT and not name.endswith(WEIGHTS_SUFFIX):
        return "is too large"
    return ""
