"""Reading and writing of HiFi-GAN checkpoints in their authors' format.

A folder holds `config.json`, `g_00000100` with the generator after 100 steps and, for resuming, `do_00000100` with the
discriminators, the states of both optimizers, steps and epoch. The files are dictionaries of tensors written by
`torch.save`; they are read without running code that a pickle may hold.

Settings that `config.json` lacks, such as the weights of the losses, are those of `config/hifigan.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.bundle import Bundle, BundleError
from models.contracts import InitialState
from models.hifigan.network import Generator
from models.hifigan.other_layouts import as_original, flat
from models.hifigan.settings import HiFiGANSettings
from models.training.published_files import (
    in_published_order,
    named_weights,
    optimizer_payload,
    published_settings,
    read_optimizers,
    read_tensors,
    with_weight_norm,
)
from utils.files import atomic_file, write_atomically

CONFIG_FILE = "config.json"
_DEFAULTS = "config/hifigan.json"
_NAME = re.compile(r"g_(\d+)")  # others do not state the step

# Names of settings: ours to theirs.
_MODEL = {
    name: name
    for name in (
        "resblock",
        "upsample_rates",
        "upsample_kernel_sizes",
        "upsample_initial_channel",
        "resblock_kernel_sizes",
        "resblock_dilation_sizes",
    )
}
_PREPROCESS = {
    "sample_rate": "sampling_rate",
    "n_fft": "n_fft",
    "hop_size": "hop_size",
    "win_size": "win_size",
    "n_mel": "num_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
_TRAIN = {name: name for name in ("batch_size", "segment_size", "learning_rate", "lr_decay", "seed")}
_SEGMENT_SIZE = 8192
_DISCRIMINATORS = {"mpd_periods": [2, 3, 5, 7, 11], "discriminator_channel_divisor": 1}  # constants in their code

# Optimizers: their name to ours, and the modules in the order of the optimizer's parameters.
_OPTIMIZERS = {"optim_g": ("generator", ("generator",)), "optim_d": ("discriminator", ("msd", "mpd"))}
_MODULES = ("mpd", "msd")


def open_published(path: Path) -> Bundle:
    """Read a generator file with its settings.

    Where weight norm was removed it is added again, as |w| and w, which equals w within rounding.

    Raises:
        BundleError: a file is missing, damaged, holds code, or has unexpected contents.
        SettingsError: `config.json` has values that contradict each other or are not supported.
    """
    return _read(path)[0]


def published_training(path: Path) -> InitialState:
    """Read the generator and, from the `do_*` of the same step, all that resuming its training needs.

    Raises:
        BundleError: as for `open_published`.
        SettingsError: likewise.
    """
    bundle, is_original = _read(path)
    weights = {"generator": dict(bundle.weights)}
    if not is_original:
        return InitialState(path, weights)
    step = int(match[1]) if (match := _NAME.fullmatch(path.name)) else None
    remarks = _remarks(path.parent / CONFIG_FILE)
    training_file = _training_file(path)
    if training_file is None:
        others = sorted(other.name for other in path.parent.glob("do_*"))
        if others:
            remarks.append(f"{path.parent}: has no do_* for {path.name}, only {', '.join(others)}: none is used")
        return InitialState(path, weights, step=step, remarks=remarks)
    payload = read_tensors(training_file)
    if missing := [name for name in (*_MODULES, *_OPTIMIZERS, "steps", "epoch") if name not in payload]:
        raise BundleError(f"{training_file}: lacks {', '.join(missing)}; without the file they start from scratch")
    if not all(isinstance(payload[name], int) for name in ("steps", "epoch")):
        raise BundleError(f"{training_file}: steps and epoch are not whole numbers")
    for name in _MODULES:
        weights[name] = named_weights(payload[name], training_file)
    optimizers = read_optimizers(payload, weights, _OPTIMIZERS, training_file)
    rate = optimizers["generator"].options.get("lr")
    remarks.append(f"{training_file}: its learning rate was {rate}; train.learning_rate is used instead")
    return InitialState(path, weights, optimizers, payload["steps"], payload["epoch"], remarks)


def write_published(
    folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
) -> Sequence[str]:
    """Write a generator, its settings and, if known, the discriminators and the optimizers' states.

    Discriminators with other periods or fewer channels than the paper's are written with two additional keys in
    `config.json`, which the authors' code ignores.

    Args:
        folder: created if missing.
        bundle: the generator.
        training: the step, and the contents of `do_*`.
        overwrite: whether to replace existing files.

    Returns:
        The names of the files.

    Raises:
        BundleError: the weights do not fit, or a file exists already.
    """
    assert isinstance(bundle.settings, HiFiGANSettings)
    generator = Generator.from_bundle(bundle).state_dict()  # checks names and shapes
    step = (training.step if training is not None else None) or 0
    contents: dict[str, Any] = {}
    if training is not None and training.optimizers and all(name in training.modules for name in _MODULES):
        contents[f"do_{step:08d}"] = _training_payload(training)
    contents[f"g_{step:08d}"] = {"generator": in_published_order(generator)}
    config = json.dumps(_config(bundle.settings), indent=4) + "\n"
    _refuse_to_replace(folder, contents, config, overwrite)
    # The generator is written last: where there is one, the other files are complete.
    write_atomically(folder / CONFIG_FILE, config)
    for name, payload in contents.items():
        with atomic_file(folder / name) as partial:
            torch.save(payload, partial)
    return [*contents, CONFIG_FILE]


def _refuse_to_replace(folder: Path, names: Iterable[str], config: str, overwrite: bool) -> None:
    if overwrite:
        return
    existing = [name for name in names if (folder / name).exists()]
    path = folder / CONFIG_FILE
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != config:
        existing.append(f"{CONFIG_FILE} (another one)")
    if existing:
        raise BundleError(
            f"{folder}: already has {' and '.join(existing)}; replace with --overwrite, or choose another folder"
        )


# Files


def _read(path: Path) -> tuple[Bundle, bool]:
    """Read a generator; return also whether it is in the original layout."""
    payload = read_tensors(path)
    found = as_original(payload, path)
    if found is not None:
        settings = _settings_from(found.config, found.source)
        return Bundle(settings, with_weight_norm(found.weights), folder=path), False
    settings = _settings_from(_read_config(config := path.parent / CONFIG_FILE), config)
    if isinstance(of_module := payload.get("state_dict"), Mapping):  # Lightning's, as tts-framework writes it
        payload = {name: tensor for name, tensor in of_module.items() if str(name).startswith("generator.")}
    is_bare = any("conv_pre." in str(name) for name in payload)
    if "generator" not in payload and not is_bare:
        raise BundleError(f"{path}: holds no generator, but {', '.join(map(str, list(payload)[:5])) or 'nothing'}")
    weights = flat(named_weights(payload if is_bare else payload["generator"], path))
    return Bundle(settings, with_weight_norm(weights), folder=path), True


def _training_file(generator: Path) -> Path | None:
    path = generator.with_name(f"do_{generator.name.removeprefix('g_')}")
    return path if generator.name.startswith("g_") and path.is_file() else None


# Training state


def _training_payload(training: InitialState) -> dict[str, Any]:
    weights = {name: in_published_order(training.modules[name]) for name in ("generator", *_MODULES)}
    payload: dict[str, Any] = {name: weights[name] for name in _MODULES}
    for theirs, (ours, modules) in _OPTIMIZERS.items():
        payload[theirs] = optimizer_payload(training.optimizers[ours], weights, modules)
    return payload | {"steps": training.step, "epoch": training.epoch}


# Settings


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BundleError(f"{path}: is missing; an original HiFi-GAN needs it beside g_*") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path}: must hold an object {{...}}, found {type(config).__name__}")
    return config


def _settings_from(config: Mapping[str, Any], path: Path) -> HiFiGANSettings:
    """Return the settings that an original `config.json` describes, with `path` as their source in messages."""
    if missing := [theirs for theirs in (*_MODEL.values(), *_PREPROCESS.values()) if theirs not in config]:
        raise BundleError(f"{path}: lacks {', '.join(missing)}: is it the config.json of an original HiFi-GAN?")
    model = {ours: config[theirs] for ours, theirs in _MODEL.items()}
    model |= {name: config[name] for name in _DISCRIMINATORS if name in config}
    if isinstance(model["resblock"], int):
        model["resblock"] = str(model["resblock"])
    preprocess = {ours: config[theirs] for ours, theirs in _PREPROCESS.items()}
    preprocess["fmin"] = preprocess["fmin"] or 0
    train: dict[str, Any] = {ours: config[theirs] for ours, theirs in _TRAIN.items() if theirs in config}
    hop_size, segment_size = preprocess["hop_size"], train.get("segment_size", _SEGMENT_SIZE)
    if isinstance(hop_size, int) and hop_size > 0 and isinstance(segment_size, int):
        train["segment_size"] = -(-segment_size // hop_size) * hop_size  # as their code rounds it
    if "adam_b1" in config and "adam_b2" in config:
        train["adam_betas"] = [config["adam_b1"], config["adam_b2"]]
    return published_settings(HiFiGANSettings, _DEFAULTS, path, model=model, preprocess=preprocess, train=train)


def _remarks(config_file: Path) -> list[str]:
    config = _read_config(config_file)
    limit = config.get("fmax_for_loss")
    if limit is None or limit == config["sampling_rate"] / 2:
        return []
    return [f"{config_file}: its mel loss was limited to fmax_for_loss {limit} Hz; ours covers the full band"]


def _config(settings: HiFiGANSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    config = {theirs: values["model"][ours] for ours, theirs in _MODEL.items()}
    config |= {theirs: _plain(values["preprocess"][ours]) for ours, theirs in _PREPROCESS.items()}
    config |= {theirs: values["train"][ours] for ours, theirs in _TRAIN.items()}
    config["adam_b1"], config["adam_b2"] = values["train"]["adam_betas"]
    config |= {name: values["model"][name] for name, usual in _DISCRIMINATORS.items() if values["model"][name] != usual}
    # Also read by the authors' code.
    config |= {"fmax_for_loss": None, "num_freq": config["n_fft"] // 2 + 1, "num_gpus": 0, "num_workers": 4}
    config["dist_config"] = {"dist_backend": "nccl", "dist_url": "tcp://localhost:54321", "world_size": 1}
    return config


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
