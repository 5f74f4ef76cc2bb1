"""A server that answers as the Hugging Face Hub does, for a few repositories."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.local_server import LocalServer

TOKEN = "hf_of_this_test"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/]+))?(/.*)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_OBJECTS = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")


@dataclass
class Repository:
    """Files by name; what is private needs the token, what is gated is refused."""

    files: dict[str, bytes] = field(default_factory=dict)
    is_private: bool = False
    is_gated: bool = False

    @property
    def commit(self) -> str:
        state = json.dumps({name: hashlib.sha1(content).hexdigest() for name, content in sorted(self.files.items())})
        return hashlib.sha1(state.encode()).hexdigest()


class HubServer(LocalServer):
    """Serves repositories, and takes uploads from those who have `TOKEN`.

    Attributes:
        repositories: by owner and name.
        downloaded: files that were sent, in order.
        failure: status to answer everything with; 0 for none.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.downloaded: list[str] = []
        self.failure = 0
        self._objects: dict[str, bytes] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - names of http.server

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(Handler)

    def add(self, name: str, folder: Path) -> Repository:
        """Add a repository with the files of a folder."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories[name] = Repository(files)
        return self.repositories[name]

    def _answer(self, to: BaseHTTPRequestHandler) -> None:
        address = urlsplit(to.path)
        path, body = unquote(address.path), to.rfile.read(int(to.headers.get("Content-Length") or 0))
        is_known = to.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.failure:
            return _send(to, self.failure)
        if path == "/api/repos/create":
            return self._create(to, json.loads(body), is_known)
        if path == "/api/validate-yaml":
            return _send(to, 200, {"errors": [], "warnings": []})
        if path.startswith("/objects/"):
            self._objects[path.rpartition("/")[2]] = body
            return _send(to, 200)
        for pattern, answer in ((_OBJECTS, self._batch), (_API, self._api), (_FILE, self._file)):
            if found := pattern.fullmatch(path):
                repository = self.repositories.get(found[1])
                if repository is None or (repository.is_private and not is_known):
                    code = "RepoNotFound" if is_known else ""
                    return _send(to, 404 if is_known else 401, {"error": "no"}, {"X-Error-Code": code})
                if repository.is_gated:
                    return _send(to, 403, {"error": "terms"}, {"X-Error-Code": "GatedRepo"})
                return answer(to, repository, list(found.groups()), body, parse_qs(address.query))
        return _send(to, 404, {"error": path})

    def _create(self, to: BaseHTTPRequestHandler, asked: dict, is_known: bool) -> None:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if not is_known:
            return _send(to, 401, {"error": "no"})
        if name in self.repositories:
            return _send(to, 409, {"url": f"{self.url}/{name}"})
        is_private = asked.get("private") is True or asked.get("visibility") == "private"
        self.repositories[name] = Repository(is_private=is_private)
        return _send(to, 200, {"url": f"{self.url}/{name}"})

    def _batch(self, to: BaseHTTPRequestHandler, repository: Repository, found: list, body: bytes, query: dict) -> None:
        objects = [
            each | {"actions": {"upload": {"href": f"{self.url}/objects/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        return _send(to, 200, {"transfer": "basic", "objects": objects})

    def _api(self, to: BaseHTTPRequestHandler, repository: Repository, found: list, body: bytes, query: dict) -> None:
        name, kind, revision, _ = found
        if revision not in (None, "main", repository.commit):
            return _send(to, 404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        if kind == "tree":
            return _send(to, 200, [_entry(file, content) for file, content in repository.files.items()])
        if kind == "preupload":
            files = [
                {"path": each["path"], "uploadMode": "lfs" if each["path"].endswith((".safetensors", ".recital")) else
                 "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]  # fmt: skip
            return _send(to, 200, {"files": files})
        if kind == "commit":
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    repository.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    repository.files[value["path"]] = self._objects[value["oid"]]
            url = f"{self.url}/{name}/commit/{repository.commit}"
            return _send(to, 200, {"success": True, "commitOid": repository.commit, "commitUrl": url})
        siblings = [{"rfilename": file} for file in repository.files]
        return _send(to, 200, {"id": name, "sha": repository.commit, "siblings": siblings, "tags": []})

    def _file(self, to: BaseHTTPRequestHandler, repository: Repository, found: list, body: bytes, query: dict) -> None:
        _, revision, path = found
        if revision not in ("main", repository.commit) or path not in repository.files:
            code = "EntryNotFound" if revision in ("main", repository.commit) else "RevisionNotFound"
            return _send(to, 404, {"error": "no"}, {"X-Error-Code": code})
        content = repository.files[path]
        if to.command == "GET":
            self.downloaded.append(path)
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        return _send(to, 200, content, {"ETag": tag, "X-Repo-Commit": repository.commit})


def _entry(path: str, content: bytes) -> dict:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _send(
    to: BaseHTTPRequestHandler, status: int, content: object = b"", headers: dict[str, str] | None = None
) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    to.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
        if value:
            to.send_header(name, value)
    to.end_headers()
    if to.command != "HEAD":
        to.wfile.write(body)
