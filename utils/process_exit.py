"""How a program ends."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the program with an exit code.

    One of several processes that trained together ends at once, without taking its libraries apart: a thread of gloo
    that still runs would abort it on the way, with its work done. On its way out no program is killed by Ctrl-C any
    more, which would change the exit code of what is done.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
