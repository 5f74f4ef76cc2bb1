"""Export of a voice as a folder of ONNX graphs, with all that running them needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from models.bundle import Bundle, BundleError
from models.bundles.export import Export, vocoder_to_copy
from models.bundles.sharing import for_others
from models.bundles.vocoder import find_vocoder
from models.contracts import VocoderNetwork
from models.export.graphs import ExportError, acoustic_graphs, vocoder_graphs
from models.export.int8 import quantize
from models.export.onnx_check import check_acoustic, check_vocoder
from models.export.onnx_files import write_graph
from models.inference.onnx_vocoder import OnnxVocoder
from models.inference.onnx_voice import ONNX_FORMAT, VOICE_FILE
from models.layers.acoustic_network import AcousticNetwork
from models.layers.decoder_noise import SPREAD
from models.lyre.network import Lyre
from models.registry import kind_of, open_acoustic, open_vocoder_network
from models.univnet.network import UnivNet
from processors.audio.mel import MEL_FLOOR
from processors.audio.mel_settings import MEL_SETTINGS
from utils.console import info
from utils.files import atomic_file
from utils.version import VERSION

NOISE_FILE = "noise.npy"


def write_onnx(bundle: Bundle, request: Export) -> Sequence[str]:
    """Write an acoustic model and its vocoder as ONNX graphs into a folder; return the names of the files.

    Graphs in float32 are compared with the networks before anything appears in the folder.

    Args:
        bundle: of the acoustic model.
        request: the target, and the vocoder.

    Raises:
        BundleError: the bundle is no acoustic model's, or files exist already.
        ExportError: a model has no graphs, no vocoder fits, a package is missing, or a graph computes something else.
    """
    folder = request.folder
    if kind_of(bundle.settings.model_type) != "acoustic":
        raise BundleError(
            f"{bundle.folder}: holds a {bundle.settings.model_type}; onnx is a format of voices: name an acoustic "
            "model, and this as its --vocoder_dir"
        )
    if folder.is_file() or ((folder / VOICE_FILE).exists() and not request.overwrite):
        raise BundleError(f"{folder}: has a voice already; --overwrite replaces it, or name another folder")
    if (path := vocoder_to_copy(bundle, request.vocoder)) is None:
        raise ExportError(f"{bundle.folder}: no vocoder fits this model; --vocoder_dir names one for the graphs")
    of_vocoder = find_vocoder(path)
    assert bundle.symbols is not None, "an acoustic model reads text"
    acoustic = cast(AcousticNetwork, open_acoustic(bundle))
    vocoder = cast(nn.Module, open_vocoder_network(of_vocoder))
    n_mel = bundle.settings.preprocess.n_mel
    parts = acoustic_graphs(acoustic, len(bundle.symbols.symbols)) | vocoder_graphs(vocoder, n_mel)
    with TemporaryDirectory(prefix="recital-") as scratch:
        made = Path(scratch)
        for name, part in parts.items():
            info(f"exporting {name}")
            write_graph(made / f"{name}.onnx", part, _metadata(bundle, name))
        if isinstance(vocoder, Lyre):
            np.save(made / NOISE_FILE, vocoder.noise.numpy())
        shared = replace(for_others(bundle, torch.float32), vocoder_name="")
        shared.save_without_weights(made)
        details = _details(shared, acoustic, "int8" if request.int8 else "fp32")
        details["vocoder"] = details_of_vocoder(of_vocoder.settings.model_type, vocoder)
        check_acoustic(acoustic, made, len(bundle.symbols.symbols))
        check_vocoder(vocoder, OnnxVocoder(made, details["vocoder"], details["sample_rate"]), n_mel)
        for name in parts if request.int8 else ():
            quantize(made / f"{name}.onnx")
        (made / VOICE_FILE).write_text(json.dumps(details, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for each in sorted(made.iterdir()):
            with atomic_file(folder / each.name) as partial:
                shutil.copyfile(each, partial)
    return sorted(each.name for each in folder.iterdir() if each.is_file())


def _metadata(bundle: Bundle, part: str) -> Mapping[str, str]:
    preprocess = bundle.settings.preprocess
    return {
        "recital": VERSION,
        "part": part,
        "model_type": bundle.settings.model_type,
        "sample_rate": str(preprocess.sample_rate),
        "hop_size": str(preprocess.hop_size),
        "licence": "; ".join(map(str, bundle.sources)),
    }


def _details(bundle: Bundle, network: AcousticNetwork, precision: str) -> dict[str, Any]:
    """Return the content of `voice.json` but for the vocoder."""
    preprocess, symbols = bundle.settings.preprocess, bundle.symbols
    assert symbols is not None
    adaptor = network.variance_adaptor
    by_row = sorted(bundle.speakers, key=lambda name: bundle.speakers[name])
    return {
        "format": ONNX_FORMAT,
        "recital": VERSION,
        "model_type": bundle.settings.model_type,
        "precision": precision,
        "sample_rate": preprocess.sample_rate,
        "mel": {name: getattr(preprocess, name) for name in MEL_SETTINGS},
        "mel_floor": MEL_FLOOR,
        "front_end": preprocess.phone_extractor,
        "symbols": list(symbols.symbols),
        "may_last_0_frames": [symbols.symbols[row] for row in adaptor.is_pause.nonzero().flatten().tolist()],
        "speakers": [
            {
                "name": name,
                "language": bundle.languages.get(name, preprocess.language),
                "pitch_scale": bundle.statistics[name].pitch_scale,
                "pitch": vars(bundle.statistics[name].pitch),
                "energy": vars(bundle.statistics[name].energy),
            }
            for name in by_row
        ],
        "controls": sorted(network.controls),
        "f0_range_hz": [preprocess.f0_min, preprocess.f0_max],
        "noise_spread": SPREAD,
        "sources": [{"name": source.name, "licence": source.licence} for source in bundle.sources],
    }


def details_of_vocoder(model_type: str, network: nn.Module) -> dict[str, Any]:
    """Return the part of `voice.json` on a vocoder."""
    details: dict[str, Any] = {
        "model_type": model_type,
        "hop_size": network.hop_size,
        "overlap_frames": cast(VocoderNetwork, network).receptive_frames,
        "takes_f0": isinstance(network, Lyre),
    }
    if isinstance(network, UnivNet):
        details |= {"noise_size": network.noise_size, "noise_seed": network.noise_seed}
    return details
