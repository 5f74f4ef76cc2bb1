"""The next command for an experiment, ready to type."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from models.registry import MODELS
from models.runs.training_record import SETTINGS_FILE, TrainingRecord, checkpoints

COMMANDS = {"acoustic": "bins.synthesize", "vocoder": "bins.vocode", "aligner": "bins.align"}
"""Commands of stage 3, by the kind of the model."""
_SENTENCE = "Hello, this is my new voice."


class NextStep(NamedTuple):
    """A purpose, and the command that serves it."""

    purpose: str
    command: str


class Call(NamedTuple):
    """How the experiment was named: by a recipe's settings, changes of them and a name; empty where by its folder."""

    config: str = ""
    changes: Sequence[str] = ()


def next_steps(record: TrainingRecord, call: Call) -> list[NextStep]:
    """Return what can be done with an experiment in its state, the likeliest first."""
    model = MODELS.get(record.model_type)
    steps = []
    if record.state in ("new", "stopped"):
        purpose = "start the training"
        if record.state == "stopped":
            at = f"step {record.resumes_from:,}" if record.resumes_from else "the start, since no checkpoint was saved"
            purpose = f"resume from {at}"
        steps.append(NextStep(purpose, _train(record, call)))
    if model is not None and (record.folder / "bundle").is_dir():
        steps += _use(record, call, model.kind)
    return steps


def _use(record: TrainingRecord, call: Call, kind: str) -> Iterator[NextStep]:
    flags = ["--infer_text", _SENTENCE] if kind == "acoustic" else []
    done = {"acoustic": "speak", "vocoder": "copy the test split", "aligner": "write TextGrids"}[kind]
    yield NextStep(f"{done}: stage 3", _stage(record, call, 3, COMMANDS[kind], *flags))
    best = _best_checkpoint(record)
    if best is not None and kind == "acoustic" and record.state != "finished":
        command = ["python", "-m", COMMANDS[kind], "--infer_expt_dir", _shown(best), *flags]
        yield NextStep("the same by the checkpoint of the lowest validation loss", shlex.join(command))
    if record.state == "finished" and kind != "aligner":
        dump = [] if call.config else ["--dump_folder", _shown(record.folder / "evaluation")]
        yield NextStep("measure the test split: stage 4", _stage(record, call, 4, "bins.evaluate", *dump))
        shared = f"{record.folder.name}_to_share"
        export = ["--bundle", _shown(record.folder), "--format", "bundle", "--output_dir", shared]
        yield NextStep("share it", shlex.join(["python", "-m", "bins.export", *export]))


def _train(record: TrainingRecord, call: Call) -> str:
    name = ["--name", record.folder.name]
    if call.config:
        return _recipe(call, 2, *name) or shlex.join(["python", "-m", "bins.train", *_settings(call), *name])
    own = ["--config", _shown(record.folder / SETTINGS_FILE), "--set", f"log_dir={record.folder.parent.absolute()}"]
    return shlex.join(["python", "-m", "bins.train", *own, *name, "--resume_type", "resume"])


def _stage(record: TrainingRecord, call: Call, stage: int, module: str, *flags: str) -> str:
    if call.config:
        flags = ("--name", record.folder.name, *flags)
        return _recipe(call, stage, *flags) or shlex.join(["python", "-m", module, *_settings(call), *flags])
    needs_corpora = module in ("bins.vocode", "bins.align")
    config = ["--config", _shown(record.folder / SETTINGS_FILE)] if needs_corpora else []
    return shlex.join(["python", "-m", module, *config, "--infer_expt_dir", _shown(record.folder), *flags])


def _recipe(call: Call, stage: int, *flags: str) -> str:
    """Return the call of the `run.sh` beside the settings; empty if there is none."""
    config = Path(call.config)
    script = config.parent / "run.sh"
    if not script.is_file():
        return ""
    named = [] if config.name == "exp_config.json" else ["--config", call.config]
    changes = [part for change in call.changes for part in ("--set", change)]
    return shlex.join(["sh", str(script), "--stage", str(stage), *named, *flags, *changes])


def _settings(call: Call) -> list[str]:
    return ["--config", call.config, *(part for change in call.changes for part in ("--set", change))]


def _best_checkpoint(record: TrainingRecord) -> Path | None:
    """Return the kept checkpoint of the lowest validation loss, unless it is the newest."""
    losses = {}
    folders = list(checkpoints(record.folder).values())
    for folder in folders:
        try:
            loss = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8")).get("valid_loss")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(loss, float):
            losses[folder] = loss
    best = min(losses, key=lambda folder: losses[folder], default=None)
    return best if folders and best != folders[-1] else None


def _shown(path: Path) -> str:
    """Return a path, relative to the current folder where it lies in it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
