"""Checkpoints: written whole or not at all, restored to the bit."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from utils.console import warn
from utils.errors import RecitalError
from utils.failures import is_out_of_memory
from utils.files import atomic_folder, write_atomically

_NAME = re.compile(r"step-(\d{8,})")
_METADATA_FILE = "checkpoint.json"
_STATE_FILE = "training_state.pt"
_FIGURES_FILE = "evaluation.json"


class CheckpointError(RecitalError):
    """A checkpoint that cannot be written, found or loaded."""


def average_name(name: str) -> str:
    """Return the name under which a checkpoint holds the moving average of the module `name`."""
    return f"{name}_average"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk.

    Attributes:
        folder: `checkpoint/step-00001000`.
        step: optimizer steps done.
        metadata: what else `checkpoint.json` holds, e.g. epoch, group, valid_loss; plain JSON values.
    """

    folder: Path
    step: int
    metadata: Mapping[str, Any]

    def weights(self, name: str) -> dict[str, Tensor]:
        """Return the weights of the module `name`, on the CPU."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            held = ", ".join(sorted(file.stem for file in self.folder.glob("*.safetensors")))
            raise CheckpointError(f"{self.folder}: holds no weights of {name}, only of {held or 'nothing'}")
        return load_file(path)

    def training_state(self) -> dict[str, Any]:
        """Return the `training_state` that was saved, on the CPU."""
        path = self.folder / _STATE_FILE
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise CheckpointError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error

    def load_module(self, name: str, module: nn.Module) -> None:
        """Load the weights of `name` into a module with exactly the same parameters.

        Raises:
            CheckpointError: a tensor is missing, unexpected or of another shape; lists them.
        """
        load_weights(module, self.weights(name), f"{self.folder}: the weights of {name}")


def write_figures(folder: Path, figures: Mapping[str, float]) -> None:
    """Write the figures of a late evaluation into a checkpoint."""
    write_atomically(folder / _FIGURES_FILE, json.dumps(figures) + "\n")


def awaits_figures(folder: Path) -> bool:
    """Return whether a checkpoint was saved for a late evaluation that has not ended yet."""
    return bool(_read_metadata(folder).get("awaits_figures")) and not (folder / _FIGURES_FILE).exists()


def load_weights(module: nn.Module, saved: Mapping[str, Tensor], source: str) -> None:
    """Load weights into a module with exactly the same parameters.

    Args:
        module: to load into.
        saved: weights by name.
        source: what they are and where they were found, for the message.

    Raises:
        CheckpointError: a tensor is missing, unexpected or of another shape; lists them.
    """
    if faults := unfitting(module, saved):
        raise CheckpointError(
            f"{source} are not those of this network ({faults}); use the settings that the checkpoint was trained with"
        )
    module.load_state_dict(dict(saved))


def unfitting(module: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return which tensors are missing, unexpected or of another shape; "" if all fit."""
    own = module.state_dict()
    faults = [f"{name} is missing" for name in own if name not in weights]
    faults += [f"{name} is unknown" for name in weights if name not in own]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)} where the network has {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    return "; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else "")


def open_checkpoint(folder: Path | str) -> Checkpoint:
    """Open a checkpoint folder after checking that every file in it is intact.

    Raises:
        CheckpointError: it is no checkpoint, or damaged; names the file.
    """
    folder = Path(folder)
    try:
        metadata = json.loads((folder / _METADATA_FILE).read_text(encoding="utf-8"))
        step, files = int(metadata.pop("step")), dict(metadata.pop("files"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: is no checkpoint, or was partly removed: it has no {_METADATA_FILE}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / _METADATA_FILE}: is damaged ({error})") from error
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{folder}: is damaged: {name} is missing")
        if path.stat().st_size != wanted["bytes"]:
            raise CheckpointError(
                f"{folder}: is damaged: {name} has {path.stat().st_size} bytes instead of {wanted['bytes']}"
            )
        if _checksum(path) != wanted["crc32"]:
            raise CheckpointError(f"{folder}: is damaged: the checksum of {name} differs")
    return Checkpoint(folder, step, metadata)


class CheckpointFolder:
    """The checkpoints of one experiment: `step-00001000`, `step-00002000`, ...

    One process may write, any number may read.

    Args:
        path: the folder, e.g. `log_dir/<name>/checkpoint`; created with the first checkpoint.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def folders(self) -> list[Path]:
        """Return the folders of all checkpoints, oldest first, without opening them."""
        if not self.path.is_dir():
            return []
        steps = [(int(match[1]), path) for path in self.path.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(steps)]

    def folder(self, step: int) -> Path:
        """Return the folder of a step's checkpoint, which need not exist."""
        return self.path / f"step-{step:08d}"

    def newest(self) -> Checkpoint | None:
        """Open the newest intact checkpoint, with a warning for each damaged one; None if there is none.

        Raises:
            CheckpointError: there are checkpoints, but every one is damaged.
        """
        folders = self.folders()
        for folder in reversed(folders):
            try:
                return open_checkpoint(folder)
            except CheckpointError as error:
                warn(f"{error}; looking for an older one")
        if folders:
            raise CheckpointError(
                f"{self.path}: every checkpoint in it is damaged; remove the folder, or train under another name"
            )
        return None

    def save(
        self,
        step: int,
        *,
        weights: Mapping[str, Mapping[str, Tensor]],
        training_state: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> Path:
        """Write a checkpoint atomically; it survives a power cut once this returns.

        Args:
            step: optimizer steps done.
            weights: a `state_dict` for each module's name.
            training_state: what else resuming needs: tensors, numbers, strings, lists and dicts.
            metadata: plain JSON values, readable without loading tensors.

        Raises:
            CheckpointError: it could not be written, e.g. because the disk is full; older ones are untouched.
        """
        target = self.folder(step)
        try:
            with atomic_folder(target) as folder:
                for name, tensors in weights.items():
                    save_file(_without_shared_memory(tensors), folder / f"{name}.safetensors")
                torch.save(dict(training_state), folder / _STATE_FILE)
                files = {}
                for path in sorted(folder.iterdir()):
                    _sync(path)
                    files[path.name] = {"bytes": path.stat().st_size, "crc32": _checksum(path)}
                metadata = {"step": step, **metadata, "files": files}
                write_atomically(folder / _METADATA_FILE, json.dumps(metadata, indent=2) + "\n")
                _sync(folder)
            _sync(self.path)
        except (OSError, SafetensorError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            # torch reports a full disk as a RuntimeError about its own file format.
            reason = "writing failed" if type(error) is RuntimeError else str(error)
            free = shutil.disk_usage(self.path).free if self.path.is_dir() else 0
            raise CheckpointError(
                f"{target}: could not be written ({reason}; {free / 2**20:.0f} MiB free on that disk); free some space "
                "and run the same command again: older checkpoints are untouched"
            ) from error
        return target

    def prune(self, keep_last: int, keep_best: int, by: str = "loss", waiting: Collection[int] = ()) -> None:
        """Remove all but the newest `keep_last` checkpoints and the `keep_best` best ones.

        Args:
            keep_last: how many of the newest are kept.
            keep_best: how many of the best are kept.
            by: `loss` for the lowest `valid_loss`; or the name of the figure of a late evaluation, for the highest.
            waiting: steps of checkpoints to keep in any case.
        """
        folders = self.folders()
        ranked = sorted((score, folder) for folder in folders if (score := _score(folder, by)) is not None)
        kept = {*folders[-keep_last:], *(folder for _, folder in ranked[:keep_best])}
        kept.update(folder for folder in folders if step_of(folder) in waiting)
        for folder in folders:
            if folder not in kept:
                # Renamed first: a kill in between leaves no partial checkpoint under a checkpoint's name.
                removed = folder.with_name(f".{folder.name}.removed.partial")
                os.replace(folder, removed)
                shutil.rmtree(removed, ignore_errors=True)

    def set_aside_after(self, step: int) -> list[Path]:
        """Rename checkpoints of later steps, so that a run resumed from `step` is not mixed with them."""
        aside = []
        for folder in self.folders():
            if step_of(folder) > step:
                target = folder.with_name(f"{folder.name}.superseded")
                if target.exists():
                    shutil.rmtree(target)
                os.replace(folder, target)
                aside.append(target)
        return aside


def step_of(folder: Path) -> int:
    """Return the step of a checkpoint by the name of its folder."""
    return int(folder.name.removeprefix("step-"))


def _score(folder: Path, by: str) -> float | None:
    """Return what checkpoints are ranked by, lower for better ones; None if it is unknown."""
    score = _read_metadata(folder).get("valid_loss") if by == "loss" else _read_metadata(folder, _FIGURES_FILE).get(by)
    if not isinstance(score, float | int):
        return None
    return score if by == "loss" else -score


def _read_metadata(folder: Path, name: str = _METADATA_FILE) -> dict[str, Any]:
    try:
        metadata = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _without_shared_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory, such as tied weights: each name gets a copy.
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
