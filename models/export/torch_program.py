"""A voice or a vocoder as one file of torch.export, which torch alone loads."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from models.bundle import Bundle
from models.export.voice_graph import VoiceGraph, vocoder_graph, vocoder_module
from utils.files import atomic_file

SUFFIX = ".pt2"
DESCRIPTION = "voice.json"
# Shortest and longest inputs.
_PHONES = Dim("phones", min=3, max=4096)
_FRAMES = Dim("frames", min=8, max=2**20)
_EXAMPLE = 20


def write_program(path: Path, bundle: Bundle, vocoder: Bundle | None) -> None:
    """Write a voice, from symbols to its waveform, or a vocoder, from a mel.

    The file holds `voice.json`, too: the sample rate, and a voice's symbols and speakers in the order of their numbers.

    Args:
        path: of the file.
        bundle: an acoustic model or, without `vocoder`, a vocoder.
        vocoder: of the acoustic model.

    Raises:
        VoiceGraphError: a network cannot be exported.
    """
    preprocess = bundle.settings.preprocess
    described: dict[str, Any] = {"sample_rate": preprocess.sample_rate}
    if vocoder is None:
        program = vocoder_program(vocoder_module(bundle), preprocess.n_mel)
        described |= {"n_mel": preprocess.n_mel, "hop_size": preprocess.hop_size}
    else:
        assert bundle.symbols is not None, "an acoustic model reads text"
        symbols = list(bundle.symbols.symbols)
        program = voice_program(VoiceGraph.of(bundle, vocoder), len(symbols))
        described |= {"symbols": symbols, "speakers": sorted(bundle.speakers, key=lambda name: bundle.speakers[name])}
    with atomic_file(path) as partial, partial.open("wb") as file:
        torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(described, ensure_ascii=False)})


def voice_program(voice: VoiceGraph, n_symbols: int) -> ExportedProgram:
    """Return a program for texts of any length."""
    text = (torch.arange(_EXAMPLE) % n_symbols)[None]
    inputs = {"phoneme_ids": text, "speaker_id": torch.zeros(1, dtype=torch.long), "pace": torch.ones(1)}
    return _exported(voice, inputs, {"phoneme_ids": {1: _PHONES}})


def vocoder_program(network: nn.Module, n_mel: int) -> ExportedProgram:
    """Return a program for mels of any length."""
    return _exported(vocoder_graph(network), {"mel": torch.zeros(1, n_mel, _EXAMPLE)}, {"mel": {2: _FRAMES}})


def _exported(
    module: nn.Module, inputs: Mapping[str, Tensor], lengths: Mapping[str, Mapping[int, Dim]]
) -> ExportedProgram:
    shapes = {name: lengths.get(name) for name in inputs}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names within the program
        # By place: the program's users need no names.
        return torch.export.export(module.eval(), tuple(inputs.values()), dynamic_shapes=tuple(shapes.values()))
