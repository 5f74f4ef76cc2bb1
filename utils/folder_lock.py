"""One command at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import RecitalError

_LOCK_FILE = ".lock"


class LockedError(RecitalError):
    """Another process is at work in a folder."""


@contextmanager
def only_one_in(folder: Path | str) -> Iterator[None]:
    """Keep a folder, made if missing, to this process until the block ends.

    The system lets go of the lock when a process is gone, however it went. Where there are no such locks (Windows, some
    network file systems) nothing is locked.

    Raises:
        LockedError: another process has it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _LOCK_FILE, "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"{folder}: another command is at work there; wait until it has ended, or choose another folder"
            ) from None
        except (ImportError, OSError):
            pass
        yield
