"""Checks of runs in progress, checkpoints and bundles."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from models.bundle import Bundle
from models.bundles.locate import find_bundle, open_bundle
from models.doctor.finding import Finding, Subject
from models.registry import kind_of, open_network
from models.runs.experiment_settings import settled
from utils.checkpoint import CheckpointFolder, open_checkpoint, step_of
from utils.errors import RecitalError
from utils.lock import InUseError, require_free
from utils.version import VERSION


def runs(subject: Subject) -> Iterator[Finding]:
    """Look whether another run holds the features, or the experiment."""
    folders = [subject.known_settings.preprocess.processed_path, *subject.experiments()]
    n_free = 0
    for folder in folders:
        try:
            require_free(folder)
            n_free += 1
        except InUseError as error:
            yield Finding(str(error), f"ps -fp {error.process}" if error.process else "ps -ef")
    if n_free == len(folders):
        yield Finding("no other run uses these folders")


def checkpoints(subject: Subject) -> Iterator[Finding]:
    """Open the checkpoints of the named experiment, of others the newest, and compare settings."""
    experiment = subject.known_settings
    if subject.name and not subject.experiments():
        yield Finding(f"{experiment.log_path / subject.name}: no such experiment yet")
    for folder in subject.experiments():
        call = subject.call("bins.train", "--name", folder.name)
        found = CheckpointFolder(folder / "checkpoint").folders()
        damaged = {}
        for path in found if subject.name else found[-1:]:
            try:
                open_checkpoint(path)
            except RecitalError as error:
                damaged[path] = str(error)
        for path, text in damaged.items():
            is_all = len(damaged) == len(found)
            instead = "none is left" if is_all else "training goes on from an older one"
            yield Finding(f"{text}; {instead}", f"rm -r {shlex.quote(str(path))}" if is_all else call)
        if found and not damaged:
            yield Finding(f"{folder.name}: {len(found)} checkpoints, the newest of step {step_of(found[-1])}")
        if subject.name:
            try:
                settled(experiment, folder, resuming=False, quiet=True)
            except RecitalError as error:
                yield Finding(str(error), f"{call} --resume_type resume")


def bundles(subject: Subject) -> Iterator[Finding]:
    """Open the bundles of the experiments."""
    max_steps = subject.known_settings.train.max_steps
    for folder in subject.experiments():
        if (folder / "bundle").is_dir():
            step = max(map(step_of, CheckpointFolder(folder / "checkpoint").folders()), default=0)
            # A training that has ended writes the bundle again after one more step.
            more = ("--set", f"train.max_steps={step + 1}") if 0 < max_steps <= step else ()
            yield from _opened(folder / "bundle", subject.call("bins.train", "--name", folder.name, *more))


def model(subject: Subject) -> Iterator[Finding]:
    """Open the model that shall be used."""
    yield from _opened(Path(subject.model), f"ls -l {shlex.quote(subject.model)}")


def _opened(path: Path, command: str) -> Iterator[Finding]:
    try:
        bundle = find_bundle(path) if path.name != "bundle" else open_bundle(path)
        _require_usable(bundle)
    except RecitalError as error:
        is_later = "update Recital" in str(error)
        yield Finding(str(error), "git pull" if is_later else command)
        return
    by = f", written by Recital {bundle.version}" if bundle.version not in ("", VERSION) else ""
    yield Finding(f"{path}: {bundle.settings.model_type}{by}")


def _require_usable(bundle: Bundle) -> None:
    if kind_of(bundle.settings.model_type) == "acoustic":
        bundle.require_front_end()
    open_network(bundle)
