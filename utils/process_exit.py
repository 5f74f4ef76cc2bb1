"""How a program ends."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the program with an exit code.

    One of several processes that trained together ends at once, without taking its libraries apart: a thread of gloo
    that still runs would abort it on the way, with its work done. On its way out no program is killed by Ctrl-C any
    more, which would change the exit code of what is done; nor does output that can no longer be written change it.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk, or a reader that went away; Python would try again and exit with 120
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        kill_workers()
        os._exit(code)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def kill_workers_at_exit() -> None:
    """Have `kill_workers` called when the program ends, before multiprocessing waits for what it has started."""
    import multiprocessing.util  # noqa: F401 - registers that waiting, and what is registered later comes first

    atexit.unregister(kill_workers)
    atexit.register(kill_workers)


def kill_workers() -> None:
    """Kill the processes that live for this one only.

    Without it a worker that passes over SIGTERM keeps a program from ending: multiprocessing sends each of them one
    and waits for its end.
    """
    workers = [process for process in multiprocessing.active_children() if process.daemon]
    if workers and hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error when a loader's worker dies
    for worker in workers:
        worker.kill()
