"""A local web server with configurable faults."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

from tests.support.local_server import LocalServer


class FileServer(LocalServer):
    """Serves files by name.

    Attributes:
        files: content by name.
        drops_after: breaks every connection after so many bytes of content; 0 for never.
        knows_ranges: whether it sends only what was asked for.
        tag: the version it names.
        failures: answers to give before serving anything.
        asked: the ranges asked for, empty for whole files.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.drops_after = 0
        self.knows_ranges = True
        self.tag = '"1"'
        self.failures: list[int] = []
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(Handler)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.headers.get("Range", ""))
        content = self.files.get(request.path.lstrip("/"))
        if self.failures:
            return request.send_error(self.failures.pop(0))
        if content is None:
            return request.send_error(404)
        start = 0
        if self.knows_ranges and request.headers.get("If-Range") == self.tag:
            start = int(self.asked[-1].removeprefix("bytes=").removesuffix("-"))
        if start >= len(content) and start:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            return request.end_headers()
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("ETag", self.tag)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        sent = content[start:]
        request.wfile.write(sent[: self.drops_after] if self.drops_after else sent)
        request.wfile.flush()
        request.close_connection = True
