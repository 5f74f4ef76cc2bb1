"""Vocoders in use: a trained one, or Griffin-Lim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from config.load import read_settings
from config.paths import SHIPPED_VOCODER
from config.schema import PreprocessSettings
from models.bundle import SETTINGS_FILE, Bundle
from models.bundles.vocoder import VocoderError, find_vocoder, require_vocoder
from models.contracts import F0InferenceVocoder, HasSigma, InferenceVocoder, VocoderNetwork
from models.inference.denoiser import BIAS_FRAMES, Denoiser
from models.registry import open_vocoder_network, settings_class
from processors.audio.foreign_mels import MelScale, MelScaleError, as_natural, doubt, with_bands_first
from processors.audio.griffin_lim import griffin_lim
from processors.audio.mel import MelSpectrogram
from processors.audio.mel_settings import mel_differences
from utils.console import warn
from utils.precision import Precision, dtype_of, fastest, why_not

Array = TypeVar("Array", np.ndarray, Tensor)

GRIFFIN_LIM = "griffin_lim"
"""Stands for Griffin-Lim where the folder of a vocoder is expected."""

_OR_GRIFFIN_LIM = f"; {GRIFFIN_LIM} in its place asks for Griffin-Lim"


class Vocoder(Protocol):
    """Computes waveforms from mels; thread-safe.

    Attributes:
        takes_f0: whether it is an `F0Vocoder`.
        takes_parts: whether mels may be cut anywhere, so that the first sound needs no more than their first frames.
    """

    @property
    def takes_f0(self) -> bool: ...

    @property
    def takes_parts(self) -> bool: ...

    def waveform(self, mel: Tensor) -> Tensor:
        """Return (T_mel * hop_size,) samples, float32 and about in [-1, 1], of an (M, T_mel) log-mel."""

    def stream(self, mels: Iterable[Tensor], *, first_chunks: Sequence[int] = ()) -> Iterator[Tensor]:
        """Yield the waveform of consecutive (M, T_mel) log-mels, each piece as soon as its mels are available.

        Args:
            mels: each begins and ends in a pause, unless the vocoder `takes_parts`.
            first_chunks: frames of the first pieces. Griffin-Lim makes each mel a piece.
        """


class F0Vocoder(Vocoder, Protocol):
    """A vocoder that can be given F0 in Hz beside the mels, 0 where unvoiced."""

    def predict_f0(self, mel: Tensor) -> Tensor:
        """Return the (T_mel,) F0 that it predicts from an (M, T_mel) log-mel."""

    def stream(
        self,
        mels: Iterable[Tensor],
        contours: Iterable[Tensor] | None = None,
        *,
        first_chunks: Sequence[int] = (),
    ) -> Iterator[Tensor]:
        """Yield the waveform of consecutive mels; `contours` are their F0, None to predict it."""


class GriffinLimVocoder:
    """Waveforms without a trained vocoder: iterative phase reconstruction (see `griffin_lim`).

    Args:
        mel: the mel definition of the acoustic model.
        iterations: quality improves up to about 60.
    """

    takes_f0 = False
    takes_parts = False

    def __init__(self, mel: MelSpectrogram, iterations: int = 60) -> None:
        self._mel, self._iterations = mel, iterations

    def waveform(self, mel: Tensor) -> Tensor:
        return griffin_lim(mel, self._mel, iterations=self._iterations)

    def stream(self, mels: Iterable[Tensor], *, first_chunks: Sequence[int] = ()) -> Iterator[Tensor]:
        # One by one: the spectra of a long text would not fit into memory, and a seam in a pause is inaudible.
        return map(self.waveform, mels)


class NeuralVocoder:
    """A trained vocoder.

    Args:
        bundle: of a vocoder.
        device: of the network.
        precision: arithmetic of the network; None for the fastest that the device has, of fp32 and bf16.
        sigma: standard deviation of the noise that waveforms are made from, for a vocoder that takes it; None for the
            vocoder's own.
        denoising_strength: share of the constant sound that the vocoder adds to everything, by which the magnitudes are
            lowered (`Denoiser`); 0 for none, 0.01 to 0.1 is usual.

    Attributes:
        settings: of its training.
        folder: of the bundle.

    Raises:
        BundleError: the bundle is not a vocoder's, or its weights do not fit.
        VocoderError: the device does not support the precision, the vocoder takes no sigma, or a value is out of range.
    """

    takes_parts = True

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device | str = "cpu",
        precision: Precision | None = "fp32",
        *,
        sigma: float | None = None,
        denoising_strength: float = 0.0,
    ) -> None:
        require_vocoder(bundle, otherwise=_OR_GRIFFIN_LIM)
        self.settings, self.folder = bundle.settings, bundle.folder
        self._device = torch.device(device)
        if precision is None:
            precision = fastest(self._device)
        if reason := why_not(precision, self._device):
            raise VocoderError(f"precision {precision}: {reason}")
        network, dtype = open_vocoder_network(bundle, self._device), dtype_of(precision)
        if sigma is not None:
            if not isinstance(network, HasSigma):
                raise VocoderError(f"a {self.settings.model_type} takes no sigma; leave it out")
            network.sigma = _in_range("sigma", sigma, highest=2)
        self._network = network.for_inference(dtype)
        self._denoiser: Denoiser | None = None
        if _in_range("denoising_strength", denoising_strength, highest=10):
            self._denoiser = Denoiser(self._bias(network, dtype), denoising_strength)

    @torch.inference_mode()
    def _bias(self, network: VocoderNetwork, dtype: torch.dtype) -> Tensor:
        """Return the waveform of a mel of zeros, without noise."""
        vocoder: InferenceVocoder = self._network
        if isinstance(network, HasSigma):
            network.sigma = 0.0
            vocoder = network.for_inference(dtype)
        n_mel = self.settings.preprocess.n_mel
        return vocoder.waveform(torch.zeros(n_mel, BIAS_FRAMES, device=self._device)).float()

    @classmethod
    def restore_from(cls, restore_path: Path | str, map_location: torch.device | str = "cpu") -> NeuralVocoder:
        """Open a vocoder by NeMo's call; see `open_vocoder`."""
        return open_vocoder(restore_path, device=map_location)

    def convert_spectrogram_to_audio(self, spec: Array, *, mel_scale: MelScale | None = None) -> Array:
        """Return the waveforms of mels by NeMo's call; see `waveforms_of`.

        Raises:
            VocoderError: the mels have another shape, no frames, or values of another scale.
        """
        try:
            return waveforms_of(self, spec, self.settings.preprocess.n_mel, mel_scale, self._device)
        except MelScaleError as error:
            raise VocoderError(str(error)) from None

    @property
    def takes_f0(self) -> bool:
        """Return whether F0 can be given beside mels; without, a vocoder that takes it predicts it from the mel."""
        return self._network.takes_f0

    def predict_f0(self, mel: Tensor) -> Tensor:
        """Return the (T_mel,) F0 in Hz that the network predicts from a mel, 0 where unvoiced.

        Raises:
            VocoderError: the vocoder takes no F0.
        """
        return self._with_f0.predict_f0(self._moved(mel))

    @torch.inference_mode()
    def waveform(self, mel: Tensor, f0_hz: Tensor | None = None) -> Tensor:
        """Return the waveform of a mel, at (T_mel,) F0 in Hz, 0 where unvoiced, for a vocoder that takes it.

        Raises:
            VocoderError: the mel has other bands, or the vocoder takes no F0.
        """
        mel = self._checked(mel)
        waveform = self._network.waveform(mel) if f0_hz is None else self._with_f0.waveform(mel, self._moved(f0_hz))
        return torch.cat(list(self._denoised([waveform])))

    @torch.inference_mode()
    def stream(
        self,
        mels: Iterable[Tensor],
        contours: Iterable[Tensor] | None = None,
        *,
        first_chunks: Sequence[int] = (),
    ) -> Iterator[Tensor]:
        """Yield the waveform of consecutive mels; `contours` are their F0, as for `waveform`."""
        # As one mel: the network's receptive field reaches across each seam, so that none clicks.
        moved = map(self._checked, mels)
        if contours is None:
            pieces = self._network.stream(moved, first_chunks=first_chunks)
        else:
            pieces = self._with_f0.stream(moved, f0_hz=map(self._moved, contours), first_chunks=first_chunks)
        yield from self._denoised(pieces)

    def _denoised(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        pieces = (piece.float() for piece in pieces)
        return self._denoiser.stream(pieces) if self._denoiser else pieces

    def _checked(self, mel: Tensor) -> Tensor:
        n_mel = self.settings.preprocess.n_mel
        if mel.ndim != 2 or len(mel) != n_mel:
            raise VocoderError(
                f"{self.folder}: found a mel of shape {tuple(mel.shape)}; this {self.settings.model_type} expects "
                f"({n_mel}, frames)"
            )
        return self._moved(mel)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, torch.float32)

    @property
    def _with_f0(self) -> F0InferenceVocoder:
        if not self.takes_f0:
            raise VocoderError(f"a {self.settings.model_type} takes no F0; leave f0_hz out")
        return cast(F0InferenceVocoder, self._network)


def waveforms_of(
    vocoder: Vocoder,
    spec: Array,
    n_mel: int,
    mel_scale: MelScale | None = None,
    device: torch.device | str = "cpu",
) -> Array:
    """Return the float32 waveforms of one or many mels, which another program may have computed.

    Args:
        vocoder: makes them.
        spec: (M, T_mel) or (T_mel, M), or (B, M, T_mel) or (B, T_mel, M).
        n_mel: M.
        mel_scale: of the values; None for natural logarithms, which is checked over all mels together.
        device: of the vocoder.

    Returns:
        (T_wav,), or (B, T_wav) for an axis B, clipped to [-1, 1]; a tensor on its device for a tensor, else an array.

    Raises:
        MelScaleError: the mels have another shape, no frames, or values of another scale.
    """
    found = torch.as_tensor(spec).detach().cpu().float().numpy()
    if 0 in found.shape:
        raise MelScaleError(f"found shape {found.shape}; expected at least one frame")
    mels = [with_bands_first(mel, n_mel) for mel in (found if found.ndim == 3 else found[None])]
    if mel_scale is None and (remark := doubt(float(found.min()), float(found.max()))):
        warn(f"{remark} mel_scale= names the scale")
    natural = (torch.from_numpy(np.ascontiguousarray(as_natural(mel, mel_scale or "natural"))) for mel in mels)
    waveforms = torch.stack([vocoder.waveform(mel.to(device)).clamp(-1, 1).cpu() for mel in natural])
    waveforms = waveforms if found.ndim == 3 else waveforms[0]
    return waveforms.to(spec.device) if isinstance(spec, Tensor) else waveforms.numpy()


def open_vocoder(
    path: Path | str,
    *,
    expect: PreprocessSettings | None = None,
    device: torch.device | str = "cpu",
    precision: Precision | None = "fp32",
    sigma: float | None = None,
    denoising_strength: float = 0.0,
) -> NeuralVocoder:
    """Open a trained vocoder: an experiment, one of its checkpoints, a bundle, or an original HiFi-GAN folder.

    Args:
        path: the folder.
        expect: settings of the mels to vocode; None for no check.
        device, precision, sigma, denoising_strength: see `NeuralVocoder`.

    Raises:
        BundleError: there is no such model, or it is not a vocoder.
        VocoderError: it was trained on mels of other settings, or does not have what is asked for.
    """
    bundle = find_vocoder(path, expect, otherwise=_OR_GRIFFIN_LIM)
    return NeuralVocoder(bundle, device, precision, sigma=sigma, denoising_strength=denoising_strength)


def open_vocoder_for(
    acoustic: Bundle,
    folder: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    precision: Precision | None = None,
    sigma: float | None = None,
    denoising_strength: float = 0.0,
) -> Vocoder:
    """Open the vocoder for an acoustic model.

    Args:
        acoustic: bundle of the acoustic model.
        folder: see `open_vocoder`, or `GRIFFIN_LIM`; None for the vocoder that came with the bundle, else the shipped
            one if it was trained on mels of the same kind, else Griffin-Lim.
        device, precision, sigma, denoising_strength: see `NeuralVocoder`.

    Raises:
        BundleError: there is no such model, or it is not a vocoder.
        VocoderError: it was trained on mels of other settings, or does not have what is asked for.
    """
    preprocess = acoustic.settings.preprocess
    if folder is None:
        folder = acoustic.vocoder_folder or shipped_vocoder_for(preprocess)
    if str(folder) == GRIFFIN_LIM:
        for name, value in (("sigma", sigma), ("denoising_strength", denoising_strength or None)):
            if value is not None:
                raise VocoderError(f"{GRIFFIN_LIM} takes no {name}, which is for trained vocoders; leave it out")
        return GriffinLimVocoder(MelSpectrogram.from_settings(preprocess).to(device))
    return open_vocoder(
        folder,
        expect=preprocess,
        device=device,
        precision=precision,
        sigma=sigma,
        denoising_strength=denoising_strength,
    )


def shipped_vocoder_for(preprocess: PreprocessSettings) -> Path | str:
    """Return the folder of the shipped vocoder if it was trained on mels of these settings, else `GRIFFIN_LIM`."""
    if not SHIPPED_VOCODER.is_dir():
        return GRIFFIN_LIM
    # Its settings alone: the weights are read once, when it is opened.
    shipped = read_settings(SHIPPED_VOCODER / SETTINGS_FILE, settings_class).preprocess
    return GRIFFIN_LIM if mel_differences(vars(shipped), vars(preprocess)) else SHIPPED_VOCODER


def _in_range(name: str, value: float, *, highest: float) -> float:
    if not 0 <= value <= highest:
        raise VocoderError(f"{name}: found {value:g}; expected 0 to {highest:g}")
    return value
