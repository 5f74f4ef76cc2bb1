"""Comparison of exported graphs with the networks that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from models.contracts import AS_PREDICTED, Controls, PhonemeBatch, VocoderNetwork
from models.export.graphs import ExportError
from models.inference.onnx_graph import OnnxGraph, decoded_mel
from models.inference.onnx_vocoder import OnnxVocoder
from models.inference.prosody_rules import NEPERS_PER_DB
from models.layers.acoustic_network import AcousticNetwork
from models.layers.decoder_noise import DecoderNoise
from utils.console import info

N_PHONES = (2, 7, 20, 60, 150)
TOLERANCE = 1e-3
_SEMITONES, _PACE, _DB = 3.0, 0.8, 6.0


@torch.no_grad()
def check_acoustic(network: AcousticNetwork, folder: Path, n_symbols: int) -> None:
    """Compare mels of made-up texts of five lengths: plain, 3 semitones higher, and at a pace of 0.8.

    Args:
        network: the acoustic model.
        folder: of the graphs.
        n_symbols: of its table.

    Raises:
        ExportError: they differ by more than 0.001.
    """
    graphs = {name: OnnxGraph(folder / f"{name}.onnx") for name in ("encoder", "pitch", "decoder")}
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for n_phones in N_PHONES:
        ids = torch.randint(1, n_symbols, (1, n_phones), generator=generator)
        for ratio, pace in ((1.0, 1.0), (2 ** (_SEMITONES / 12), 1.0), (1.0, _PACE)):
            wanted, durations = _mel_of_network(network, ids, ratio, pace)
            worst = max(worst, _difference(_mel_of_graphs(graphs, ids, durations, ratio), wanted))
    _judge("mels", worst)


def _mel_of_network(network: AcousticNetwork, ids: Tensor, ratio: float, pace: float) -> tuple[Tensor, Tensor]:
    one = torch.zeros(1, dtype=torch.long)
    batch = PhonemeBatch(ids, torch.tensor([ids.shape[1]]), one, language_ids=one)
    controls = Controls(
        lambda frames: (frames / pace).clamp(min=1.0),
        AS_PREDICTED.pitch if ratio == 1 else lambda f0_hz, _: f0_hz * ratio,
    )
    generated = network.infer(batch, controls)
    return generated.mel[0], generated.durations[0]


def _mel_of_graphs(graphs: dict[str, OnnxGraph], ids: Tensor, durations: Tensor, ratio: float) -> Tensor:
    one = np.zeros(1, np.int64)
    rows: dict[str, Any] = {"speaker_id": one, "language_id": one, "noise_place": DecoderNoise.places(ids).numpy()}
    encoded = graphs["encoder"](phoneme_ids=ids.numpy(), **rows)
    varied = graphs["pitch"](**{**encoded, **rows, "f0_hz": encoded["f0_hz"] * np.float32(ratio)})
    places = np.repeat(np.arange(len(durations)), durations.numpy())
    factor = {"energy_factor": np.ones(ids.shape, np.float32)}
    return torch.from_numpy(decoded_mel(graphs["decoder"], places, {**encoded, **varied, **rows, **factor}))


@torch.no_grad()
def check_vocoder(network: nn.Module, vocoder: OnnxVocoder, n_mel: int) -> None:
    """Compare waveforms of made-up mels of five lengths, plain and with a word 6 dB louder; with F0, also that given.

    Args:
        network: the vocoder.
        vocoder: its graphs.
        n_mel: mel bins.

    Raises:
        ExportError: they differ by more than 0.001.
    """
    inference: Any = cast(VocoderNetwork, network).for_inference()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for n_phones in N_PHONES:
        n_frames = 6 * n_phones
        mel = torch.randn(n_mel, n_frames, generator=generator) - 5
        louder = mel.clone()
        louder[:, n_frames // 3 : n_frames // 2] += NEPERS_PER_DB * _DB
        for each in (mel, louder):
            given: tuple[Tensor, ...] = ()
            if vocoder.takes_f0:
                given = (torch.full((n_frames,), 180.0 * 2 ** (_SEMITONES / 12)) * (each.mean(0) > -5),)
            wanted = inference.waveform(each, *given)
            made = vocoder.waveform(each.numpy(), *(f0_hz.numpy() for f0_hz in given))
            worst = max(worst, _difference(torch.from_numpy(made), wanted))
    _judge("waveforms", worst)


def _difference(made: Tensor, wanted: Tensor) -> float:
    return float((made - wanted).abs().max())


def _judge(of: str, worst: float) -> None:
    """Print the largest difference, or raise an error where it is too large."""
    lengths = ", ".join(map(str, N_PHONES))
    if not worst <= TOLERANCE:
        raise ExportError(
            f"{of}: the graphs differ from the network by {worst:.2g}, which is above {TOLERANCE:g}; please report this"
        )
    info(f"{of} of {lengths} phones differ from those of the network by at most {worst:.1g}")
