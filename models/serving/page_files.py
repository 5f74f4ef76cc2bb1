"""The page that a server of speech shows to people: its files, and what a browser lets it do."""

from __future__ import annotations

import secrets
from pathlib import Path

from fastapi import FastAPI, HTTPException, Response

_FOLDER = Path(__file__).parent / "page"
_PREFIX = "/page/"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_NONCE = b"{{nonce}}"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def is_of_page(path: str) -> bool:
    """Return whether a request's path is the page or one of its files, which hold no secrets."""
    return path == "/" or path.startswith(_PREFIX)


def add_page(app: FastAPI) -> None:
    """Add the page at `/`; nothing but the files of its folder is ever read, once."""
    page = (_FOLDER / "index.html").read_bytes()
    files = {
        path.relative_to(_FOLDER).as_posix(): (path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in _FOLDER.rglob("*")
        if path.suffix in _MEDIA_TYPES
    }

    @app.get("/")
    async def index() -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = _HEADERS | {"Content-Security-Policy": _policy(nonce)}
        return Response(page.replace(_NONCE, nonce.encode()), media_type="text/html", headers=headers)

    @app.get(_PREFIX + "{name:path}")
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        content, media_type = files[name]
        return Response(content, media_type=media_type, headers=_HEADERS)


def _policy(nonce: str) -> str:
    """Return what the page may do: run its own script, and call this server; wavesurfer's styles have the nonce."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
