"""Checks of the installation: Python, packages, shipped models. Needs the standard library alone to begin with."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from config.paths import REPOSITORY, SHIPPED_BASE, SHIPPED_VOCODER, SHIPPED_VOICE
from models.doctor.finding import Finding, Subject
from utils.version import VERSION, is_old_python, python_needed

_REQUIREMENTS = REPOSITORY / "requirements"
_BARE = "without_dependencies"
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)[^#;<=]*(?:<([0-9.]+))?")
# Imported by hand: those with libraries of their own, which may not fit the machine.
_WITH_LIBRARIES = ("numpy", "scipy", "torch", "safetensors", "pydantic", "soundfile", "soxr", "numba", "parselmouth")
_MOST = 6


def python(subject: Subject) -> Iterator[Finding]:
    """Compare the version of Python."""
    if is_old_python():
        yield Finding(python_needed(), "unset PYTHON; sh env.sh")
    else:
        yield Finding(f"Recital {VERSION}, Python {platform.python_version()} ({sys.executable})")


def packages(subject: Subject) -> Iterator[Finding]:
    """Compare the packages that everything needs with `requirements/`."""
    lists = [_REQUIREMENTS / "base.txt", _REQUIREMENTS / f"{_BARE}.txt"]
    found = {path: _installed(path) for path in lists}
    for path, listed in found.items():
        if missing := [name for name, version in listed.items() if version is None]:
            options = ["--no-deps"] if _BARE in path.name else ["-c", "requirements/lock.txt"]
            yield Finding(
                f"missing from this Python: {', '.join(missing)}",
                f"{sys.executable} -m pip install {' '.join(options)} -r requirements/{path.name}",
            )
    versions = {name: version for each in found.values() for name, version in each.items() if version is not None}
    for name, bound in _bounds(lists[0]).items():
        if (version := versions.get(name)) and _numbers(version) >= _numbers(bound):
            yield Finding(
                f"{name} {version}: needs to be below {bound}",
                f"{sys.executable} -m pip install -c requirements/lock.txt {name}",
            )
    locked = _locked()
    other = {
        name: version
        for name, version in versions.items()
        if version.partition("+")[0] not in locked.get(_normal(name), {version})
    }
    yield Finding(
        f"{len(versions)} packages, {len(versions) - len(other)} of them as in requirements/lock.txt"
        + ("; others: " + _some([f"{name} {version}" for name, version in other.items()]) if other else "")
    )


def imports(subject: Subject) -> Iterator[Finding]:
    """Import the packages that bring libraries of their own, which may not load on this machine."""
    for name in _WITH_LIBRARIES:
        try:
            importlib.import_module(name)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                continue  # as `packages` reports
            yield Finding(
                f"{name} is installed, but cannot be imported: {type(error).__name__}: {error}",
                f"{sys.executable} -m pip install --force-reinstall -c requirements/lock.txt {_distribution(name)}",
            )


def extras(subject: Subject) -> Iterator[Finding]:
    """List the optional packages; those that the settings need are checked with the settings."""
    lacking = {}
    present = []
    for path in sorted(_REQUIREMENTS.glob("*.txt")):
        extra = path.stem
        if extra in ("base", "lock") or _BARE in extra:
            continue
        versions = _installed(path)
        bare = path.with_name(f"{extra}_{_BARE}.txt")
        versions.update(_installed(bare) if bare.is_file() else {})
        if missing := [name for name, version in versions.items() if version is None]:
            lacking[extra] = missing
        else:
            present.append(extra)
    if present:
        yield Finding(f"extras that are installed: {', '.join(present)}")
    for extra, missing in lacking.items():
        yield Finding(f"optional: sh env.sh {extra} installs {_some(missing)}")


def shipped_models(subject: Subject) -> Iterator[Finding]:
    """Open the models that come with Recital."""
    from models.bundles.locate import open_bundle
    from utils.errors import RecitalError

    for folder in (SHIPPED_VOICE, SHIPPED_BASE, SHIPPED_VOCODER):
        place = folder.relative_to(REPOSITORY)
        try:
            bundle = open_bundle(folder)
            yield Finding(f"{place}: {bundle.settings.model_type}")
        except RecitalError as error:
            yield Finding(str(error), f"git checkout -- {place}")


def _installed(path: Path) -> dict[str, str | None]:
    """Return the packages of a list, and of those that it names, with their versions; None for one that is missing."""
    versions: dict[str, str | None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            if line[3:].strip() != "base.txt":
                versions.update(_installed(path.with_name(line[3:].strip())))
        elif found := _LINE.match(line):
            try:
                versions[found.group(1)] = importlib.metadata.version(found.group(1))
            except importlib.metadata.PackageNotFoundError:
                versions[found.group(1)] = None
    return versions


def _bounds(path: Path) -> dict[str, str]:
    lines = map(_LINE.match, path.read_text(encoding="utf-8").splitlines())
    return {line.group(1): line.group(2) for line in lines if line and line.group(2)}


def _locked() -> dict[str, set[str]]:
    """Return the versions of each package in the lock, of which there are several for some."""
    versions: dict[str, set[str]] = {}
    for line in (_REQUIREMENTS / "lock.txt").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line):
            versions.setdefault(_normal(found.group(1)), set()).add(found.group(2))
    return versions


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _distribution(module: str) -> str:
    return {"parselmouth": "praat-parselmouth"}.get(module, module)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
