"""Reading and writing of FastPitch checkpoints in NVIDIA's layout, versions 1.0 and 1.1.

A file holds `state_dict`, `config` (the network's arguments) and, of 1.1, `train_setup` (all flags). It is a dictionary
of tensors and numbers written by `torch.save`, and is read without running code that a pickle may hold. Settings that
it lacks are those of `config/fastpitch.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.contracts import InitialState
from models.fastpitch.network import FastPitch
from models.fastpitch.settings import FastPitchSettings
from models.training.published_files import published_settings, read_tensors, write_tensors
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.mixed_symbols import MIXED_INVENTORY
from processors.text.symbols import SymbolTable

_DEFAULTS = "config/fastpitch.json"
# LJSpeech's, which their inference uses where a checkpoint has a deviation of 0.
_USUAL_PITCH = (218.14, 67.24)
_HIGHEST_HZ = 5000.0

# Names of settings: ours to theirs, several where they could differ and may not.
_BOTH = ("in_fft", "out_fft")
_PREDICTORS = ("dur_predictor", "pitch_predictor", "energy_predictor")
_MODEL: dict[str, tuple[str, ...]] = {
    "hidden_size": ("symbols_embedding_dim", *(f"{stack}_output_size" for stack in _BOTH)),
    "n_heads": tuple(f"{stack}_n_heads" for stack in _BOTH),
    "head_size": tuple(f"{stack}_d_head" for stack in _BOTH),
    "encoder_layers": ("in_fft_n_layers",),
    "decoder_layers": ("out_fft_n_layers",),
    "conv_filter_size": tuple(f"{stack}_conv1d_filter_size" for stack in _BOTH),
    "conv_kernel_size": tuple(f"{stack}_conv1d_kernel_size" for stack in _BOTH),
    "predictor_filter_size": tuple(f"{name}_filter_size" for name in _PREDICTORS),
    "predictor_kernel_size": tuple(f"{name}_kernel_size" for name in _PREDICTORS),
    "embedding_kernel_size": ("pitch_embedding_kernel_size", "energy_embedding_kernel_size"),
}
_DROPOUTS: dict[str, tuple[str, ...]] = {
    "dropout": tuple(f"p_{stack}_{part}" for stack in _BOTH for part in ("dropout", "dropatt")),
    "predictor_dropout": tuple(f"p_{name}_dropout" for name in _PREDICTORS),
}
_PREPROCESS = {
    "sample_rate": "sampling_rate",
    "n_fft": "filter_length",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "fmin": "mel_fmin",
    "fmax": "mel_fmax",
}
_PREDICTOR_LAYERS = 2

# Parts of parameters' names: theirs for ours, in the order in which they are put in place.
_NAMES = (
    ("encoder.word_emb", "phoneme_embedding"),
    ("speaker_emb", "speaker_embedding"),
    (".layers.", ".blocks."),
    (".dec_attn.qkv_net", ".attention.to_queries_keys_values"),
    (".dec_attn.o_net", ".attention.to_output"),
    (".dec_attn.layer_norm", ".attention_norm"),
    (".pos_ff.CoreNet.0", ".feed_forward.widen"),
    (".pos_ff.CoreNet.2", ".feed_forward.narrow"),
    (".pos_ff.layer_norm", ".feed_forward_norm"),
    ("_emb.", "_embedding."),
    ("proj.", "to_mel."),
)
_UNUSED = re.compile(r"(en|de)coder\.pos_emb\.inv_freq|pitch_(mean|std)|attention\.attn_proj\.\w+")
# Linear layers of theirs that are convolutions of ours.
_LINEAR = re.compile(r".*(to_queries_keys_values|to_output|to_value|to_mel)\.weight")


def open_published(path: Path) -> Bundle:
    """Read a checkpoint with its front end and pitch statistics.

    Raises:
        BundleError: the file is missing, damaged, holds code, or has unexpected contents.
        SettingsError: it has values that are not supported.
    """
    payload = read_tensors(path)
    theirs, config = _state_dict(payload, path), _dictionary(payload, "config", path)
    settings = _settings(config, _dictionary(payload, "train_setup", path, optional=True), theirs, path)
    n_speakers = len(theirs["speaker_emb.weight"]) if "speaker_emb.weight" in theirs else 1
    speakers = {f"speaker{row}": row for row in range(n_speakers)}
    mean, std = (float(theirs[f"pitch_{part}"]) if f"pitch_{part}" in theirs else 0.0 for part in ("mean", "std"))
    if std == 0:
        mean, std = _USUAL_PITCH
    pitch = Spread(mean, std, low=0.0, high=_HIGHEST_HZ, n_frames=0)
    of_speakers = dict.fromkeys(speakers, SpeakerStatistics(pitch, Spread(0.0, 1.0, 0.0, 1.0, 0), "hz"))
    symbols = SymbolTable(MIXED_INVENTORY)
    network = FastPitch.untrained(settings, symbols, speakers, of_speakers)
    bundle = Bundle(
        settings,
        _our_weights(theirs, network),
        symbols,
        of_speakers,
        speakers,
        folder=path,
    )
    bundle.load_into(network)  # checks names and shapes
    return bundle


def published_training(path: Path) -> InitialState:
    """Read the weights; their optimizer's state is another's, and stays behind.

    Raises:
        BundleError: as for `open_published`.
    """
    bundle = open_published(path)
    assert bundle.symbols is not None
    payload = read_tensors(bundle.folder)
    step, epoch = (value if isinstance(value := payload.get(name), int) else None for name in ("iteration", "epoch"))
    names = {"symbol": bundle.symbols.symbols, "speaker": tuple(bundle.speakers)}
    return InitialState(bundle.folder, {"network": bundle.weights}, step=step, epoch=epoch, names=names)  # type: ignore[arg-type]


def write_published(
    folder: Path, bundle: Bundle, training: InitialState | None, overwrite: bool = False
) -> Sequence[str]:
    """Write a checkpoint of version 1.1.

    Raises:
        BundleError: the voice has another front end or normalisation of pitch than theirs, the weights do not fit, or
            the file exists already.
    """
    settings = bundle.settings
    assert isinstance(settings, FastPitchSettings)
    needed = {"phone_extractor": "mixed", "pitch_scale": "hz", "pitch_statistics": "corpus"}
    values = settings.preprocess.model_dump()
    if differing := [
        f'preprocess.{name} is "{values[name]}"' for name, value in needed.items() if values[name] != value
    ]:
        raise BundleError(
            f"{bundle.folder}: {' and '.join(differing)}; NVIDIA's FastPitch needs {', '.join(needed.values())}"
        )
    if settings.model.speaker_conditioning == "encoder" or settings.model.decoder_noise_size:
        raise BundleError(f"{bundle.folder}: NVIDIA's FastPitch has neither speaker embeddings nor decoder noise")
    if (settings.model.encoder_block, settings.model.decoder_block) != ("transformer", "transformer"):
        raise BundleError(f"{bundle.folder}: NVIDIA's FastPitch has Transformer blocks only")
    network = FastPitch.from_bundle(bundle).state_dict()
    step, epoch = (training.step or 0, training.epoch or 0) if training is not None else (0, 0)
    name = f"FastPitch_checkpoint_{epoch}.pt"
    config = _config(settings, len(bundle.speakers))
    [pitch, *_] = (each.pitch for each in bundle.statistics.values())
    payload = {
        "epoch": epoch,
        "iteration": step,
        "config": config,
        "train_setup": _train_setup(settings, config, pitch),
        "state_dict": _state_dict_of(network, pitch),
        "optimizer": {"state": {}, "param_groups": []},
    }
    write_tensors(folder / name, payload, overwrite=overwrite)
    return [name]


# Files


def _dictionary(payload: Mapping[str, Any], key: str, path: Path, optional: bool = False) -> dict[str, Any]:
    found = payload.get(key, {} if optional else None)
    if not isinstance(found, dict):
        raise BundleError(f"{path}: holds no {key}; it is not a FastPitch checkpoint of NVIDIA's, or a part of one")
    return found


def _state_dict(payload: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    found = _dictionary(payload, "state_dict", path)
    weights = {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
    if not all(isinstance(tensor, Tensor) for tensor in weights.values()) or "encoder.word_emb.weight" not in weights:
        raise BundleError(f"{path}: its state_dict is not that of a FastPitch")
    return {name: tensor.float() for name, tensor in weights.items()}


# Weights


def _our_weights(theirs: Mapping[str, Tensor], network: FastPitch) -> dict[str, Tensor]:
    """Return their weights by the names of a network; unknown ones keep theirs, by which they are refused."""
    ours = {_their_name(name): name for name in network.state_dict()}
    named = {ours.get(name, name): tensor for name, tensor in theirs.items() if not _UNUSED.fullmatch(name)}
    return {
        name: tensor.unsqueeze(2) if _LINEAR.fullmatch(name) and tensor.ndim == 2 else tensor
        for name, tensor in named.items()
    }


def _state_dict_of(network: Mapping[str, Tensor], pitch: Spread) -> dict[str, Tensor]:
    """Return the weights by their names, and what their network holds besides."""
    width, n_mel = network["phoneme_embedding.weight"].shape[1], network["to_mel.weight"].shape[0]
    frequencies = 10000.0 ** (-torch.arange(0, width, 2) / width)
    weights = {f"pitch_{part}": torch.tensor([getattr(pitch, part)]) for part in ("mean", "std")}
    weights |= {f"{stack}.pos_emb.inv_freq": frequencies.clone() for stack in ("encoder", "decoder")}
    for name, tensor in network.items():
        theirs = tensor.squeeze(2) if _LINEAR.fullmatch(name) else tensor
        weights[_their_name(name)] = theirs.detach().cpu().clone().contiguous()
    if any(name.startswith("aligner.") for name in network):
        weights["attention.attn_proj.weight"] = torch.ones(1, n_mel, 1, 1)  # which they do not use
        weights["attention.attn_proj.bias"] = torch.zeros(1)
    return weights


def _their_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "aligner":
        return f"attention.{'query' if parts[1] == 'queries' else 'key'}_proj.{2 * int(parts[2])}.conv.{parts[3]}"
    if parts[:2] == ["variance_adaptor", "embeddings"]:
        return f"{parts[2]}_emb.{parts[4]}"
    if parts[:2] == ["variance_adaptor", "predictors"]:
        kinds = {"convolutions": "conv", "norms": "norm"}
        layer = f"layers.{parts[4]}.{kinds[parts[3]]}" if parts[3] in kinds else "fc"
        return f"{parts[2]}_predictor.{layer}.{parts[-1]}"
    for theirs, ours in _NAMES:
        name = name.replace(ours, theirs)
    return name


# Settings


def _settings(
    config: Mapping[str, Any], setup: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path
) -> FastPitchSettings:
    model: dict[str, Any] = {}
    for ours, names in (_MODEL | _DROPOUTS).items():
        found = [config[name] for name in names if name in config]
        if ours in _MODEL and (len(set(found)) > 1 or (not found and ours != "embedding_kernel_size")):
            stated = ", ".join(f"{name} {config.get(name, 'missing')}" for name in names)
            raise BundleError(f"{path}: {stated}: sizes that differ or are missing, which Recital cannot read")
        if found:
            model[ours] = found[0]
    layers = {config.get(f"{name}_n_layers", _PREDICTOR_LAYERS) for name in _PREDICTORS}
    n_symbols = len(weights["encoder.word_emb.weight"])
    if layers != {_PREDICTOR_LAYERS} or n_symbols != len(MIXED_INVENTORY) + 1:
        raise BundleError(
            f"{path}: has {n_symbols} symbols and predictors of {layers} layers; Recital reads those of "
            f"{len(MIXED_INVENTORY) + 1} symbols (english_basic) and {_PREDICTOR_LAYERS} layers"
        )
    model["energy"] = "energy_emb.weight" in weights
    has_aligner = any(name.startswith("attention.key_proj") for name in weights)
    model["durations"] = "learned" if has_aligner else "stored"
    model["alignment_prior"] = "transposed"
    model["speaker_conditioning"] = "table" if "speaker_emb.weight" in weights else "none"
    model["speaker_weight"] = float(config.get("speaker_emb_weight", 1.0))
    preprocess = {ours: setup[theirs] for ours, theirs in _PREPROCESS.items() if theirs in setup}
    preprocess |= {"phone_extractor": "mixed", "pitch_scale": "hz", "pitch_statistics": "corpus", "language": "en"}
    preprocess["mixed_words"] = "phones" if setup.get("p_arpabet", 0.0) else "letters"
    preprocess["alignment"] = "auto" if has_aligner else "textgrid"
    preprocess["n_mel"] = len(weights["proj.weight"])
    return published_settings(FastPitchSettings, _DEFAULTS, path, model=model, preprocess=preprocess)


def _config(settings: FastPitchSettings, n_speakers: int) -> dict[str, Any]:
    model = settings.model.model_dump()
    config = {theirs: model[ours] for ours, names in (_MODEL | _DROPOUTS).items() for theirs in names}
    config |= {f"p_{stack}_dropemb": 0.0 for stack in _BOTH} | {
        f"{name}_n_layers": _PREDICTOR_LAYERS for name in _PREDICTORS
    }
    return config | {
        "n_mel_channels": settings.preprocess.n_mel,
        "n_symbols": len(MIXED_INVENTORY) + 1,
        "padding_idx": 0,
        "n_speakers": n_speakers if model["speaker_conditioning"] == "table" else 1,
        "speaker_emb_weight": model["speaker_weight"],
        "energy_conditioning": model["energy"],
    }


def _train_setup(settings: FastPitchSettings, config: Mapping[str, Any], pitch: Spread) -> dict[str, Any]:
    preprocess = settings.preprocess.model_dump()
    has_phones = settings.preprocess.mixed_words == "phones"
    return dict(config) | {
        "text_cleaners": [f"english_cleaners{'_v2' if has_phones else ''}"],
        "symbol_set": "english_basic",
        "p_arpabet": float(has_phones),
        "pitch_mean": pitch.mean,
        "pitch_std": pitch.std,
        **{theirs: preprocess[ours] for ours, theirs in _PREPROCESS.items()},
    }
