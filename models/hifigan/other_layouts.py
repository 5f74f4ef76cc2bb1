"""HiFi-GAN generators as NVIDIA, Amphion and others store them, brought into the original layout.

NVIDIA's DeepLearningExamples keep everything in one file, residual blocks nested in levels (older files flat, some with
a trailing axis of 1); `generator` counts, since their inference reads no other. Amphion keeps `args.json` at the root
of an experiment, and the generator's bare weights in `checkpoint/epoch-..._step-..._loss-.../pytorch_model.bin` or, as
`generator_state_dict`, in a file beside it.
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
from models.training.published_files import mentions, named_weights, read_tensors

_ARGUMENTS = "args.json"
_NVIDIA = re.compile(r"hifigan_gen_checkpoint_(\d+)\.pt")
_AMPHION = re.compile(r"epoch-(\d+)_step-(\d+)_loss-.*")
_BARE = "pytorch_model.bin"
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
        file: with the weights.
        source: of the settings.
        config: by the names of the original `config.json`.
        weights: by the names of the original, with or without weight norm.
    """

    file: Path
    source: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def is_other_layout(path: Path) -> bool:
    """Return whether a file or folder is NVIDIA's or Amphion's, by names alone or by what a torch file mentions."""
    return _nvidia_file(path) is not None or _amphion_file(path) is not None


def open_other_layout(path: Path) -> Generator:
    """Read a generator for which `is_other_layout` holds.

    Raises:
        BundleError: a file is missing, damaged, or has unexpected contents.
    """
    file = _nvidia_file(path)
    if file is not None:
        payload = read_tensors(file)
        if missing := [name for name in ("generator", "config", "train_setup") if not payload.get(name)]:
            raise BundleError(f"{file}: lacks {', '.join(missing)}, which NVIDIA's HiFi-GAN files have")
        network, setup = payload["config"], payload["train_setup"]
        config = {**_taken(network, _NETWORK, file), **_renamed(setup, _OF_NVIDIA, file)}
        return Generator(file, file, config, flat(named_weights(payload["generator"], file)))
    file = _amphion_file(path)
    assert file is not None, "is_other_layout holds"
    arguments_file = _arguments_of(file)
    if arguments_file is None:
        raise BundleError(
            f"{file}: lacks {_ARGUMENTS}, which Amphion writes at the root of an experiment; copy it beside"
        )
    try:
        arguments = read_json5(arguments_file)
    except SettingsError as error:
        raise BundleError(str(error)) from error
    network, preprocess = arguments.get("model", {}).get("hifigan"), arguments.get("preprocess", {})
    if not isinstance(network, dict):
        raise BundleError(f"{arguments_file}: describes no HiFi-GAN under model.hifigan")
    config = {**_taken(network, _NETWORK, arguments_file), **_renamed(preprocess, _OF_AMPHION, arguments_file)}
    payload = read_tensors(file)
    return Generator(file, arguments_file, config, flat(named_weights(payload.get(_WRAPPED, payload), file)))


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


def _nvidia_file(path: Path) -> Path | None:
    if path.is_dir():
        found = {int(match[1]): each for each in path.iterdir() if (match := _NVIDIA.fullmatch(each.name))}
        return found[max(found)] if found else None
    if not path.is_file():
        return None
    is_it = bool(_NVIDIA.fullmatch(path.name)) or (
        path.suffix == ".pt" and mentions(path, "generator", "train_setup", "upsample_rates")
    )
    return path if is_it else None


def _amphion_file(path: Path) -> Path | None:
    """Return the file of the greatest epoch of an experiment, its folder of checkpoints, or a checkpoint."""
    if path.is_file():
        is_it = path.name == _BARE or (path.suffix == ".pt" and mentions(path, _WRAPPED))
        return path if is_it and (path.name != _BARE or _arguments_of(path)) else None
    if not path.is_dir():
        return None
    if (path / _BARE).is_file():
        return path / _BARE if _arguments_of(path / _BARE) else None
    for folder in (path, path / "checkpoint", path / "checkpoints"):
        epochs = {
            (int(match[1]), int(match[2])): each / _BARE
            for each in (folder.iterdir() if folder.is_dir() else ())
            if (match := _AMPHION.fullmatch(each.name)) and (each / _BARE).is_file()
        }
        if epochs and _arguments_of(newest := epochs[max(epochs)]):
            return newest
    if (path / _ARGUMENTS).is_file():
        wrapped = [each for each in sorted(path.glob("*.pt")) if mentions(each, _WRAPPED)]
        return wrapped[-1] if wrapped else None
    return None


def _arguments_of(file: Path) -> Path | None:
    """Return the nearest `args.json`, beside a file or up to three folders above."""
    return next((path for folder in file.parents[:4] if (path := folder / _ARGUMENTS).is_file()), None)


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
