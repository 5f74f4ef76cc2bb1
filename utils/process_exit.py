"""Exit of the program and its worker processes."""

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
    """Exit the program with an exit code.

    In distributed training the process exits at once, without finalising its libraries: a running gloo thread could
    abort it with its work done. Neither Ctrl-C during the exit nor output that can no longer be written changes the
    exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk or a closed pipe; Python would flush again and exit with 120
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        kill_workers()
        os._exit(code)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def kill_workers_at_exit() -> None:
    """Register `kill_workers` to run at exit, before multiprocessing joins its processes."""
    import multiprocessing.util  # noqa: F401 - registers that join; what is registered later runs first

    atexit.unregister(kill_workers)
    atexit.register(kill_workers)


def kill_workers() -> None:
    """Kill the daemon processes of this one.

    Otherwise a worker that ignores SIGTERM blocks the exit: multiprocessing sends it to each of them and joins them.
    """
    workers = [process for process in multiprocessing.active_children() if process.daemon]
    if workers and hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error when a loader's worker dies
    for worker in workers:
        worker.kill()
