"""Origin of an experiment, `origin.json` in its folder: its initial weights, and whose rows its tables have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.bundles.embedding_rows import listed
from models.bundles.locate import open_bundle
from models.bundles.warm_start import names_of
from models.contracts import HasEmbeddingRows, RowKind
from processors.speakers.sources import Source
from utils.console import warn
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.hub import cached_repository
from utils.task import Task

ORIGIN_FILE = "origin.json"


class OriginError(RecitalError):
    """An experiment that cannot be resumed with these weights or features."""


def row_names(task: Task) -> dict[RowKind, Sequence[str]]:
    """Return the names of the symbols, speakers and languages that a task's tables have rows for, in their order."""
    if not isinstance(task, HasEmbeddingRows):
        return {}
    return {rows.kind: tuple(rows.names) for rows in task.embedding_rows().values()}


def write_origin(
    folder: Path, task: Task, initial_weights: Sequence[Path] | None, sources: Sequence[Source] = ()
) -> None:
    """Write the origin of a new experiment, or of one from before origins were recorded.

    Args:
        folder: of the experiment.
        task: at its start.
        initial_weights: the path that was named for them, and the one that they were read from; empty for random ones,
            None if unknown.
        sources: of synthesized speech that the initial weights were trained on.
    """
    origin: dict[str, Any] = {"rows": {kind: list(names) for kind, names in row_names(task).items()}}
    if initial_weights is not None:
        origin["initial_weights"] = [str(path.resolve()) for path in initial_weights]
    if sources:
        origin["sources"] = [asdict(source) for source in sources]
    write_atomically(folder / ORIGIN_FILE, json.dumps(origin, indent=1, ensure_ascii=False) + "\n")


def inherited_sources(folder: Path) -> tuple[Source, ...]:
    """Return the sources of synthesized speech that an experiment's initial weights were trained on."""
    return tuple(Source(each["name"], each["licence"]) for each in _read(folder).get("sources", ()))


def inherited_base(bundle: Path) -> str:
    """Return the repository on the Hugging Face Hub that the weights of an experiment's bundle began with; or ""."""
    paths = _read(bundle.parent).get("initial_weights") or () if bundle.name == "bundle" else ()
    return next(filter(None, (cached_repository(Path(path)) for path in paths)), "")


def require_same_initial_weights(folder: Path, asked: Path) -> None:
    """Raise an `OriginError` unless an existing experiment was started with the requested weights."""
    began_with = _read(folder).get("initial_weights")
    if began_with is None:
        warn(f"{folder}: its initial weights are not recorded; it is resumed without --checkpoint {asked}")
    elif str(asked.resolve()) not in began_with:
        how = f"with the weights of {began_with[0]}" if began_with else "with random weights"
        raise OriginError(
            f"{folder}: was started {how}, not with those of --checkpoint {asked}; fine-tune under another --name, "
            "or omit --resume_type and --checkpoint to resume"
        )


def require_same_rows(folder: Path, task: Task, processed_dir: Path) -> None:
    """Raise an `OriginError` unless an experiment and today's features have the same symbols and speakers, in order.

    Otherwise the row that one of them learned would be taken for another's.

    Args:
        folder: of the existing experiment.
        task: made of today's features.
        processed_dir: where these are, for the message.
    """
    ours = row_names(task)
    theirs = _names_in(folder) if ours else {}
    if unknown := [f"{kind}s" for kind in ours if kind not in theirs]:
        warn(f"{folder}: records none of its {' and '.join(unknown)}; assuming those of {processed_dir}")
    if differing := [
        difference
        for kind, names in ours.items()
        if (difference := _difference(f"{kind}s", theirs.get(kind, names), names))
    ]:
        raise OriginError(
            f"{folder}: has learned other names than {processed_dir} holds now: {'; '.join(differing)}. Bring back the "
            "features that it began with, or train under another --name with --resume_type finetune --checkpoint "
            f"{folder}, which carries over by name what was learned"
        )


def _names_in(folder: Path) -> Mapping[RowKind, Sequence[str]]:
    """Return the names by which an experiment has learned; those of its bundle where it began before they were kept."""
    if "rows" in (origin := _read(folder)):
        return {kind: tuple(names) for kind, names in origin["rows"].items()}
    return names_of(open_bundle(folder / "bundle")) if (folder / "bundle").is_dir() else {}


def _read(folder: Path) -> dict[str, Any]:
    """Return what the file says; nothing where there is none."""
    path = folder / ORIGIN_FILE
    if not path.is_file():
        return {}
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(origin, dict) and isinstance(origin["rows"], dict)
    except (ValueError, KeyError, AssertionError) as error:
        raise OriginError(f"{path}: is damaged ({error}); without it the names in the bundle are compared") from error
    return origin


def _difference(kinds: str, theirs: Sequence[str], ours: Sequence[str]) -> str:
    if tuple(theirs) == tuple(ours):
        return ""
    gone = [name for name in theirs if name not in set(ours)]
    new = [name for name in ours if name not in set(theirs)]
    parts = [f"{listed(gone)} gone" if gone else "", f"{listed(new)} new" if new else ""]
    return f"{kinds}: {', '.join(filter(None, parts)) or 'the same in another order'}"
