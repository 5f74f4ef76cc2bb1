"""What the models' benchmarks share: a made-up experiment, true percentiles, and tables."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config.load import load_settings
from config.schema import ExperimentSettings
from models.registry import settings_class
from utils.precision import Precision


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        precisions: fp32, bf16.
        batch_size: of training steps.
        steps: training steps of each formulation.
        runs: how often each formulation speaks.
        speaking_batch_sizes: how many mels or sentences are spoken at once, where a model can.
        long_s: seconds of speech to make in chunks while memory is watched; 0 for none.
    """

    precisions: Sequence[Precision] = ("fp32", "bf16")
    batch_size: int = 16
    steps: int = 8
    runs: int = 30
    speaking_batch_sizes: Sequence[int] = (1,)
    long_s: float = 0.0


@dataclass(frozen=True)
class Section:
    """A table of figures.

    Attributes:
        title: what was measured.
        note: how, in a sentence.
        rows: column name to value; all rows of a title have the same columns.
    """

    title: str
    note: str
    rows: Sequence[Mapping[str, Any]]


def made_up_settings(config: str, overrides: Sequence[str]) -> ExperimentSettings:
    """Read a model's config, which names no corpus, as if a recipe had refined it.

    Raises:
        SettingsError: the file or an override is faulty.
    """
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "exp_config.json"
        recipe.write_text(
            json.dumps({"base_config": config, "dataset": ["made-up"], "dataset_path": {"made-up": "none"}})
        )
        return load_settings(recipe, overrides, settings_class).settings


def time_in_turn(formulations: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, np.ndarray]:
    """Time several formulations of one thing, in seconds by name.

    They take turns, so that whatever else the machine does slows all alike. Each is run once before, untimed.
    """
    for run in formulations.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in formulations}
    for _ in range(runs):
        for name, run in formulations.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: np.array(seconds) for name, seconds in times.items()}


def percentiles_ms(seconds: np.ndarray) -> dict[str, float]:
    """Give the latency's 50th, 90th, 95th and 99th percentile in milliseconds, as columns of a table."""
    values = np.percentile(seconds, [50, 90, 95, 99]) * 1e3
    return {f"p{rank} ms": float(value) for rank, value in zip((50, 90, 95, 99), values, strict=True)}


def as_table(sections: Sequence[Section]) -> str:
    """Write sections as tables in Markdown, those of one title together."""
    lines: list[str] = []
    for title in dict.fromkeys(section.title for section in sections):
        together = [section for section in sections if section.title == title]
        rows = [row for section in together for row in section.rows]
        columns = list(rows[0])
        lines += ["", f"{title}: {together[0].note}", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line([_cell(row[column]) for column in columns]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
