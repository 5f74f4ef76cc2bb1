"""HiFi-GAN generators as NVIDIA, Amphion and others store them, brought into the original layout.

NVIDIA's DeepLearningExamples keep everything in one file, residual blocks nested in levels (older files flat, some with
a trailing axis of 1); `generator` counts, since their inference reads no other. Amphion keeps `args.json` at the root
of an experiment, and the generator's bare weights in `checkpoint/epoch-..._step-..._loss-.../pytorch_model.bin` (or
`model.safetensors`) or, as `generator_state_dict`, in a file beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from config.load import SettingsError, read_json5
from models.bundle import BundleError
from models.training.published_files import named_weights

ARGUMENTS_FILE = "args.json"
_NVIDIA = re.compile(r"hifigan_gen_checkpoint_\d+.*\.pt")
_STEP_OF_AMPHION = re.compile(r"epoch-(\d+)_step-(\d+)_.*")
_BARE = ("pytorch_model.bin", "model.safetensors")
_WRAPPED = "generator_state_dict"
_PREFIXES = ("module.", "_orig_mod.", "generator.")
_NESTED = re.compile(r"resblocks\.(\d+)\.(\d+)\.(convs\d*\..+)")
# Names of the original config.json: NVIDIA's train_setup, Amphion's preprocess.
_OF_NVIDIA = {
    "sampling_rate": "sampling_rate",
    "n_fft": "filter_length",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "num_mels": "num_mels",
    "fmin": "mel_fmin",
    "fmax": "mel_fmax",
    "segment_size": "segment_size",
}
_OF_AMPHION = {
    "sampling_rate": "sample_rate",
    "n_fft": "n_fft",
    "hop_size": "hop_size",
    "win_size": "win_size",
    "num_mels": "n_mel",
    "fmin": "fmin",
    "fmax": "fmax",
}
_NETWORK = (
    "resblock",
    "upsample_rates",
    "upsample_kernel_sizes",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)


@dataclass(frozen=True)
class Generator:
    """A generator in the terms of the original layout.

    Attributes:
        source: of the settings.
        config: by the names of the original `config.json`.
        weights: by the names of the original, with or without weight norm.
    """

    source: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def as_original(payload: Mapping[str, Any], path: Path) -> Generator | None:
    """Return the generator in a file of NVIDIA's or Amphion's; None for another file.

    Args:
        payload: what the file holds.
        path: of the file.

    Raises:
        BundleError: something is missing, or `args.json` is damaged or of another model.
    """
    if _NVIDIA.fullmatch(path.name) or "train_setup" in payload:
        if missing := [name for name in ("generator", "config", "train_setup") if not payload.get(name)]:
            raise BundleError(f"{path}: lacks {', '.join(missing)}, which NVIDIA's HiFi-GAN files have")
        network, setup = payload["config"], payload["train_setup"]
        config = {**_taken(network, _NETWORK, path), **_renamed(setup, _OF_NVIDIA, path)}
        return Generator(path, config, flat(named_weights(payload["generator"], path)))
    if not is_amphions(path, is_wrapped=_WRAPPED in payload):
        return None
    arguments_file = arguments_of(path)
    if arguments_file is None:
        raise BundleError(
            f"{path}: lacks {ARGUMENTS_FILE}, which Amphion writes at the root of an experiment; copy it beside"
        )
    try:
        arguments = read_json5(arguments_file)
    except SettingsError as error:
        raise BundleError(str(error)) from error
    network, preprocess = arguments.get("model", {}).get("hifigan"), arguments.get("preprocess", {})
    if not isinstance(network, dict):
        raise BundleError(f"{arguments_file}: describes no HiFi-GAN under model.hifigan")
    config = {**_taken(network, _NETWORK, arguments_file), **_renamed(preprocess, _OF_AMPHION, arguments_file)}
    return Generator(arguments_file, config, flat(named_weights(payload.get(_WRAPPED, payload), path)))


def is_amphions(file: Path, *, is_wrapped: bool) -> bool:
    """Return whether a file holds a model of Amphion's: by what it holds, or by its name and place."""
    is_placed = step_of_amphion(file) is not None or arguments_of(file) is not None
    return is_wrapped or (file.name in _BARE and is_placed)


def step_of_amphion(file: Path) -> tuple[int, int] | None:
    """Return epoch and step of a file in one of Amphion's checkpoints; None where it is in none."""
    match = _STEP_OF_AMPHION.fullmatch(file.parent.name)
    return (int(match[1]), int(match[2])) if match else None


def arguments_of(file: Path) -> Path | None:
    """Return the nearest `args.json` of Amphion, beside a file or up to three folders above."""
    return next((path for folder in file.parents[:4] if (path := folder / ARGUMENTS_FILE).is_file()), None)


def flat(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by their original names: no prefixes, nested blocks in one row, no trailing axis of 1."""
    plain = {}
    for name, tensor in weights.items():
        stripped = name
        while any(stripped.startswith(prefix) for prefix in _PREFIXES):
            stripped = stripped.partition(".")[2]
        plain[stripped] = tensor
    nested = {match[0]: match for name in plain if (match := _NESTED.fullmatch(name))}
    n_kernels = 1 + max((int(match[2]) for match in nested.values()), default=0)
    renamed = {}
    for name, tensor in plain.items():
        if match := nested.get(name):
            name = f"resblocks.{int(match[1]) * n_kernels + int(match[2])}.{match[3]}"
        is_weight = name.endswith((".weight", ".weight_g", ".weight_v"))
        if is_weight and tensor.ndim == 4 and tensor.shape[3] == 1:
            tensor = tensor.squeeze(3)
        renamed[name] = tensor
    return renamed


def _taken(found: Mapping[str, Any], names: tuple[str, ...], source: Path) -> dict[str, Any]:
    return _renamed(found, {name: name for name in names}, source)


def _renamed(found: Mapping[str, Any], names: Mapping[str, str], source: Path) -> dict[str, Any]:
    """Return values by the original's names.

    Raises:
        BundleError: one is missing.
    """
    if missing := [theirs for theirs in names.values() if theirs not in found]:
        raise BundleError(f"{source}: lacks {', '.join(missing)}")
    return {original: found[theirs] for original, theirs in names.items()}
