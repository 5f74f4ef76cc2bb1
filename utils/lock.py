"""A folder that one process at a time may write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import RecitalError


class InUseError(RecitalError):
    """Another process works in the folder."""


@contextmanager
def sole_user(folder: Path | str, *, waits: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder within the block; a process that dies lets go of it by itself.

    Where the system or the disk knows no locks, nobody is kept out.

    Args:
        folder: made where there is none.
        waits: whether to wait for others to leave instead of raising.

    Raises:
        InUseError: another process is in such a block, or in one of `joint_user`, with this folder.
    """
    with _locked(folder, alone=True, waits=waits):
        yield


@contextmanager
def joint_user(folder: Path | str, *, waits: bool = False) -> Iterator[None]:
    """Keep those out of a folder within the block who want to be alone in it; others may join.

    Args:
        folder: made where there is none.
        waits: whether to wait for who is alone in it to leave instead of raising.

    Raises:
        InUseError: another process is in a block of `sole_user` with this folder.
    """
    with _locked(folder, alone=False, waits=waits):
        yield


@contextmanager
def _locked(folder: Path | str, *, alone: bool, waits: bool) -> Iterator[None]:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
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
        yield
