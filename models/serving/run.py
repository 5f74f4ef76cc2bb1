"""A server of speech as a process: from its options to its end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
import uvicorn
from fastapi import FastAPI

from models.serving.app import AppOptions, make_app
from models.serving.connection import Connection
from models.serving.metrics import Metrics
from models.serving.service import SpeechService
from models.serving.shared_synthesizer import SharedSynthesizer
from models.serving.speech_queue import SpeechQueue
from models.serving.voices import Voices
from utils.console import info
from utils.errors import RecitalError
from utils.precision import Precision

_UNREAD_TIMEOUT_S = 30.0
"""A connection ends whose client has neither read nor acknowledged anything for so long."""


@dataclass(frozen=True)
class ServerOptions:
    """The options of a server.

    Attributes:
        voices: places by name, the first the default.
        aliases: further names of voices.
        app: how it answers.
        host, port: where it listens; port 0 for any free one.
        n_threads: requests spoken at the same time.
        max_waiting: others that may wait.
        time_limit_s: for a request, waiting included.
        shutdown_s: for those still running at the end.
        max_voices: in memory.
        device, precision: see `Synthesizer.open`.
    """

    voices: Mapping[str, Path]
    aliases: Mapping[str, str] = field(default_factory=dict)
    app: AppOptions = field(default_factory=AppOptions)
    host: str = "127.0.0.1"
    port: int = 8880
    n_threads: int = 4
    max_waiting: int = 64
    time_limit_s: float = 60.0
    shutdown_s: float = 30.0
    max_voices: int = 4
    device: str = "cpu"
    precision: Precision | None = None


def serve(options: ServerOptions) -> None:
    """Answer requests until a signal comes; then finish what is running, and return.

    Raises:
        RecitalError: the address cannot be used, or the default voice cannot be opened.
    """
    # Several requests at once use the processor better than several threads of one operator.
    torch.set_num_threads(1)

    open_voice = partial(SharedSynthesizer.open, device=options.device, precision=options.precision)
    voices = Voices(options.voices, options.aliases, open_voice, options.max_voices)
    listener = listen(options.host, options.port)
    try:
        # The first request should not be the slow one, and a mistake should show at once.
        for _ in voices.open(voices.default).stream("Ready.", speaker=None):
            pass
        queue = SpeechQueue(options.n_threads, options.max_waiting, options.time_limit_s)
        app = make_app(SpeechService(voices, queue, Metrics()), options.app)
        info(f"serving {', '.join(voices.names)} on http://{options.host}:{listener.getsockname()[1]}")
        ServerProcess(app, queue, options.shutdown_s, options.app.arrival_s).run(sockets=[listener])
        info("stopped")
    finally:
        listener.close()


class ServerProcess(uvicorn.Server):
    """uvicorn's server, which ends by a signal with exit code 0.

    Args:
        app: answers the requests.
        queue: closed by the signal.
        shutdown_s: for those still running then.
        arrival_s: for the head of a request to arrive.
    """

    def __init__(self, app: FastAPI, queue: SpeechQueue, shutdown_s: float, arrival_s: float) -> None:
        config = uvicorn.Config(
            app,
            http=cast(Any, partial(Connection, head_timeout_s=arrival_s)),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=round(shutdown_s),
        )
        super().__init__(config)
        self._queue = queue

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            info("stopping: what is running is finished")
        self._queue.close()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 for any free one.

    Raises:
        RecitalError: it cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux; its connections take it over
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * _UNREAD_TIMEOUT_S))
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise RecitalError(
            f"{host}:{port}: cannot listen there: {reason}; --port chooses another, 0 any free one"
        ) from None
    return listener
