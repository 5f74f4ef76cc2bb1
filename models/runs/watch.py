"""Watching a training: its page as a file that is written again and again, or served on this machine."""

from __future__ import annotations

import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from models.runs.training_page import PageOptions, training_page
from models.runs.training_record import LOGBOOK_FILE, TrainingRecord, experiment_folder, read_record
from models.runs.watched_samples import SampleReader
from utils.console import info
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.sample_folder import SampleFolder

_HOST = "127.0.0.1"


class WatchError(RecitalError):
    """A page that cannot be served."""


class Watch:
    """The page of an experiment, made again when its files have changed; thread-safe.

    Args:
        path: of the experiment, or of a checkpoint or bundle in it.
        options: of the page.

    Raises:
        NoExperimentError: there is no experiment.
    """

    def __init__(self, path: Path, options: PageOptions) -> None:
        self.folder, self._options = experiment_folder(path), options
        self._samples = SampleReader(self.folder)
        self._lock = threading.Lock()
        self._page, self._version, self._is_over = "", "", False

    def version(self) -> str:
        """Return a name for what the page would show now."""
        return self._version_of(read_record(self.folder))

    def page(self) -> tuple[str, bool]:
        """Return the page as it is now, and whether the training has finished."""
        with self._lock:
            record = read_record(self.folder)
            version = self._version_of(record)
            if version != self._version or not self._page:
                self._page = training_page(record, self._samples.read(), self._options, version)
                self._version, self._is_over = version, record.state == "finished"
            return self._page, self._is_over

    def _version_of(self, record: TrainingRecord) -> str:
        steps = SampleFolder(self.folder).steps()
        boards = sorted((self.folder / "tensorboard").glob("events*"))
        shown = (record.state, _size(self.folder / LOGBOOK_FILE), steps, [*map(_size, boards)])
        return f"{zlib.crc32(repr(shown).encode()):x}"


def write_page(watch: Watch, output: Path, every_s: float) -> None:
    """Write the page to a file, and again every so many seconds until the training has finished; once with 0."""
    written = None
    while True:
        page, is_over = watch.page()
        if page != written:
            write_atomically(output, page)
            if written is None:
                info(f"wrote {output}: open it in a browser" + (f"; again every {every_s:g} s" if every_s else ""))
            written = page
        if is_over and every_s:
            info(f"the training has finished; {output} shows its end")
        if is_over or not every_s:
            return
        time.sleep(every_s)


def serve_page(watch: Watch, port: int) -> None:
    """Serve the page on this machine alone, until interrupted.

    Args:
        watch: makes the page.
        port: 0 for any that is free.

    Raises:
        WatchError: the port is in use.
    """
    try:
        server = ThreadingHTTPServer((_HOST, port), handler(watch))
    except (OSError, OverflowError) as error:
        raise WatchError(f"--port {port}: cannot be used ({error}); choose another, or 0 for any") from error
    server.daemon_threads = True
    with server:
        info(f"watching {watch.folder} at http://{_HOST}:{server.server_port}/ (Ctrl-C ends)")
        server.serve_forever()


def handler(watch: Watch) -> type[BaseHTTPRequestHandler]:
    """Return the handler of requests for the page and its version."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path not in ("/", "/version"):
                return self.send_error(404)
            try:
                content = watch.page()[0] if path == "/" else watch.version()
            except (RecitalError, OSError) as error:  # the folder was moved, say
                return self.send_error(503, explain=str(error))
            body = content.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"text/{'html' if path == '/' else 'plain'}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass  # a line per look would bury all others

    return Handler


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
