"""Exclusive and shared locks on folders, between processes."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from utils.console import info
from utils.errors import RecitalError

_LOCK = ".lock"
# struct flock of 64-bit systems, with the places of the type and of the process among its fields.
_FLOCK = {"linux": ("hhqqi", 0, 4), "darwin": ("qqihh", 3, 2)}


class InUseError(RecitalError):
    """Another process holds a lock on the folder.

    Attributes:
        process: its number; 0 where the system does not state it, as for one of another container.
    """

    def __init__(self, message: str, process: int = 0) -> None:
        super().__init__(message)
        self.process = process


@contextmanager
def sole_user(folder: Path | str, *, waits: bool = False, message: str = "") -> Iterator[None]:
    """Hold an exclusive (writer) lock on a folder; a process that dies releases it.

    Without effect where the system or the file system has no locks.

    Args:
        folder: created if missing, and removed again if nothing was written to it.
        waits: whether to wait for the lock instead of raising.
        message: printed before waiting, if any.

    Raises:
        InUseError: another process holds a lock on this folder.
    """
    with _locked(folder, exclusive=True, waits=waits, message=message):
        yield


@contextmanager
def joint_user(folder: Path | str, *, waits: bool = False, message: str = "") -> Iterator[None]:
    """Hold a shared (reader) lock on a folder.

    Args:
        folder: created if missing.
        waits: whether to wait for the lock instead of raising.
        message: printed before waiting, if any.

    Raises:
        InUseError: another process holds an exclusive lock on this folder.
    """
    with _locked(folder, exclusive=False, waits=waits, message=message):
        yield


def require_free(folder: Path | str) -> None:
    """Raise the `InUseError` that `sole_user` would raise, and create nothing."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), (Path(folder) / _LOCK).open("r+") as file:
        _lock(file, Path(folder), exclusive=True, waits=False)


def is_in_use(folder: Path | str) -> bool:
    """Return whether another process holds a lock on a folder, without taking one; false where that is not stated."""
    try:
        with (Path(folder) / _LOCK).open("rb") as file:
            return _holder(file) != 0
    except OSError:
        return False


@contextmanager
def _locked(folder: Path | str, *, exclusive: bool, waits: bool, message: str) -> Iterator[None]:
    folder = Path(folder)
    with ExitStack() as stack:
        while True:
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = stack.enter_context((folder / _LOCK).open("a+"))
            except FileNotFoundError:  # the process that created the folder has just removed it
                continue
            try:
                _lock(file, folder, exclusive=exclusive, waits=False)
            except InUseError:
                if not waits:
                    raise
                if message:
                    info(message)
                _lock(file, folder, exclusive=exclusive, waits=True)
            if os.fstat(file.fileno()).st_nlink:
                break
            stack.pop_all().close()  # the process that created the folder removed it while we waited
        try:
            yield
        finally:
            # A failure before anything was written leaves no folder. With a shared lock, others may need it.
            if exclusive and is_new and [path.name for path in folder.glob("*")] == [_LOCK]:
                with suppress(OSError):
                    (folder / _LOCK).unlink()
                    folder.rmdir()


def _lock(file: IO[str], folder: Path, *, exclusive: bool, waits: bool) -> None:
    try:
        import fcntl

        # A record lock: worker processes that outlive a killed parent do not inherit it.
        fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if waits else fcntl.LOCK_NB))
    except ImportError:
        pass
    except (BlockingIOError, PermissionError):
        process = _holder(file)
        by = f" (process {process})" if process else ""
        raise InUseError(
            f"{folder}: another run is using this folder{by}; wait until it has ended, or choose another", process
        ) from None
    except OSError:
        pass


def _holder(file: IO[str] | IO[bytes]) -> int:
    """Return the number of the process that holds a lock on a file; 0 if none does, or the system does not state it."""
    if sys.platform not in _FLOCK or struct.calcsize("P") != 8:
        return 0
    import fcntl

    layout, type_at, process_at = _FLOCK[sys.platform]
    fields = [0] * 5
    fields[type_at] = fcntl.F_WRLCK
    try:
        answer = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields)))
    except OSError:
        return 0
    return 0 if answer[type_at] == fcntl.F_UNLCK else max(int(answer[process_at]), 0)
