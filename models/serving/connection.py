"""Connections of a server, given up where a request does not arrive."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from models.serving.requests import INVALID, error_content


class Connection(H11Protocol):
    """uvicorn's connection, with a limit on the time that the head of a request may take.

    Half a head is answered with 408; a connection that sends nothing is closed.

    Args:
        head_timeout_s: the limit, from the opening of the connection or the first byte of a later request.
    """

    def __init__(self, *arguments: Any, head_timeout_s: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timeout_s = head_timeout_s
        self._has_begun = False
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._has_begun = self.conn.their_state is h11.IDLE
        if not self._has_begun:
            self._stop_waiting()
        elif self._end is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._end = self.loop.call_later(self._head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _give_up(self) -> None:
        if self._has_begun and not self.transport.is_closing():
            message = f"the head of the request did not arrive within {self._head_timeout_s:g} seconds"
            content = json.dumps(error_content(message, INVALID)).encode()
            head = "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n"
            self.transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()
