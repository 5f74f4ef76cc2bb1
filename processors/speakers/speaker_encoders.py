"""Speaker encoders: embeddings of recordings behind one interface.

All but the first need further packages or files; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from config.paths import resolve_path
from config.schema import PreprocessSettings
from processors.audio.audio_file import resample
from utils.errors import RecitalError

_RATE = 16000  # of the networks here

_N_CEPSTRA = 20
# The cepstra of three real speakers then have a mean square of about 1, whatever M is.
_CEPSTRAL_SCALE = 4.0
# Frames this far below the loudest ones, in nepers (35 dB), are room noise.
_QUIET = 4.0
# A pitch between women's and men's, the spread of speakers round it, and the usual spread within one speaker.
_TYPICAL_LOG_F0, _LOG_F0_SPREAD, _TYPICAL_LOG_F0_STD = float(np.log(160.0)), 0.3, 0.2


class SpeakerEncoderError(RecitalError):
    """A speaker encoder that is missing, or fails on a recording."""


@dataclass(frozen=True)
class StoredRecording:
    """A recording as stored by stage 1.

    Attributes:
        waveform: (T_wav,) int16.
        sample_rate: in Hz.
        mel: (T_mel, M) log-mel.
        f0_hz: (T_mel,) 0 where unvoiced.
    """

    waveform: np.ndarray
    sample_rate: int
    mel: np.ndarray
    f0_hz: np.ndarray

    def at_16_khz(self) -> np.ndarray:
        """Return the waveform at the networks' rate: (T,) float32 in [-1, 1]."""
        return resample(self.waveform.astype(np.float32) / 32768.0, self.sample_rate, _RATE).astype(np.float32)


class SpeakerEncoder(Protocol):
    """Computes embeddings of recordings; a speaker's embedding is their mean."""

    def embed(self, recording: StoredRecording) -> np.ndarray:
        """Compute a vector (E,) of fixed size, with components in the order of 1; NaN if undefined."""


class StatisticsEncoder:
    """Long-term statistics, without a network.

    Mean and standard deviation over time of the mel cepstrum of all but quiet frames (the long-term average spectrum
    and its variation; without the level, which depends on the recording), then mean and standard deviation of log F0
    and the share of voiced frames.
    """

    def embed(self, recording: StoredRecording) -> np.ndarray:
        """Compute 2 * min(20, M - 1) + 3 numbers."""
        from scipy.fft import dct  # takes a seventh of the time of importing torch, and is not needed to speak

        level = recording.mel.mean(axis=1)
        is_loud = level >= level.max(initial=-np.inf) - _QUIET
        cepstra = dct(recording.mel[is_loud], norm="ortho", axis=1)[:, 1 : _N_CEPSTRA + 1]
        cepstra *= _CEPSTRAL_SCALE / np.sqrt(recording.mel.shape[1])
        voiced = recording.f0_hz[is_loud & (recording.f0_hz > 0)]
        pitch, movement = (np.log(voiced).mean(), np.log(voiced).std()) if len(voiced) else (np.nan, np.nan)
        return np.concatenate(
            [
                cepstra.mean(axis=0),
                cepstra.std(axis=0),
                [(pitch - _TYPICAL_LOG_F0) / _LOG_F0_SPREAD, movement / _TYPICAL_LOG_F0_STD - 1.0],
                [2.0 * len(voiced) / max(int(is_loud.sum()), 1) - 1.0],
            ]
        ).astype(np.float32)


class ResemblyzerEncoder:
    """The speaker encoder of Resemblyzer (L. Wan and others, arXiv:1710.10467), with the weights of its package."""

    def __init__(self) -> None:
        if importlib.util.find_spec("resemblyzer") is None:
            raise SpeakerEncoderError(
                'preprocess.speaker_encoder "resemblyzer": the package is not installed; `pip install resemblyzer`, '
                'or choose "statistics", which needs nothing'
            )
        import resemblyzer

        self._encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)
        self._prepare: Any = resemblyzer.preprocess_wav  # 16 kHz by default

    def embed(self, recording: StoredRecording) -> np.ndarray:
        """Compute 256 numbers."""
        waveform = self._prepare(recording.at_16_khz())
        if not len(waveform):
            return np.full(256, np.nan, dtype=np.float32)  # its voice activity detection found no speech
        return _with_unit_mean_square(self._encoder.embed_utterance(waveform))


class OnnxEncoder:
    """An ONNX network that maps waveforms at 16 kHz, (1, T) in [-1, 1], to (1, E) or (E,).

    Args:
        path: the file.

    Raises:
        SpeakerEncoderError: the file is missing or not such a network, or onnxruntime is missing.
    """

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise SpeakerEncoderError(
                'preprocess.speaker_encoder "onnx": onnxruntime is not installed; `pip install onnxruntime`, or choose '
                '"statistics", which needs nothing'
            )
        if not path.is_file():
            raise SpeakerEncoderError(f"preprocess.speaker_encoder_path: {path}: there is no such file")
        import onnxruntime

        self._path = path
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise SpeakerEncoderError(
                f"{path}: is not a network that onnxruntime can run ({_first_line(error)})"
            ) from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name} {each.type}{each.shape}" for each in inputs)
            raise SpeakerEncoderError(
                f"{path}: takes {found}; a speaker encoder must take one waveform of 16 kHz, (1, T) in float32"
            )

    def __reduce__(self) -> tuple[type[OnnxEncoder], tuple[Path]]:
        return OnnxEncoder, (self._path,)  # other machines open the file

    def embed(self, recording: StoredRecording) -> np.ndarray:
        """Compute the network's first output."""
        waveform = recording.at_16_khz()[np.newaxis]
        try:
            embedding = np.asarray(self._session.run(None, {self._session.get_inputs()[0].name: waveform})[0])
        except Exception as error:
            raise SpeakerEncoderError(f"{self._path}: fails on {waveform.shape} ({_first_line(error)})") from None
        if embedding.size != embedding.shape[-1]:
            raise SpeakerEncoderError(f"{self._path}: returns {embedding.shape} for one recording, not (1, E)")
        return _with_unit_mean_square(embedding.reshape(-1))


def make_speaker_encoder(settings: PreprocessSettings) -> SpeakerEncoder | None:
    """Construct the encoder that the settings name; None for none.

    Raises:
        SpeakerEncoderError: its package or file is missing.
    """
    if settings.speaker_encoder == "none":
        return None
    is_file = settings.speaker_encoder == "onnx"
    return open_speaker_encoder(settings.speaker_encoder_path if is_file else settings.speaker_encoder)


def open_speaker_encoder(name: str) -> SpeakerEncoder:
    """Construct the encoder `statistics` or `resemblyzer`, or that of an ONNX file.

    Raises:
        SpeakerEncoderError: its package or file is missing.
    """
    if name == "statistics":
        return StatisticsEncoder()
    return ResemblyzerEncoder() if name == "resemblyzer" else OnnxEncoder(resolve_path(name))


def _with_unit_mean_square(vector: np.ndarray) -> np.ndarray:
    """Scale a vector so that the mean square of its components is 1; NaN for a zero vector."""
    length = float(np.linalg.norm(vector))
    return (vector * (np.sqrt(len(vector)) / length if length else np.nan)).astype(np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
