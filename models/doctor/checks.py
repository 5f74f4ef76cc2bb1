"""Registry of checks, and the examination that runs them: each is a function from a subject to findings."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator
from typing import NamedTuple

from models.doctor.finding import Finding, Subject
from utils.errors import RecitalError

_WARNING = "warning: "


class Check(NamedTuple):
    """A check.

    Attributes:
        topic: under which its findings are shown.
        module: its file in this folder, which is imported when it is run.
        function: yields findings.
        needs: of the subject, `config`, `settings` (that could be loaded) or `model`; empty for nothing.
        is_decisive: whether nothing else can be checked after a fault.
    """

    topic: str
    module: str
    function: str
    needs: str = ""
    is_decisive: bool = False


CHECKS = (
    Check("versions", "installation", "python", is_decisive=True),
    Check("versions", "installation", "packages"),
    Check("versions", "installation", "imports"),
    Check("versions", "installation", "extras"),
    Check("models of Recital", "installation", "shipped_models"),
    Check("devices", "machine", "processor"),
    Check("devices", "machine", "gpus"),
    Check("memory", "machine", "memory"),
    Check("disk", "machine", "disk"),
    Check("settings", "settings", "settings", "config"),
    Check("settings", "settings", "front_ends", "settings"),
    Check("settings", "settings", "trackers", "settings"),
    Check("settings", "machine", "precision", "settings"),
    Check("data", "data", "corpora", "settings"),
    Check("features", "data", "features", "settings"),
    Check("runs", "trained", "runs", "settings"),
    Check("checkpoints", "trained", "checkpoints", "settings"),
    Check("bundles", "trained", "bundles", "settings"),
    Check("bundles", "trained", "model", "model"),
    Check("needs", "needs", "needs", "settings"),
)


class Examined(NamedTuple):
    """A finding and its topic."""

    topic: str
    finding: Finding


def examine(subject: Subject, *, raises: bool = False) -> list[Examined]:
    """Run all checks that a subject has something for, in order.

    Args:
        subject: what to examine.
        raises: whether a check that fails itself raises its error, which is a finding otherwise.
    """
    found: list[Examined] = []
    for check in CHECKS:
        if check.needs and not getattr(subject, check.needs):
            continue
        is_sound = not any(each.finding.is_fault for each in found)
        found += [Examined(check.topic, finding) for finding in _run(check, subject, is_sound, raises)]
        if check.is_decisive and found[-1].finding.is_fault:
            break
    return found


def _run(check: Check, subject: Subject, is_sound: bool, raises: bool) -> Iterator[Finding]:
    """Yield the findings of a check, the warnings that it prints, and its failure."""
    printed = io.StringIO()
    findings: list[Finding] = []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(printed):
        try:
            function = getattr(importlib.import_module(f"models.doctor.{check.module}"), check.function)
            findings.extend(function(subject))
        except Exception as error:
            if raises:
                raise
            findings.append(_failure(check, error, subject, is_sound))
    warnings = [line[len(_WARNING) :] for line in printed.getvalue().splitlines() if line.startswith(_WARNING)]
    yield from (*findings, *map(Finding, warnings))


def _failure(check: Check, error: Exception, subject: Subject, is_sound: bool) -> Finding:
    if isinstance(error, ModuleNotFoundError):
        # A fault only where no other has been found, such as that this package is missing.
        return Finding(
            f"not checked ({check.function}): needs the package {error.name}", "sh env.sh" if is_sound else ""
        )
    text = str(error) if isinstance(error, (RecitalError, OSError)) else f"{type(error).__name__}: {error}"
    return Finding(f"the check {check.function} ended early: {text}", subject.call("bins.doctor", "--debug"))
