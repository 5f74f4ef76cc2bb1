"""Requests for speech that share the processor: a bounded queue, and threads that synthesize."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from utils.errors import RecitalError
from utils.memory import return_free_memory

_Piece = TypeVar("_Piece")
_CLOSING = "the server is shutting down"
_MEMORY_RETURNED_AFTER_S = 5.0
"""Seconds between two returns of free memory, each of which takes some hundredths of a second."""


class QueueFullError(RecitalError):
    """A request beyond those that may wait.

    Attributes:
        retry_after_s: seconds until there should be room.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("the server is busy: too many requests wait already; try again later")
        self.retry_after_s = retry_after_s


class TimeLimitError(RecitalError):
    """A request that took too long."""


class ShuttingDownError(RecitalError):
    """A request that came after the server began to end."""


@dataclass(frozen=True)
class QueueState:
    """How many requests wait in a queue, and how many are being spoken."""

    waiting: int
    running: int


class _Job(Generic[_Piece]):
    """A request on its way through a thread; its pieces are received by the event loop that made it."""

    def __init__(self, produce: Callable[[], Iterator[_Piece | None]], ends_at: float) -> None:
        self.produce, self.ends_at = produce, ends_at
        self.is_cancelled = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[_Piece | BaseException | None] = asyncio.Queue()

    def run(self) -> None:
        """Produce the pieces, until all are there, nobody waits for them, or the time is over; in a thread."""
        try:
            for piece in self._until_stopped():
                self._send(piece)
            self._send(None)
        except BaseException as error:  # raised where the request is answered
            self._send(error)

    def _until_stopped(self) -> Iterator[_Piece]:
        self._check()
        for piece in self.produce():
            self._check()
            if piece is not None:
                yield piece

    def _check(self) -> None:
        if self.is_cancelled.is_set():
            raise asyncio.CancelledError
        if time.monotonic() > self.ends_at:
            raise TimeLimitError("the request took longer than the server's time limit; ask for less text at once")

    def _send(self, piece: _Piece | BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError:  # the loop has ended, and with it the receiver
            self.is_cancelled.set()

    async def receive(self) -> _Piece | None:
        """Return the next piece, None after the last; raise what its production raised."""
        piece = await self._pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        return piece


class SpeechQueue:
    """Runs requests in a few threads, in the order of their arrival, and refuses those that find it full.

    A request whose receiver is gone is not begun, or ends with its present piece. What is produced is kept until it is
    received, so that slow receivers hold no thread.

    Args:
        n_threads: how many requests are spoken at the same time.
        most_waiting: how many others may wait.
        time_limit_s: for a request, waiting included.
    """

    def __init__(self, n_threads: int, most_waiting: int, time_limit_s: float) -> None:
        self._executor = ThreadPoolExecutor(n_threads, thread_name_prefix="speech")
        self._n_threads, self._most_waiting, self._time_limit_s = n_threads, most_waiting, time_limit_s
        self._waiting: set[_Job[Any]] = set()
        self._n_running = 0
        # Reentrant: a signal's handler closes the queue in the thread that admits to it, possibly in between.
        self._lock = threading.RLock()
        self._is_closing = False
        self._seconds_per_request = 1.0
        self._memory_returned_at = time.monotonic()

    @property
    def state(self) -> QueueState:
        """The numbers of its requests."""
        with self._lock:
            return QueueState(len(self._waiting), self._n_running)

    async def run(self, produce: Callable[[], Iterator[_Piece | None]]) -> AsyncGenerator[_Piece, None]:
        """Yield what `produce` yields in a thread; leaving the iteration early cancels it.

        Args:
            produce: yields pieces, and None where it may be stopped without one.

        Raises:
            QueueFullError: too many wait already.
            TimeLimitError: it took too long.
            ShuttingDownError: `close` was called.
        """
        job = self._admit(produce)
        try:
            while (piece := await job.receive()) is not None:
                yield piece
        finally:
            self._cancel(job)

    def _cancel(self, job: _Job[_Piece]) -> None:
        """Stop a job; one that still waits leaves its place to others."""
        job.is_cancelled.set()
        with self._lock:
            self._waiting.discard(job)

    def _admit(self, produce: Callable[[], Iterator[_Piece | None]]) -> _Job[_Piece]:
        job = _Job(produce, time.monotonic() + self._time_limit_s)
        with self._lock:
            if self._is_closing:
                raise ShuttingDownError(_CLOSING)
            n_before = len(self._waiting) + self._n_running
            if n_before >= self._n_threads + self._most_waiting:
                raise QueueFullError(max(1, round(n_before * self._seconds_per_request / self._n_threads)))
            self._waiting.add(job)
            try:
                self._executor.submit(self._run, job)
            except RuntimeError:  # closed by a signal since
                self._waiting.discard(job)
                raise ShuttingDownError(_CLOSING) from None
        return job

    def _run(self, job: _Job[_Piece]) -> None:
        begun = time.monotonic()
        with self._lock:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
            self._n_running += 1
        try:
            job.run()
        finally:
            with self._lock:
                self._n_running -= 1
                # A moving average, for the advice to those who find the queue full.
                now = time.monotonic()
                self._seconds_per_request += 0.1 * (now - begun - self._seconds_per_request)
                is_due = now - self._memory_returned_at >= _MEMORY_RETURNED_AFTER_S
                if is_due:
                    self._memory_returned_at = now
            if is_due:
                return_free_memory()

    def close(self) -> None:
        """Refuse what comes from now on; what was admitted is still spoken."""
        with self._lock:
            self._is_closing = True
            self._executor.shutdown(wait=False)
