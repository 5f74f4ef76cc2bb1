"""Ctrl-C and SIGTERM as a request to come to a good end."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_PASSED_ON_WITHIN_S = 2.0


class StopRequest:
    """Within the block, SIGINT and SIGTERM are noted instead of ending the program; a second SIGINT ends it.

    After the block they do what they did before, but for the echo of a noted signal: a launcher passes on what has
    reached us already, and that must not end a program whose work is done while it says so.

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
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if not self.signal_number:
            self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process_id:
            # Forked workers inherit this handler. Ctrl-C reaches them too, but ending them is their parent's matter.
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self.signal_number:
            # A person's second Ctrl-C comes later than a launcher's echo of the first.
            if time.monotonic() - self._noted_at <= _PASSED_ON_WITHIN_S:
                return
            if self._is_over:
                self._restore()
                os.kill(os.getpid(), number)
            elif number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal_number, self._noted_at = number, time.monotonic()
        # Straight to the descriptor: a handler may interrupt a print.
        os.write(2, b"stopping after this step; Ctrl-C once more stops at once\n")

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous.clear()
