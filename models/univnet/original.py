"""Reading and writing of UnivNet checkpoints in the layout of maum-ai's implementation.

One file holds both networks (`model_g`, `model_d`), both optimizers, step, epoch, and the settings as YAML (`hp_str`).
voicesmith's UnivNet checkpoints are read, too: `generator`, `discriminator` and no settings; theirs are constants of
its code. So are tts-framework's, for whose generator the names in `state_dict` begin with `univnet.`. Files are read
without running code that a pickle may hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.contracts import InitialState
from models.training.published_files import (
    in_published_order,
    named_weights,
    optimizer_payload,
    published_settings,
    read_optimizers,
    read_tensors,
    with_weight_norm,
    write_tensors,
)
from models.univnet.network import UnivNet
from models.univnet.settings import UnivNetSettings

_DEFAULTS = "config/univnet_c32.json"
# Our discriminators by the names that theirs have as parts of one module, in its order.
_DISCRIMINATORS = {"mrd": "MRD.", "mpd": "MPD."}
_OPTIMIZERS = {"optim_g": ("generator", ("generator",)), "optim_d": ("discriminator", tuple(_DISCRIMINATORS))}

# Names of settings: ours to the section and name of theirs.
_PREPROCESS = {
    "sample_rate": "sampling_rate",
    "n_fft": "filter_length",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "n_mel": "n_mel_channels",
    "fmin": "mel_fmin",
    "fmax": "mel_fmax",
}
_VOICESMITH = {"sample_rate": 22050, "fmin": 20, "fmax": 11025}
_MODEL = {
    "dilations": ("gen", "dilations"),
    "leaky_slope": ("gen", "lReLU_slope"),
    "mpd_periods": ("mpd", "periods"),
    "discriminator_slope": ("mpd", "lReLU_slope"),
    "mrd_slope": ("mrd", "lReLU_slope"),
}
# Constants of their code and settings that ours cannot change.
_CONSTANTS: dict[str, dict[str, Any]] = {
    "data": {"train_dir": "", "train_meta": "", "val_dir": "", "val_meta": ""},
    "mpd": {"kernel_size": 5, "stride": 3, "use_spectral_norm": False},
    "mrd": {
        "resolutions": "[(1024, 120, 600), (2048, 240, 1200), (512, 50, 240)]",
        "use_spectral_norm": False,
    },
    "dist_config": {"dist_backend": "nccl", "dist_url": "tcp://localhost:54321", "world_size": 1},
    "log": {
        "summary_interval": 1,
        "validation_interval": 1,
        "save_interval": 1,
        "num_audio": 5,
        "chkpt_dir": "chkpt",
        "log_dir": "logs",
    },
}


def open_published(path: Path) -> Bundle:
    """Read the generator of a file, with its settings.

    Raises:
        BundleError: the file is damaged, holds code, or has unexpected contents.
        SettingsError: its settings contradict each other or are not supported.
    """
    return _bundle(read_tensors(path), path)


def published_training(path: Path) -> InitialState:
    """Read both networks and, where they have learned, the states of their optimizers.

    Raises:
        BundleError: as for `open_published`.
        SettingsError: likewise.
    """
    payload = read_tensors(path)
    weights = {"generator": dict(_bundle(payload, path).weights), **_discriminators(payload, path)}
    learned = {
        theirs: (ours, modules)
        for theirs, (ours, modules) in _OPTIMIZERS.items()
        if set(modules) <= weights.keys() and _has_learned(payload.get(theirs))
    }
    optimizers = read_optimizers(payload, weights, learned, path)
    step, epoch = (payload[name] if isinstance(payload.get(name), int) else None for name in ("step", "epoch"))
    return InitialState(path, weights, optimizers, step, epoch)


def write_published(
    folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
) -> Sequence[str]:
    """Write a generator with its settings and, if known, the discriminators and the optimizers' states.

    Args:
        folder: created if missing.
        bundle: the generator.
        training: what else the file holds.
        overwrite: whether to replace an existing file.

    Returns:
        The name of the file.

    Raises:
        BundleError: the weights do not fit, or the file exists already.
    """
    settings = bundle.settings
    assert isinstance(settings, UnivNetSettings)
    weights = {"generator": in_published_order(UnivNet.from_bundle(bundle).state_dict())}  # checks names and shapes
    payload: dict[str, Any] = {"model_g": weights["generator"]}
    if training is not None and _DISCRIMINATORS.keys() <= training.modules.keys():
        weights |= {name: in_published_order(training.modules[name]) for name in _DISCRIMINATORS}
        payload["model_d"] = {
            f"{prefix}{name}": tensor
            for ours, prefix in _DISCRIMINATORS.items()
            for name, tensor in weights[ours].items()
        }
        for theirs, (ours, modules) in _OPTIMIZERS.items():
            if ours in training.optimizers:
                payload[theirs] = optimizer_payload(training.optimizers[ours], weights, modules)
    payload["step"], payload["epoch"] = (training.step or 0, training.epoch or 0) if training is not None else (0, 0)
    payload |= {"hp_str": yaml.safe_dump(_hp(settings), sort_keys=False), "githash": ""}
    path = folder / f"univnet_c{settings.model.channels}_{payload['epoch']:04d}.pt"
    write_tensors(path, payload, overwrite=overwrite)
    return [path.name]


# Weights


def _bundle(payload: Mapping[str, Any], path: Path) -> Bundle:
    found = next((payload[name] for name in ("model_g", "generator") if name in payload), None)
    if found is None and isinstance(of_module := payload.get("state_dict"), Mapping):
        prefix = "univnet."
        found = {name.removeprefix(prefix): of_module[name] for name in of_module if name.startswith(prefix)}
    if not found:
        raise BundleError(f"{path}: holds no UnivNet, but {', '.join(map(str, list(payload)[:5])) or 'nothing'}")
    weights = with_weight_norm(named_weights(found, path))
    return Bundle(_settings(payload, weights, path), weights, folder=path)


def _discriminators(payload: Mapping[str, Any], path: Path) -> dict[str, dict[str, Tensor]]:
    found: Any = next((payload[name] for name in ("model_d", "discriminator") if name in payload), {})
    named = named_weights(found, path)
    return {
        ours: {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}
        for ours, prefix in _DISCRIMINATORS.items()
        if any(name.startswith(prefix) for name in named)
    }


def _has_learned(state: Any) -> bool:
    return isinstance(state, Mapping) and bool(state.get("state"))


# Settings


def _settings(payload: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> UnivNetSettings:
    hp = _read_hp(payload, path)
    audio = hp.get("audio", {})
    try:
        first, predictor = weights["conv_pre.weight_v"], weights["res_stack.0.kernel_predictor.input_conv.0.weight_v"]
        convolution = weights["res_stack.0.kernel_predictor.kernel_conv.weight_v"]
        kernels = [tensor.shape[2] for name, tensor in weights.items() if name.endswith("convt_pre.1.weight_v")]
    except (KeyError, IndexError) as error:
        raise BundleError(f"{path}: its generator is no UnivNet, or a part of it is missing: {error}") from None
    model: dict[str, Any] = {
        "channels": first.shape[0],
        "noise_size": first.shape[1],
        "strides": [kernel // 2 for kernel in kernels],
        "predictor_size": predictor.shape[0],
        "predictor_kernel_size": convolution.shape[2],
    }
    model |= {ours: hp[part][name] for ours, (part, name) in _MODEL.items() if name in hp.get(part, {})}
    discriminators = _discriminators(payload, path)
    if {"mpd", "mrd"} <= discriminators.keys():
        mpd, mrd = discriminators["mpd"], discriminators["mrd"]
        model["mpd_channels"] = [
            len(tensor) for name, tensor in mpd.items() if re.fullmatch(r"discriminators\.0\.convs\.\d\.weight_v", name)
        ]
        model["mrd_channels"] = next(len(tensor) for name, tensor in mrd.items() if name.endswith(".weight_v"))
    preprocess: dict[str, Any] = {ours: audio[theirs] for ours, theirs in _PREPROCESS.items() if theirs in audio}
    preprocess = preprocess or {**_VOICESMITH, "n_mel": predictor.shape[1]}
    return published_settings(UnivNetSettings, _DEFAULTS, path, model=model, preprocess=preprocess, train=_train(hp))


def _read_hp(payload: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    try:
        hp = yaml.safe_load(payload.get("hp_str", ""))
    except (yaml.YAMLError, AttributeError) as error:
        raise BundleError(f"{path}: its settings (hp_str) are no YAML: {error}") from error
    if hp is not None and not isinstance(hp, dict):
        raise BundleError(f"{path}: its settings (hp_str) hold a {type(hp).__name__}, not sections")
    return {name: section for name, section in (hp or {}).items() if isinstance(section, dict)}


def _train(hp: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    theirs = hp.get("train", {})
    adam = theirs.get("adam", {})
    train = {name: theirs[name] for name in ("batch_size", "seed") if name in theirs}
    if "segment_length" in hp.get("audio", {}):
        train["segment_size"] = hp["audio"]["segment_length"]
    if {"lr", "beta1", "beta2"} <= adam.keys():
        train |= {"learning_rate": adam["lr"], "adam_betas": [adam["beta1"], adam["beta2"]]}
    if "stft_lamb" in theirs:
        train["stft_loss_weight"] = train["adversarial_stft_loss_weight"] = theirs["stft_lamb"]
    return train


def _hp(settings: UnivNetSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    model, train = values["model"], values["train"]
    hp: dict[str, Any] = {name: dict(section) for name, section in _CONSTANTS.items()}
    for ours, (part, name) in _MODEL.items():
        hp.setdefault(part, {})[name] = model[ours]
    hp["gen"] |= {
        "noise_dim": model["noise_size"],
        "channel_size": model["channels"],
        "strides": model["strides"],
        "kpnet_conv_size": model["predictor_kernel_size"],
    }
    hp["audio"] = {theirs: values["preprocess"][ours] for ours, theirs in _PREPROCESS.items()}
    hp["audio"] |= {"segment_length": train["segment_size"], "pad_short": 2000}
    beta1, beta2 = train["adam_betas"]
    hp["train"] = {
        "num_workers": 8,
        "batch_size": train["batch_size"],
        "optimizer": "adam",
        "seed": train["seed"],
        "adam": {"lr": train["learning_rate"], "beta1": beta1, "beta2": beta2},
        "stft_lamb": train["adversarial_stft_loss_weight"],
        "spk_balanced": False,
    }
    return hp
