"""Downloads of large files, resumed after interruptions and verified by checksum."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.console import Progress, info, warn
from utils.errors import RecitalError
from utils.files import write_atomically

_CHUNK = 1 << 20
_MB = 1_000_000
_CONNECT_S = 8.0
_NETWORK_ERRORS = (
    urllib.error.URLError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    http.client.HTTPException,
)
# Transient: the server may only be busy.
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(RecitalError):
    """A file that could not be downloaded, or is not the published one."""


class _InterruptedError(Exception):
    """An interrupted attempt that another can continue."""


def download(
    url: str,
    path: Path,
    *,
    checksum: str = "",
    room_factor: float = 0.0,
    attempts: int = 5,
    pause_s: float = 2.0,
    timeout_s: float = 60.0,
) -> str:
    """Download a file, or the rest of it; an existing file with the right checksum is kept.

    Until it is complete and verified it is `<name>.part` beside `path`, so that a kill loses nothing. If the server has
    changed the file meanwhile, or supports no ranges, the download restarts.

    Args:
        url: http or https.
        path: destination.
        checksum: as published, `md5:...` or `sha256:...`; empty if none is.
        room_factor: free disk space required besides the file, in sizes of the file.
        attempts: how often in a row the connection may break without progress.
        pause_s: pause after the first of them, doubled after each further one.
        timeout_s: how long the server may send nothing.

    Returns:
        The file's own `sha256:...`.

    Raises:
        DownloadError: the server does not have it or cannot be reached, the disk is too small, or the checksum differs.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url}: is not an http or https address")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        found = _digests(path, checksum)
        if not checksum or checksum in found:
            return found[-1]
        warn(f"{path}: is not the published file; downloading it again")
        path.unlink()
    part = _Part(url, path)
    fruitless = 0
    while True:
        before = part.size
        try:
            _attempt(part, room_factor, timeout_s)
            break
        except _InterruptedError as error:
            fruitless = 0 if part.size > before else fruitless + 1
            what = f"{url}: interrupted after {_shown_size(part.size)} ({error})"
            if fruitless >= attempts:
                raise DownloadError(f"{what}; run the same command again to continue") from error
            warn(f"{what}; trying again")
            time.sleep(pause_s * 2 ** max(fruitless - 1, 0))
    found = _digests(part.path, checksum)
    if checksum and checksum not in found:
        part.remove()
        raise DownloadError(
            f"{url}: is not the published file: its checksum is {found[0]}, not {checksum}; it was deleted. "
            "Run the same command again; if that does not help, the publisher has changed the file"
        )
    os.replace(part.path, path)
    part.remove()
    return found[-1]


class _Part:
    """The downloaded part of a file, with the server's version tag."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path.with_name(f"{path.name}.part")
        self._mark_path = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def mark(self) -> str:
        """The version's tag (ETag or date); empty if nothing of this address was downloaded."""
        try:
            noted = json.loads(self._mark_path.read_text(encoding="utf-8"))
            return str(noted["mark"]) if noted["url"] == self.url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def note(self, mark: str) -> None:
        write_atomically(self._mark_path, json.dumps({"url": self.url, "mark": mark}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._mark_path.unlink(missing_ok=True)


def _attempt(part: _Part, room_factor: float, timeout_s: float) -> None:
    """Download as much as the connection delivers.

    Raises:
        _InterruptedError: something is missing.
    """
    request = urllib.request.Request(part.url, headers={"User-Agent": "Recital", "Accept-Encoding": "identity"})
    # Without a tag it is unknown whether the rest belongs to the same version.
    if part.size and part.mark:
        request.add_header("Range", f"bytes={part.size}-")
        request.add_header("If-Range", part.mark)
    try:
        if not part.size:
            _require_way(part.url)
        with contextlib.closing(_opened(request, timeout_s)) as response:
            start, total = _span(response, part)
            _require_room(part, start, total, room_factor)
            _receive(response, part, start, total)
    except urllib.error.HTTPError as error:
        _raise_or_accept(error, part)
    except _NETWORK_ERRORS as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise DownloadError(f"{part.url}: {error.reason}; is the clock of this machine right?") from error  # type: ignore[union-attr]
        reason = str(getattr(error, "reason", "")) or str(error) or type(error).__name__
        proxy = _proxy_of(part.url)
        if not part.size and _is_without_network(error, proxy):
            way = f"through the proxy {proxy}: {reason}" if proxy else reason
            raise DownloadError(
                f"{part.url}: no network ({way}); bring the file by hand to {part.path.with_suffix('')}, or name an "
                "address that can be reached with --mirror"
            ) from error
        raise _InterruptedError(reason) from error


def _is_without_network(error: Exception, proxy: str) -> bool:
    """Return whether no server was reached: its name is unknown, no way leads to it, or the proxy fails."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, socket.gaierror) or getattr(cause, "errno", None) in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return True
    # urllib wraps errors on the way to a server, not those of a server that was reached.
    on_the_way = isinstance(error, urllib.error.URLError) and isinstance(cause, OSError)
    return on_the_way and (bool(proxy) or isinstance(cause, TimeoutError))


def _proxy_of(url: str) -> str:
    """Return the host and port of the proxy for a URL, without its user and password; empty for none."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return urllib.request.getproxies().get(parts.scheme, "").rpartition("//")[2].rpartition("@")[2].rstrip("/")


def _require_way(url: str) -> None:
    """Raise a `URLError` where nothing answers within seconds, for which a download would wait much longer."""
    proxy = _proxy_of(url)
    target = urllib.parse.urlsplit(f"//{proxy}" if proxy else url)
    try:
        port = target.port or (443 if target.scheme == "https" else 80)
        socket.create_connection((target.hostname or "", port), _CONNECT_S).close()
    except TimeoutError as error:
        raise urllib.error.URLError(error) from error
    except (OSError, ValueError):
        pass  # reported by the download


def _opened(request: urllib.request.Request, timeout_s: float) -> Any:
    return urllib.request.urlopen(request, timeout=timeout_s)


def _raise_or_accept(error: urllib.error.HTTPError, part: _Part) -> None:
    """Raise an error that can be retried, or one that cannot; accept a 416 that means that the file is complete."""
    if error.code == 416:
        total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if total and int(total.group(1)) == part.size:
            return
        part.remove()
        raise _InterruptedError("the server has another version now; the download restarts") from error
    if error.code in _TRANSIENT_STATUS:
        raise _InterruptedError(f"the server answers {error.code} {error.reason}") from error
    raise DownloadError(
        f"{part.url}: the server answers {error.code} {error.reason}; if the file has moved, download it by hand or "
        "from a mirror"
    ) from error


def _span(response: Any, part: _Part) -> tuple[int, int | None]:
    """Return the offset of the response, and the length of the whole file if known."""
    headers = response.headers
    if response.status == 206:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if sent is None or int(sent.group(1)) != part.size:
            part.remove()
            raise _InterruptedError("the server sent another range than requested")
        return part.size, int(sent.group(2)) if sent.group(2) != "*" else None
    part.remove()
    tag = headers.get("ETag", "")
    part.note(tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", ""))
    length = headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _receive(response: Any, part: _Part, start: int, total: int | None) -> None:
    name = part.path.name.removesuffix(".part")
    with (
        part.path.open("ab" if start else "wb") as file,
        Progress(None if total is None else -(-total // _MB), name, "MB") as progress,
    ):
        at = start
        progress.skip(at // _MB)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            progress.advance((at + len(chunk)) // _MB - at // _MB)
            at += len(chunk)
    if total is not None and at < total:
        raise _InterruptedError(f"of {_shown_size(total)}")
    if total is not None and at > total:
        part.remove()
        raise _InterruptedError("the server sent more than it announced")


def _require_room(part: _Part, start: int, total: int | None, room_factor: float) -> None:
    if total is None:
        return
    needed = total - start + room_factor * total
    free = shutil.disk_usage(part.path.parent).free
    if free < needed:
        raise DownloadError(
            f"{part.path.parent}: {_shown_size(int(needed))} are needed to download and unpack {part.url}, "
            f"{_shown_size(free)} are free; make room, or choose another folder"
        )
    if not start:
        info(f"{part.url}: {_shown_size(total)}")


def _digests(path: Path, like: str) -> list[str]:
    """Return a file's checksum of the same kind as `like`, if any, and its SHA-256."""
    kinds = [kind for kind in (like.partition(":")[0],) if kind and kind != "sha256"] + ["sha256"]
    digests = [hashlib.new(kind, usedforsecurity=False) for kind in kinds]
    with Progress(-(-path.stat().st_size // _MB), f"checking {path.name}", "MB") as progress:
        for chunk in _chunks(path):
            for digest in digests:
                digest.update(chunk)
            progress.advance(len(chunk) // _MB)
    return [f"{kind}:{digest.hexdigest()}" for kind, digest in zip(kinds, digests, strict=True)]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(8 * _MB):
            yield chunk


def _shown_size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
