"""Registry of models: from a `model_type` in the settings to the code behind it."""

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


@dataclass(frozen=True, kw_only=True)
class Model:
    """An entry of the registry; nothing of the model's code is imported before it is needed.

    Attributes:
        package: the folder under `models/`, with `settings.py`, `network.py` and what is named below.
        kind: an acoustic model makes mels from text, a vocoder waveforms from mels, an aligner finds a text's phones in
            mels; `models.contracts` says what each offers.
        settings: the settings class in `settings.py`.
        network: the network class in `network.py`, which has `from_bundle`.
        config: its defaults, from the repository root.
        sizes: the defaults of its other sizes.
        features: names of the feature store's features that its training needs.
        controls: of an acoustic model, the `Controls` that it applies; its settings may take some away.
        task: the task class in `task.py`, which has `from_settings`; empty for a model that can only be used.
        reference: the class in `reference.py` that computes the same, more plainly and slowly, to compare speed with;
            empty for none.
        published: the module that reads and writes its authors' checkpoints (`PublishedLayout`); empty for none.
        published_files: the files of such a checkpoint, for help texts.
    """

    package: str
    kind: Kind
    settings: str
    network: str
    config: str
    features: tuple[str, ...]
    sizes: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()
    task: str = ""
    reference: str = ""
    published: str = ""
    published_files: str = ""


MODELS = {
    "Aligner": Model(
        package="models.aligner",
        kind="aligner",
        settings="AlignerSettings",
        network="Aligner",
        config="config/aligner.json",
        features=("mel", "phonemes"),
        task="AlignerTask",
    ),
    "DelightfulTTS": Model(
        package="models.delightfultts",
        kind="acoustic",
        settings="DelightfulTTSSettings",
        network="DelightfulTTS",
        config="config/delightfultts.json",
        sizes=("config/delightfultts_small.json", "config/delightfultts_8gb.json"),
        features=("mel", "f0", "energy", "durations", "phonemes", "waveform"),
        controls=frozenset({"duration", "pitch", "energy"}),
        task="DelightfulTTSTask",
    ),
    "FastPitch": Model(
        package="models.fastpitch",
        kind="acoustic",
        settings="FastPitchSettings",
        network="FastPitch",
        config="config/fastpitch.json",
        sizes=("config/fastpitch_small.json", "config/fastpitch_8gb.json"),
        features=("mel", "f0", "energy", "durations", "phonemes", "waveform"),
        controls=frozenset({"duration", "pitch", "energy"}),
        task="FastPitchTask",
        published="models.fastpitch.original",
        published_files="*FastPitch*.pt",
    ),
    "FastSpeech2": Model(
        package="models.fastspeech2",
        kind="acoustic",
        settings="FastSpeech2Settings",
        network="FastSpeech2",
        config="config/fastspeech2.json",
        sizes=("config/fastspeech2_small.json", "config/fastspeech2_8gb.json"),
        features=("mel", "f0", "energy", "durations", "phonemes", "waveform"),
        controls=frozenset({"duration", "pitch", "energy"}),
        task="FastSpeech2Task",
        reference="PlainFastSpeech2",
    ),
    "HiFiGAN": Model(
        package="models.hifigan",
        kind="vocoder",
        settings="HiFiGANSettings",
        network="Generator",
        config="config/hifigan_v1.json",
        sizes=("config/hifigan_v2.json", "config/hifigan_v3.json", "config/hifigan_v1_8gb.json"),
        features=("mel", "waveform"),
        task="HiFiGANTask",
        reference="PlainGenerator",
        published="models.hifigan.original",
        published_files="g_* and config.json",
    ),
    "Lyre": Model(
        package="models.lyre",
        kind="vocoder",
        settings="LyreSettings",
        network="Lyre",
        config="config/lyre.json",
        features=("mel", "f0", "waveform"),
        task="LyreTask",
    ),
    "UnivNet": Model(
        package="models.univnet",
        kind="vocoder",
        settings="UnivNetSettings",
        network="UnivNet",
        config="config/univnet_c32.json",
        sizes=("config/univnet_c16.json", "config/univnet_small.json", "config/univnet_c32_8gb.json"),
        features=("mel", "waveform"),
        task="UnivNetTask",
        reference="PlainUnivNet",
        published="models.univnet.original",
        published_files="univnet_*.pt",
    ),
    "WaveGlow": Model(
        package="models.waveglow",
        kind="vocoder",
        settings="WaveGlowSettings",
        network="WaveGlow",
        config="config/waveglow_512.json",
        sizes=("config/waveglow_256.json", "config/waveglow_8gb.json"),
        features=("mel", "waveform"),
        task="WaveGlowTask",
        published="models.waveglow.original",
        published_files="waveglow_*.pt",
    ),
}


class UnknownModelError(RecitalError):
    """Unknown `model_type`."""


class NoTrainingError(RecitalError):
    """A model that cannot be trained, or not in the way that the settings ask for."""


def kind_of(model_type: str) -> Kind:
    """Return the kind of a model, without importing anything of it.

    Raises:
        UnknownModelError: there is no such model; the known ones are listed.
    """
    return _entry(model_type).kind


def features_of(model_type: str) -> tuple[str, ...]:
    """Return the features that training a model needs, without importing anything of it.

    Raises:
        UnknownModelError: there is no such model; the known ones are listed.
    """
    return _entry(model_type).features


def features_for(settings: ExperimentSettings) -> tuple[str, ...]:
    """Return the features that stage 1 makes for an experiment: without durations where its model learns them."""
    features = features_of(settings.model_type)
    learned = getattr(settings.model, "learns_durations", False)
    return tuple(name for name in features if not (learned and name == "durations"))


def settings_class(model_type: str) -> type[ExperimentSettings]:
    """Return the class that checks the settings of a model, without importing any network.

    Raises:
        UnknownModelError: there is no such model; the known ones are listed.
    """
    schema: type[ExperimentSettings] = _load(model_type, "settings")
    return schema


def reference_of(model_type: str) -> Any:
    """Return the class of a model's reference; None where it has none."""
    return _load(model_type, "reference") if _entry(model_type).reference else None


def all_configs() -> list[str]:
    """Return the defaults of every size of every model, from the repository root."""
    return [config for model in MODELS.values() for config in (model.config, *model.sizes)]


def make_task(settings: ExperimentSettings) -> Task:
    """Make the task of an experiment, from resolved settings and what stage 1 left in `processed_dir`.

    Raises:
        NoTrainingError: the model cannot be trained, or not with `train.gradient_checkpointing`.
    """
    if not _entry(settings.model_type).task:
        raise NoTrainingError(
            f"{settings.model_type}: can be used but not trained; these can: "
            f"{', '.join(name for name, model in MODELS.items() if model.task)}"
        )
    task: Task = _load(settings.model_type, "task").from_settings(settings)
    if settings.train.gradient_checkpointing:
        from models.layers.checkpointed_block import checkpoint_blocks

        if not checkpoint_blocks(task.modules.values()):
            raise NoTrainingError(
                f"train.gradient_checkpointing: {settings.model_type} has no blocks to compute again; leave it at false"
            )
    return task


def open_network(bundle: Bundle) -> nn.Module:
    """Return the network of a bundle, with its weights, ready to be used."""
    network: nn.Module = _load(bundle.settings.model_type, "network").from_bundle(bundle)
    return network


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
