"""The lines that NVIDIA's DLLogger writes (`nvlog.json`), for those with parsers of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

_SUBSETS = {"train": "train", "valid": "val", "test": "test", "evaluation": "eval"}
_UNITS = {"frames/s": "frames/s", "took": "s"}


class NvLog:
    """Writer of `DLLL {...}` lines, as by the JSONStreamBackend of NVIDIA/dllogger with its names of FastPitch.

    A resumed training appends, as NVIDIA's does. A step is `[epoch, step of it, steps per epoch]` in training,
    `[epoch]` in validation, `[]` at the end; epochs and steps count from 1.

    Args:
        path: of the file.
        settings: by dotted name; a line `PARAMETER` each.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._began = datetime.now()
        is_new = not path.exists() or not path.stat().st_size
        self._file = path.open("a", encoding="utf-8")
        self._described: set[str] = set()
        for name, value in settings.items() if is_new else ():
            self._log("PARAMETER", {name: value})

    def scalars(self, step: int, values: Mapping[str, float], place: Sequence[int]) -> None:
        """Write numbers; see `utils.logbook.LogWriter`."""
        by_subset: dict[str, dict[str, float | None]] = {}
        for name, value in values.items():
            subset, key, number = _named(name, value)
            by_subset.setdefault(subset, {})[key] = number if math.isfinite(number) else None
        for subset, data in by_subset.items():
            for key in data:
                self._describe(key)
            at = {"train": list(place), "test": []}.get(subset, list(place[:1]))
            self._log(at, {"eval_step": step, **data} if subset == "eval" else data)

    def _describe(self, key: str) -> None:
        if key not in self._described:
            self._described.add(key)
            label = re.sub(r"^train_", "", key).replace("_", " ")
            unit = next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), None)
            now = datetime.now()
            about = {"timestamp": str(now.timestamp()), "elapsedtime": self._elapsed(now), "datetime": str(now)}
            metadata = {"name": label, "unit": unit, "format": ":>5.2f"}
            self._write(about | {"type": "METADATA", "metric": key, "metadata": metadata})

    def _log(self, step: str | list[int], data: Mapping[str, Any]) -> None:
        now = datetime.now()
        about = {"timestamp": str(now.timestamp()), "datetime": str(now), "elapsedtime": self._elapsed(now)}
        self._write(about | {"type": "LOG", "step": step, "data": data})

    def _elapsed(self, now: datetime) -> str:
        return str((now - self._began).total_seconds())

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(f"DLLL {json.dumps(line)}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _named(name: str, value: float) -> tuple[str, str, float]:
    """Return subset, DLLogger's name and value of a number of the logbook."""
    kind, _, rest = name.partition("/")
    if name == "speed/steps_per_second":
        return "train", "train_took", 1 / value if value else math.inf
    if kind == "speed":
        return "train", f"train_{rest.replace('_per_second', '/s')}", value
    if kind in ("learning_rate", "gradient_norm"):
        label = {"learning_rate": "lrate", "gradient_norm": "grad_norm"}[kind]
        return "train", f"train_{_without_network(rest)}{label}", value
    subset = _SUBSETS.get(kind, "train")
    network, _, term = rest.rpartition("/")
    if subset in ("train", "val", "test") and rest:
        prefix = _without_network(network) if network else ""
        return subset, f"{subset}_{prefix}{'loss' if term == 'loss' else f'{term}_loss'}", value
    return subset, f"{subset}_{rest or name}", value


def _without_network(name: str) -> str:
    """Return a name as a prefix; that of a task's only network is left out."""
    shown = name.removeprefix("network").strip("_/").replace("/", "_")
    return f"{shown}_" if shown else ""
