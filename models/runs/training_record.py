"""The course of a training, as its experiment's folder shows it."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from utils.board import RUNS, validated_network
from utils.errors import RecitalError
from utils.lock import is_in_use
from utils.logbook import read_logbook

State = Literal["new", "running", "stopped", "finished"]
_RECENT_LINES = 40  # of the logbook, over which the rate is measured
STALLED_S = 1800.0
"""Time without a new line in the logbook from which a training that runs is taken for stalled."""
WEIGHTS_FILE = "model.safetensors"  # of a bundle
LOGBOOK_FILE, SETTINGS_FILE = "logbook.jsonl", "settings.json"


class NoExperimentError(RecitalError):
    """A folder that is no experiment."""


class Series(NamedTuple):
    """Values of one name over the steps, ascending; NaN where the logbook has a value that is not finite."""

    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Improvement:
    """A term of the loss in validation, of which less is better.

    Attributes:
        term: its name.
        best, best_step: its least value.
        latest: its latest.
        n_since: validations since its least value.
    """

    term: str
    best: float
    best_step: int
    latest: float
    n_since: int


@dataclass(frozen=True)
class TrainingRecord:
    """The course of a training.

    Attributes:
        folder: of the experiment.
        settings: as saved; empty if they are missing.
        series: by their names in the logbook.
        state: whether it runs, has reached its end, or waits to be resumed.
        step, epoch: of the last line.
        last_step: at which it ends, estimated where epochs are counted; None if unknown.
        left_s: seconds until then at the present rate; None if unknown or not running.
        steps_per_s: the present rate, with all that happens between steps; None if unknown.
        trained_s: seconds of all processes that trained it, as far as the logbook has them.
        resumes_from: step of the newest checkpoint, or 0.
        changes: steps and settings that changed there, old and new values.
    """

    folder: Path
    settings: Mapping[str, Any]
    series: Mapping[str, Series]
    state: State
    step: int = 0
    epoch: int = 0
    last_step: int | None = None
    left_s: float | None = None
    steps_per_s: float | None = None
    trained_s: float = 0.0
    resumes_from: int = 0
    changes: Sequence[tuple[int, Mapping[str, Sequence[Any]]]] = field(default_factory=tuple)

    @property
    def model_type(self) -> str:
        """Name of the model in the registry; empty if unknown."""
        return str(self.settings.get("model_type", ""))

    def terms(self, split: str) -> dict[str, Series]:
        """Return the series of `valid`, `test`, `evaluation`, `learning_rate`... by the rest of their names."""
        return {name.partition("/")[2]: each for name, each in self.series.items() if name.startswith(f"{split}/")}

    @property
    def training(self) -> dict[str, dict[str, Series]]:
        """The terms of training by network, the validated one first."""
        networks: dict[str, dict[str, Series]] = {}
        for name, each in self.terms("train").items():
            network, _, term = name.rpartition("/")
            networks.setdefault(network, {})[term] = each
        first = validated_network(networks, self.terms("valid"))
        return dict(sorted(networks.items(), key=lambda item: item[0] != first))

    def improvements(self) -> list[Improvement]:
        """Return the terms of the loss that validation has too, without their sum; all of validation if none."""
        valid, networks = self.terms("valid"), list(self.training.values())
        shared = [term for term in valid if networks and term in networks[0] and term != "loss"]
        found = (_improvement(term, valid[term]) for term in shared or valid)
        return [each for each in found if each is not None]


def experiment_folder(path: Path) -> Path:
    """Return the experiment that a path names: itself, or that of a checkpoint or bundle in it.

    Raises:
        NoExperimentError: it is none.
    """
    for folder in (path, path.parent, path.parent.parent):
        is_bundle = (folder / WEIGHTS_FILE).exists()
        if (folder / LOGBOOK_FILE).is_file() or ((folder / SETTINGS_FILE).is_file() and not is_bundle):
            return folder
    raise NoExperimentError(f"{path}: is no experiment: it has neither {LOGBOOK_FILE} nor {SETTINGS_FILE}")


def newest_experiment(log_dir: Path) -> Path:
    """Return the experiment whose logbook was written last.

    Raises:
        NoExperimentError: there is none.
    """
    found = [path for path in log_dir.glob(f"*/{LOGBOOK_FILE}") if path.is_file()]
    if not found:
        raise NoExperimentError(f"{log_dir}: has no experiment yet: run stage 2")
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read_record(folder: Path) -> TrainingRecord:
    """Read the record of an experiment; whatever is missing or cut in half is left out."""
    path, settings = folder / LOGBOOK_FILE, _settings(folder)
    lines = read_logbook(path) if path.is_file() else []
    series = _series(lines)
    logged = [line for line in lines if "epoch" in line]
    step, epoch = (logged[-1]["step"], logged[-1]["epoch"]) if logged else (0, 0)
    last_step = _last_step(settings, step, epoch)
    resumes_from = max(checkpoints(folder), default=0)
    is_over = bool(last_step and max(step, resumes_from) >= last_step)
    state: State
    if is_in_use(folder):
        state = "running"
    elif is_over:
        state = "finished"
    else:
        state = "stopped" if step or resumes_from else "new"
    rate = _rate(logged)
    left = None
    if state == "running" and rate and last_step and path.is_file():
        silent_s = time.time() - path.stat().st_mtime
        left = max((last_step - step) / rate - silent_s, 0.0) if silent_s < STALLED_S else None
    changes = [(line["step"], line["changed"]) for line in lines if isinstance(line.get("changed"), dict)]
    return TrainingRecord(
        folder,
        settings,
        series,
        state,
        step,
        epoch,
        last_step=last_step,
        left_s=left,
        steps_per_s=rate,
        trained_s=_trained_s(logged),
        resumes_from=resumes_from,
        changes=changes,
    )


def _settings(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of an experiment by their steps, ascending, without those renamed by a resumed run.

    As `utils.checkpoint.CheckpointFolder.folders`, which needs torch; the page of a training does not.
    """
    found = (folder / "checkpoint").glob("step-*")
    steps = {number: path for path in found if (number := path.name.removeprefix("step-")).isdigit()}
    return {int(number): steps[number] for number in sorted(steps, key=int)}


def _series(lines: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Return the values of each name; where a run has gone back, its later lines replace those of before.

    Figures of an evaluation come late, and are put in order.
    """
    found: dict[str, Series] = {}
    evaluated: dict[str, dict[int, float]] = {}
    for line in lines:
        step = line["step"]
        for name, value in line.items():
            if name in ("step", "epoch", "changed") or not (value is None or isinstance(value, int | float)):
                continue
            number = math.nan if value is None else float(value)
            if not name.startswith(
                (*(f"{run}/" for run in RUNS), "learning_rate/", "gradient_norm/", "speed/", "loss_")
            ):
                evaluated.setdefault(name, {})[step] = number
                continue
            steps, values = found.setdefault(name, Series([], []))
            while steps and steps[-1] >= step:
                del steps[-1], values[-1]
            steps.append(step)
            values.append(number)
    late = {name: Series(sorted(of), [of[step] for step in sorted(of)]) for name, of in evaluated.items()}
    return found | late


def _last_step(settings: Mapping[str, Any], step: int, epoch: int) -> int | None:
    train = settings.get("train", {})
    ends = [train["max_steps"]] if train.get("max_steps") else []
    if train.get("max_epochs") and epoch:
        is_there = epoch >= train["max_epochs"]
        ends.append(step if is_there else round(train["max_epochs"] * step / epoch))
    return min(ends, default=None)


def _rate(logged: Sequence[Mapping[str, Any]]) -> float | None:
    """Return steps per second over the latest lines of the process that writes them."""
    timed = [line for line in logged if line.get("speed/elapsed_s")][-_RECENT_LINES:]
    while len(timed) > 1 and timed[0]["speed/elapsed_s"] > timed[-1]["speed/elapsed_s"]:
        del timed[0]  # of a former process
    if len(timed) > 1 and (passed := timed[-1]["speed/elapsed_s"] - timed[0]["speed/elapsed_s"]) > 0:
        return max(timed[-1]["step"] - timed[0]["step"], 0) / passed or None
    rates = [line["speed/steps_per_second"] for line in logged if line.get("speed/steps_per_second")]
    return statistics.median(rates[-_RECENT_LINES:]) if rates else None


def _trained_s(logged: Sequence[Mapping[str, Any]]) -> float:
    """Return the sum of what each process has taken until its last line."""
    total = latest = 0.0
    for line in logged:
        elapsed = line.get("speed/elapsed_s") or latest
        if elapsed < latest:
            total += latest
        latest = elapsed
    return total + latest


def _improvement(term: str, series: Series) -> Improvement | None:
    finite = [(value, number) for number, value in enumerate(series.values) if math.isfinite(value)]
    if not finite:
        return None
    best, number = min(finite)
    return Improvement(term, best, series.steps[number], series.values[-1], len(series.steps) - 1 - number)
