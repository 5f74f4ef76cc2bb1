"""The interface of a server of speech over HTTP: OpenAI's calls, and Recital's own."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.serving.page_files import add_page, is_of_page
from models.serving.requests import (
    INVALID,
    MODEL,
    OPENAI_MODELS,
    ArrivalTimeoutError,
    RequestError,
    SpeechBody,
    error_content,
    read_speech_body,
)
from models.serving.service import SpeechService
from models.serving.speech_queue import QueueFullError, ShuttingDownError, TimeLimitError
from models.serving.voices import UnknownVoiceError, VoiceUnavailableError
from processors.audio.audio_stream import ENCODINGS
from utils.console import info
from utils.errors import RecitalError
from utils.machine import resident_bytes
from utils.version import VERSION

_JSON_LINES = "application/x-ndjson"
_MOST_THROWN_AWAY = 2**26
_BYTES_PER_CHARACTER = 12  # of JSON's longest escape


@dataclass(frozen=True)
class AppOptions:
    """How a server answers.

    Attributes:
        max_chars: of a request's text.
        arrival_s: for a request's head to arrive, and again for its body.
        token: that clients must send; None for none.
        allowed_origins: of web pages elsewhere that may call it.
    """

    max_chars: int = 4096
    arrival_s: float = 20.0
    token: str | None = None
    allowed_origins: tuple[str, ...] = ()


class _TooLargeError(RecitalError):
    """A body beyond what a text of the longest length can take."""


_STATUS: Mapping[type[RecitalError], tuple[int, str]] = {
    RequestError: (400, INVALID),
    ArrivalTimeoutError: (408, INVALID),
    _TooLargeError: (413, INVALID),
    UnknownVoiceError: (404, INVALID),
    QueueFullError: (429, "rate_limit_error"),
    VoiceUnavailableError: (503, "server_error"),
    ShuttingDownError: (503, "server_error"),
    TimeLimitError: (504, "server_error"),
}


def make_app(service: SpeechService, options: AppOptions) -> FastAPI:
    """Return the application that answers requests for speech."""
    app = FastAPI(title="Recital", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    if options.allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(options.allowed_origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(_Gate, service=service, token=options.token)
    _add_errors(app)
    _add_speech(app, service, options)
    _add_listings(app, service)
    add_page(app)
    return app


class _Gate:
    """Asks for the token, counts answers, and reports those that break off."""

    def __init__(self, app: ASGIApp, service: SpeechService, token: str | None) -> None:
        self._app, self._service, self._token = app, service, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self._service.metrics.count_request(getattr(route, "path", "other"), message["status"])
            await send(message)

        app = self._app if self._may_pass(Request(scope)) else _problem(401, "the token is missing or wrong", INVALID)
        try:
            await app(scope, receive, send_and_count)
        except RecitalError as error:  # in the middle of an answer, whose connection uvicorn closes then
            info(f"{scope['path'][:80]}: ended before it was complete: {error}")

    def _may_pass(self, request: Request) -> bool:
        if self._token is None or request.url.path == "/health" or is_of_page(request.url.path):
            return True
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(sent.encode(), self._token.encode())


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        what = f"{request.method} {request.url.path[:80]}"
        sentences = {404: f"{what}: there is nothing here", 405: f"{what}: this method is not possible here"}
        return _problem(error.status_code, sentences.get(error.status_code, str(error.detail)), INVALID)

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> Response:
        return _problem(500, "an error of the server; its log has more", "server_error")


def _add_speech(app: FastAPI, service: SpeechService, options: AppOptions) -> None:
    async def answer(request: Request, speak: Callable[[SpeechBody], tuple[AsyncIterator[bytes], str]]) -> Response:
        """Return the answer to a request whose body `speak` turns into pieces, with their media type."""
        try:
            body = read_speech_body(await _read(request, options), options.max_chars)
            return await _answer(request, *speak(body), body)
        except RecitalError as error:
            return _refusal(error)

    def encoded(body: SpeechBody) -> tuple[AsyncIterator[bytes], str]:
        if body.times:
            raise RequestError("times: an answer of sound alone has none; ask /v1/audio/speech/captioned", "times")
        if body.stream_format == "sse":
            return _events(service.speak(body), len(body.input)), "text/event-stream"
        return service.speak(body), ENCODINGS[body.response_format].media_type

    @app.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        return await answer(request, encoded)

    @app.post("/v1/audio/speech/captioned")
    async def captioned(request: Request) -> Response:
        return await answer(request, lambda body: (_lines(service, body), _JSON_LINES))

    @app.post("/v1/audio/speech/details")
    async def details(request: Request) -> Response:
        return await answer(request, lambda body: (service.speak_with_details(body), _JSON_LINES))


def _add_listings(app: FastAPI, service: SpeechService) -> None:
    @app.get("/v1/models")
    async def models() -> Response:
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "recital"} for name in (MODEL, *OPENAI_MODELS)
        ]
        return JSONResponse({"object": "list", "data": listed})

    @app.get("/v1/audio/voices")
    async def voices() -> Response:
        return JSONResponse({"voices": [asdict(each) for each in service.voices.describe()]})

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok", "version": VERSION})

    @app.get("/metrics")
    async def metrics() -> Response:
        state = service.queue.state
        gauges = (
            ("recital_requests_waiting", "Requests that wait for a thread.", state.waiting),
            ("recital_requests_running", "Requests that are being spoken.", state.running),
            ("recital_voices_open", "Voices in memory.", len(service.voices.open_names)),
            ("process_resident_memory_bytes", "Memory of the process; 0 where unknown.", resident_bytes() or 0),
        )
        return PlainTextResponse(service.metrics.describe(gauges), media_type="text/plain; version=0.0.4")


async def _read(request: Request, options: AppOptions) -> bytes:
    """Return a request's body.

    Raises:
        _TooLargeError: it is longer than any text that would be spoken.
        ArrivalTimeoutError: it does not arrive in time.
        RequestError: the client is gone.
    """
    most = options.max_chars * _BYTES_PER_CHARACTER + 65_536
    try:
        return await asyncio.wait_for(_read_at_most(request, most), options.arrival_s)
    except asyncio.TimeoutError:
        raise ArrivalTimeoutError(f"the body did not arrive within {options.arrival_s:g} seconds") from None
    except ClientDisconnect:
        raise RequestError("the client is gone") from None


async def _read_at_most(request: Request, most: int) -> bytes:
    content, n_bytes = bytearray(), 0
    async for piece in request.stream():
        n_bytes += len(piece)
        if n_bytes <= most:
            content += piece
        else:  # thrown away: a client that still sends would not read an answer
            content.clear()
        if n_bytes > _MOST_THROWN_AWAY:
            break
    if n_bytes > most:
        raise _TooLargeError(f"the body has {n_bytes:,} bytes or more; at most {most:,} are taken")
    return bytes(content)


async def _answer(request: Request, pieces: AsyncIterator[bytes], media_type: str, body: SpeechBody) -> Response:
    """Return an answer with pieces of audio; its status is decided by the first of them, or the error in its place."""
    first = await _first_unless_gone(request, pieces)
    headers = {"X-Recital-Notice": "instructions are not followed: this voice has none"} if body.instructions else {}
    if body.is_streamed or not media_type.startswith("audio/"):
        return StreamingResponse(_chained(first, pieces), media_type=media_type, headers=headers)
    await _aclose(pieces)
    return Response(first, media_type=media_type, headers=headers)


async def _first_unless_gone(request: Request, pieces: AsyncIterator[bytes]) -> bytes:
    """Return the first piece; stop its production where the client has hung up."""
    first = asyncio.ensure_future(anext(pieces, b""))
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({first, gone}, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            return first.result()
        raise RequestError("the client is gone")
    finally:
        for task in (first, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, RecitalError):
                    await task


async def _until_gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.2)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await _aclose(rest)


async def _aclose(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


async def _events(pieces: AsyncIterator[bytes], n_characters: int) -> AsyncIterator[bytes]:
    """Yield OpenAI's events of streamed speech."""
    try:
        async for piece in pieces:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
        usage = {"input_tokens": n_characters, "output_tokens": 0, "total_tokens": n_characters}
        yield _event({"type": "speech.audio.done", "usage": usage})
    finally:
        await _aclose(pieces)


def _event(content: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


async def _lines(service: SpeechService, body: SpeechBody) -> AsyncIterator[bytes]:
    """Yield a line of JSON for each sentence: its audio, the times of its words, and others that are asked for."""
    pieces = service.speak_with_words(body)
    try:
        async for piece in pieces:
            words = [
                {"word": each.word, "start_time": round(each.start_s, 6), "end_time": round(each.end_s, 6)}
                for each in piece.times.words
            ]
            line = {
                "audio": base64.b64encode(piece.audio).decode(),
                "audio_format": body.response_format,
                "timestamps": words,
                **piece.times.as_json(*body.times),
            }
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"
    finally:
        await _aclose(pieces)  # type: ignore[arg-type]


def _refusal(error: RecitalError) -> Response:
    status, kind = next((found for of, found in _STATUS.items() if isinstance(error, of)), (500, "server_error"))
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, QueueFullError) else {}
    if isinstance(error, _TooLargeError | ArrivalTimeoutError):
        # What is still on its way is not read, so that the connection cannot be used again.
        headers["Connection"] = "close"
    return _problem(status, str(error), kind, getattr(error, "field", None), headers)


def _problem(
    status: int, message: str, kind: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_content(message, kind, field), status, headers=dict(headers or {}))
