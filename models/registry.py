"""Which models there are: from a `model_type` in the settings to the code that learns and speaks."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from utils.errors import RecitalError
from utils.suggestions import did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

    from config.schema import ExperimentSettings
    from models.bundle import Bundle
    from models.contracts import AcousticModel, AlignerNetwork, VocoderNetwork
    from utils.task import Task


Kind = Literal["acoustic", "vocoder", "aligner"]


@dataclass(frozen=True)
class Model:
    """Where a model's code lives; nothing of it is imported before it is asked for.

    Attributes:
        package: the folder under `models/`, with `settings.py`, `network.py`, `task.py` and `benchmark.py` in it.
        settings: the settings class in `settings.py`.
        network: the network class in `network.py`, which has `from_bundle`.
        task: the task class in `task.py`, which has `from_settings`.
        config: its defaults, from the repository root.
        kind: an acoustic model makes a mel from text, a vocoder a waveform from a mel, an aligner finds a text's phones
            in a mel.
        published: the module that knows the layout of its authors' checkpoints (`PublishedLayout`); empty for none.
    """

    package: str
    settings: str
    network: str
    task: str
    config: str
    kind: Kind = "acoustic"
    published: str = ""


MODELS = {
    "Aligner": Model("models.aligner", "AlignerSettings", "Aligner", "AlignerTask", "config/aligner.json", "aligner"),
    "FastSpeech2": Model(
        "models.fastspeech2", "FastSpeech2Settings", "FastSpeech2", "FastSpeech2Task", "config/fastspeech2.json"
    ),
    "HiFiGAN": Model(
        "models.hifigan",
        "HiFiGANSettings",
        "Generator",
        "HiFiGANTask",
        "config/hifigan_v1.json",
        kind="vocoder",
        published="models.hifigan.original",
    ),
}


class UnknownModelError(RecitalError):
    """A `model_type` that no model answers to."""


def kind_of(model_type: str) -> Kind:
    """Say what a model is for, without importing anything of it.

    Raises:
        UnknownModelError: there is no such model; the known ones are listed.
    """
    return _entry(model_type).kind


def settings_class(model_type: str) -> type[ExperimentSettings]:
    """Give the class that checks the settings of a model, without importing any network.

    Raises:
        UnknownModelError: there is no such model; the known ones are listed.
    """
    return _load(model_type, "settings")


def benchmark_of(model_type: str) -> Any:
    """Give the module that measures a model: `measure(config, overrides, plan)` gives its tables."""
    settings_class(model_type)  # refuses an unknown one
    return importlib.import_module(f"{MODELS[model_type].package}.benchmark")


def make_task(settings: ExperimentSettings) -> Task:
    """Make what the trainer drives, from resolved settings and what stage 1 left in `processed_dir`."""
    return _load(settings.model_type, "task").from_settings(settings)


def open_network(bundle: Bundle) -> nn.Module:
    """Make the network of a bundle, with its weights, ready to be used."""
    return _load(bundle.settings.model_type, "network").from_bundle(bundle)


def open_acoustic(bundle: Bundle, device: torch.device | str = "cpu") -> AcousticModel:
    """Return an acoustic model's network for inference on a device."""
    return cast("AcousticModel", _for_inference(bundle, "acoustic", device))


def open_vocoder_network(bundle: Bundle, device: torch.device | str = "cpu") -> VocoderNetwork:
    """Return a vocoder's network for inference on a device."""
    return cast("VocoderNetwork", _for_inference(bundle, "vocoder", device))


def open_aligner(bundle: Bundle, device: torch.device | str = "cpu") -> AlignerNetwork:
    """Return an aligner's network for inference on a device."""
    return cast("AlignerNetwork", _for_inference(bundle, "aligner", device))


def _for_inference(bundle: Bundle, kind: Kind, device: torch.device | str) -> nn.Module:
    assert kind_of(bundle.settings.model_type) == kind, "callers refuse a bundle of another kind in their own words"
    return open_network(bundle).to(device).eval().requires_grad_(False)


def _entry(model_type: str) -> Model:
    if model_type not in MODELS:
        meant = did_you_mean(model_type, MODELS)
        raise UnknownModelError(f'there is no model "{model_type}"; known: {", ".join(MODELS)}{meant}')
    return MODELS[model_type]


def _load(model_type: str, part: str) -> Any:
    model = _entry(model_type)
    return getattr(importlib.import_module(f"{model.package}.{part}"), getattr(model, part))
