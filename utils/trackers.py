"""Trackers of experiments, such as wandb and mlflow, by accelerate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import tracking

from utils.console import warn
from utils.errors import RecitalError

_PROJECT = "recital"
# The argument that names a run; trackers without one are given its name in place of the project's.
_RUN_NAME = {
    "clearml": "task_name",
    "mlflow": "run_name",
    "swanlab": "experiment_name",
    "trackio": "name",
    "wandb": "name",
}


class TrackerError(RecitalError):
    """A tracker that is not installed, or cannot start."""


def require_trackers(names: Sequence[str]) -> None:
    """Raise a `TrackerError` for trackers that are not installed."""
    available = {str(each) for each in tracking.get_available_trackers()}
    if missing := [name for name in names if name not in available]:
        packages = " ".join(name.replace("comet_ml", "comet-ml") for name in missing)
        raise TrackerError(f"train.trackers: {', '.join(missing)} is not installed: pip install {packages}")


class Trackers:
    """Writer of the logbook's numbers to trackers (`utils.logbook.LogWriter`).

    A tracker that fails during the training is a warning, and gets nothing more. A resumed training is another run.

    Args:
        names: of accelerate's.
        folder: of the experiment, whose name is the run's.
        settings: by dotted name, shown as the run's configuration.

    Raises:
        TrackerError: a tracker cannot start.
    """

    def __init__(self, names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> None:
        require_trackers(names)
        self._latest = 0
        self._trackers = {name: _started(name, folder, settings) for name in names}

    def scalars(self, step: int, values: Mapping[str, float], place: Sequence[int]) -> None:
        """Log numbers; those that come late at the present step, since trackers take ascending steps alone."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if step < self._latest:
            finite["evaluation/step"] = step
        self._latest = max(step, self._latest)
        for name in list(self._trackers):
            self._try(name, lambda tracker: tracker.log(finite, step=self._latest))

    def close(self) -> None:
        """End the runs."""
        for name in list(self._trackers):
            self._try(name, lambda tracker: tracker.finish())

    def _try(self, name: str, action: Any) -> None:
        try:
            action(self._trackers[name])
        except Exception as error:  # of any service: no reason to end a training
            del self._trackers[name]
            warn(f"train.trackers: {name} gets nothing more: {error}")


def _started(name: str, folder: Path, settings: Mapping[str, Any]) -> Any:
    make = tracking.LOGGER_TYPE_TO_CLASS[name]
    options = {_RUN_NAME[name]: folder.name} if name in _RUN_NAME else {}
    places = [str(folder)] if make.requires_logging_directory else []
    try:
        tracker = make(_PROJECT if options else folder.name, *places, **options)
        tracker.start()
        tracker.store_init_configuration({key: "" if value is None else value for key, value in settings.items()})
    except Exception as error:  # of any service
        raise TrackerError(f"train.trackers: {name} cannot start: {error}") from error
    return tracker
