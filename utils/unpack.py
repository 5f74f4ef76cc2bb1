"""Safe extraction of untrusted archives: nothing is written outside one folder."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from utils.console import Progress, warn
from utils.errors import RecitalError

_MB = 1_000_000
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_ENCRYPTED = 0x1


class UnpackError(RecitalError):
    """An archive that is damaged or unsafe."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or (compressed) tar archive into a folder.

    Only files and folders are created, with default permissions. Symbolic links within the folder are omitted; a hard
    link becomes a copy of its target.

    Raises:
        UnpackError: the archive is damaged or of another kind, or holds a path outside the folder, a link to one, or a
            device. What was extracted before it is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder)
        else:
            raise UnpackError(f"{archive}: is neither a zip nor a tar archive; delete it and run this again")
    except (*_DAMAGE, OSError) as error:
        # gzip and bz2 report damage as an OSError that, unlike those of the disk, has no errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnpackError(f"{archive}: is damaged ({error}); delete it and run this again") from error


def _unpack_tar(archive: Path, folder: Path) -> None:
    n_links = 0
    with (
        archive.open("rb") as packed,
        Progress(-(-archive.stat().st_size // _MB), f"unpacking {archive.name}", "MB") as progress,
        tarfile.open(fileobj=packed, mode="r:*") as tar,
    ):
        for member in tar:
            target = folder / _safe(archive, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                content = tar.extractfile(member)
                assert content is not None
                with content:
                    _write(content, target)
            elif member.islnk():
                original = folder / _safe(archive, member.linkname)
                if not original.is_file():
                    raise UnpackError(
                        f"{archive}: {member.name!r} is a link to nothing in it; do not trust this archive"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(original, target)
            elif member.issym():
                _require_inside(archive, member.name, member.linkname)
                n_links += 1
            else:
                raise UnpackError(f"{archive}: {member.name!r} is a device; do not trust this archive")
            progress.advance(packed.tell() // _MB - progress.done)
        # tarfile takes a damaged header for the end of the archive; reading on verifies the checksum of the stream.
        while tar.fileobj is not None and tar.fileobj.read(_MB):
            pass
    _warn_of_links(archive, n_links)


def _unpack_zip(archive: Path, folder: Path) -> None:
    n_links = 0
    with zipfile.ZipFile(archive) as packed:
        total = sum(member.file_size for member in packed.infolist())
        done = 0
        with Progress(-(-total // _MB), f"unpacking {archive.name}", "MB") as progress:
            for member in packed.infolist():
                # The name as stored: zipfile sanitises unsafe names silently.
                target = folder / _safe(archive, member.orig_filename)
                mode = member.external_attr >> 16
                if member.flag_bits & _ENCRYPTED:
                    raise UnpackError(f"{archive}: {member.filename!r} is encrypted")
                if stat.S_ISLNK(mode):
                    _require_inside(archive, member.filename, packed.read(member).decode("utf-8", "replace"))
                    n_links += 1
                elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise UnpackError(f"{archive}: {member.filename!r} is a device; do not trust this archive")
                elif member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    with packed.open(member) as content:
                        _write(content, target)
                done += member.file_size
                progress.advance(done // _MB - progress.done)
    _warn_of_links(archive, n_links)


def _write(content: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, _MB)


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return a member's name as a path within a folder.

    Raises:
        UnpackError: it leads out of the folder.
    """
    path = PurePosixPath(name)
    has_drive = bool(path.parts) and path.parts[0][1:2] == ":"
    if not name or path.is_absolute() or ".." in path.parts or has_drive or "\\" in name or "\0" in name:
        raise UnpackError(f"{archive}: {name!r} leads out of the folder; do not trust this archive")
    return path


def _require_inside(archive: Path, name: str, target: str) -> None:
    """Raise an `UnpackError` if a symbolic link leads out of the folder."""
    depth = len(PurePosixPath(name).parts) - 1
    outside = PurePosixPath(target).is_absolute() or "\\" in target
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        outside = outside or depth < 0
    if outside:
        raise UnpackError(
            f"{archive}: the link {name!r} leads out of the folder to {target!r}; do not trust this archive"
        )


def _warn_of_links(archive: Path, n_links: int) -> None:
    if n_links:
        warn(f"{archive.name}: {n_links} symbolic links in it were left out")
