"""A folder that one process at a time may write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from utils.console import say
from utils.errors import RecitalError

_LOCK = ".lock"


class InUseError(RecitalError):
    """Another process works in the folder."""


@contextmanager
def sole_user(folder: Path | str, *, waits: bool = False, tells: str = "") -> Iterator[None]:
    """Keep other processes out of a folder within the block; a process that dies lets go of it by itself.

    Where the system or the disk knows no locks, nobody is kept out.

    Args:
        folder: made where there is none, and removed again if nothing has been written to it.
        waits: whether to wait for others to leave instead of raising.
        tells: what to say before waiting, if anything.

    Raises:
        InUseError: another process is in such a block, or in one of `joint_user`, with this folder.
    """
    with _locked(folder, alone=True, waits=waits, tells=tells):
        yield


@contextmanager
def joint_user(folder: Path | str, *, waits: bool = False, tells: str = "") -> Iterator[None]:
    """Keep those out of a folder within the block who want to be alone in it; others may join.

    Args:
        folder: made where there is none.
        waits: whether to wait for who is alone in it to leave instead of raising.
        tells: what to say before waiting, if anything.

    Raises:
        InUseError: another process is in a block of `sole_user` with this folder.
    """
    with _locked(folder, alone=False, waits=waits, tells=tells):
        yield


@contextmanager
def _locked(folder: Path | str, *, alone: bool, waits: bool, tells: str) -> Iterator[None]:
    folder = Path(folder)
    with ExitStack() as stack:
        while True:
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = stack.enter_context((folder / _LOCK).open("a+"))
            except FileNotFoundError:  # who made the folder has removed it just now
                continue
            try:
                _lock(file, folder, alone=alone, waits=False)
            except InUseError:
                if not waits:
                    raise
                if tells:
                    say(tells)
                _lock(file, folder, alone=alone, waits=True)
            if os.fstat(file.fileno()).st_nlink:
                break
            stack.pop_all().close()  # who made the folder has removed it while we waited
        try:
            yield
        finally:
            # Whoever fails before writing anything leaves no folder either; of those who share one, none can tell.
            if alone and is_new and [path.name for path in folder.glob("*")] == [_LOCK]:
                with suppress(OSError):
                    (folder / _LOCK).unlink()
                    folder.rmdir()


def _lock(file: IO[str], folder: Path, *, alone: bool, waits: bool) -> None:
    try:
        import fcntl

        # A record lock, because worker processes that outlive a killed parent do not inherit it.
        fcntl.lockf(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if waits else fcntl.LOCK_NB))
    except ImportError:
        pass
    except (BlockingIOError, PermissionError):
        raise InUseError(
            f"{folder}: another run is at work in it; wait until it has ended, or choose another"
        ) from None
    except OSError:
        pass
