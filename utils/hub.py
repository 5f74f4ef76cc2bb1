"""Repositories of the Hugging Face Hub, named as `hf://owner/name[@revision][/folder]`; huggingface_hub is optional.

Downloads go into its cache (`HF_HOME`), which answers where there is no network. Tokens are those of its environment:
`HF_TOKEN`, or the file that `hf auth login` writes.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from utils.console import info
from utils.errors import RecitalError

_PREFIX = re.compile(r"hf:/{1,2}")  # a pathlib.Path has a single slash left
_PART = r"[A-Za-z0-9][\w.-]*"
_PLACE = re.compile(rf"(?P<name>{_PART}/{_PART})(@(?P<revision>[A-Za-z0-9][^/@\s]*))?(/(?P<folder>.+?))?/?")
_TOKEN = "set HF_TOKEN, or run hf auth login"


class HubError(RecitalError):
    """A repository that cannot be reached, or is refused."""


@dataclass(frozen=True)
class HubPlace:
    """A place in a repository.

    Attributes:
        repository: owner and name.
        revision: branch, tag or commit; None for the main branch.
        folder: a folder or a file in it; empty for the whole repository.
    """

    repository: str
    revision: str | None = None
    folder: str = ""

    def __str__(self) -> str:
        return f"hf://{self.repository}{f'@{self.revision}' if self.revision else ''}{self.folder and '/'}{self.folder}"

    def within(self, names: Sequence[str]) -> list[str]:
        """Return which of a repository's files the place names, relative to it; a file itself as ""."""
        if self.folder in names:
            return [""]
        start = f"{self.folder}/" if self.folder else ""
        return [name.removeprefix(start) for name in names if name.startswith(start)]


def is_hub_place(path: Path | str) -> bool:
    """Return whether a path begins with `hf://`."""
    return _PREFIX.match(str(path)) is not None


def hub_place(path: Path | str) -> HubPlace:
    """Return the place that a path beginning with `hf://` names.

    Raises:
        HubError: it names none.
    """
    found = _PLACE.fullmatch(_PREFIX.sub("", str(path), count=1))
    folder = (found and found["folder"]) or ""
    if found is None or str(PurePosixPath(folder or "a")) != (folder or "a") or ".." in PurePosixPath(folder).parts:
        raise HubError(f"{path}: expected hf://owner/name, then perhaps @revision and /folder")
    return HubPlace(found["name"], found["revision"], folder)


def cached_repository(path: Path) -> str:
    """Return owner and name of the repository in whose cached copy a path lies; empty for others."""
    pairs = zip(path.parts, path.parts[1:], strict=False)
    folders = [part for part, after in pairs if after == "snapshots" and part.startswith("models--")]
    return folders[-1].removeprefix("models--").replace("--", "/", 1) if folders else ""


def download(place: HubPlace, choose: Callable[[Sequence[str]], Sequence[str]]) -> Path:
    """Return the local copy of a place, with the chosen files in it; without a network, the one that was made before.

    Args:
        place: a repository, or a folder or file in it.
        choose: returns those of the place's files, named relative to it, that are needed; it may refuse.

    Raises:
        HubError: huggingface_hub is missing, there is neither network nor copy, or the Hub refuses.
    """
    hub = _library()
    try:
        with _Answers(place, hub):
            names = [each.rfilename for each in hub.model_info(place.repository, revision=place.revision).siblings]
            wanted = [f"{place.folder}{name and place.folder and '/'}{name}" for name in choose(place.within(names))]
            root = hub.snapshot_download(
                place.repository,
                revision=place.revision,
                allow_patterns=[glob.escape(name) for name in wanted],
            )
    except _UnreachableError as error:
        root = _cached(place, Path(hub.constants.HF_HUB_CACHE), error)
        found = root / place.folder
        names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file()]
        if any(not (found / name).exists() for name in choose(place.within(names))):
            raise HubError(f"{place}: {error}, and the copy in {root} is incomplete") from error
        info(f"{place}: {error}; using the copy in {root}")
    return Path(root) / place.folder


def upload(folder: Path, names: Sequence[str], repository: str, *, is_private: bool, message: str) -> str:
    """Upload files of a folder into a repository, created if missing, and return its address.

    Raises:
        HubError: huggingface_hub or a token is missing, there is no network, or the Hub refuses.
    """
    place = require_upload(repository)
    hub = _library()
    try:
        with _Answers(place, hub):
            address = hub.create_repo(repository, private=is_private, exist_ok=True)
            hub.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=[glob.escape(name) for name in names],
                commit_message=message,
            )
    except _UnreachableError as error:
        raise HubError(f"{repository}: {error}; nothing is uploaded, or not all") from error
    return str(address)


def require_upload(repository: str) -> HubPlace:
    """Return the place of a repository to upload to.

    Raises:
        HubError: its name is none, or huggingface_hub or a token is missing.
    """
    place = hub_place(f"hf://{repository}")
    if place != HubPlace(repository):
        raise HubError(f"{repository}: expected owner/name")
    if not _library().get_token():
        raise HubError(f"{repository}: an upload needs a token that may write: {_TOKEN}")
    return place


def _library() -> Any:
    try:
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise HubError(
            "hf:// needs the package huggingface_hub: sh env.sh hub, or pip install huggingface_hub"
        ) from None
    return huggingface_hub


class _UnreachableError(Exception):
    """The Hub does not answer."""


class _Answers:
    """Turns the errors of huggingface_hub within it into `HubError` and `_UnreachableError`."""

    def __init__(self, place: HubPlace, hub: Any) -> None:
        self._place, self._errors = place, hub.errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, RecitalError):
            return
        place, errors = self._place, self._errors
        repository = place.repository
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError):
            reason = f"has terms to accept first, at https://huggingface.co/{repository}; then {_TOKEN}"
        elif isinstance(error, errors.RevisionNotFoundError):
            reason = f"{repository} has no revision {place.revision}"
        elif isinstance(error, errors.RepositoryNotFoundError) or status == 401:
            reason = f"there is no model repository {repository}, or it is private: then {_TOKEN}"
        elif status == 403:
            reason = f"the token of this environment may not do that; {_TOKEN}"
        elif isinstance(error, errors.HFValidationError) or (status is not None and status < 500):
            reason = f"refused: {_first_line(error)}"
        elif _is_of_network(error):
            raise _UnreachableError(_why(error, status)) from error
        else:
            return
        raise HubError(f"{place}: {reason}") from error


def _is_of_network(error: BaseException) -> bool:
    """Return whether an error is one of the connection: the Hub's, of sockets, or of the HTTP library beneath."""
    library = type(error).__module__.partition(".")[0]
    is_of_disk = isinstance(error, OSError) and error.filename is not None and not isinstance(error, ConnectionError)
    return not is_of_disk and (library.startswith(("httpx", "requests", "huggingface")) or isinstance(error, OSError))


def _why(error: BaseException, status: int | None) -> str:
    if status is not None:
        return f"the Hub answers {status}"
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set"
    return f"the Hub cannot be reached ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _cached(place: HubPlace, cache: Path, error: Exception) -> Path:
    # Not by snapshot_download, which refuses copies of a part of the files.
    root, revision = cache / f"models--{place.repository.replace('/', '--')}", place.revision or "main"
    named = root / "refs" / revision
    snapshot = root / "snapshots" / (named.read_text().strip() if named.is_file() else revision)
    if not snapshot.is_dir():
        raise HubError(f"{place}: {error}, and there is no copy of it in {cache}; try again with a network") from error
    return snapshot
