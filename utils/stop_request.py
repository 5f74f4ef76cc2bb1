"""Graceful shutdown on Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

_ECHO_WITHIN_S = 2.0


class StopRequest:
    """Record SIGINT and SIGTERM within the block instead of ending the program; a second SIGINT ends it.

    After the block the previous handlers act again, but not on the echo of a recorded signal: a launcher forwards a
    signal that this process has received already, which must not end it while it finishes.

    Attributes:
        signal_number: what was received, or 0.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._noted_at = 0.0
        self._is_over = False
        self._process_id = os.getpid()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # elsewhere handlers cannot be set
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if not self.signal_number:
            self._restore()

    def _record(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process_id:
            # Forked workers inherit this handler. Ctrl-C reaches them too, but their parent ends them.
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self.signal_number:
            # A second Ctrl-C comes later than a launcher's echo of the first.
            if time.monotonic() - self._noted_at <= _ECHO_WITHIN_S:
                return
            if self._is_over:
                self._restore()
                os.kill(os.getpid(), number)
            elif number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal_number, self._noted_at = number, time.monotonic()
        # Written to the descriptor: the handler may interrupt a print.
        os.write(2, b"stopping after this step; press Ctrl-C again to stop at once\n")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous.clear()
