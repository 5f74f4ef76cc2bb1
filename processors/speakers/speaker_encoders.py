"""What a voice is like, as a vector: several ways of hearing it behind one interface.

All but the first want something installed; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.fft import dct

from config.paths import rooted
from config.schema import PreprocessSettings
from processors.audio.audio_file import resample
from utils.errors import RecitalError

_RATE = 16000  # what the networks here hear

_N_CEPSTRA = 20
# Of three real voices, their cepstra then have a mean square of about 1, whatever M is.
_CEPSTRAL_SCALE = 4.0
# Frames this far below the loudest ones, in nepers (35 dB), tell of the room and not of the voice.
_QUIET = 4.0
# A pitch between women's and men's, the spread of speakers round it, and how far one voice usually moves.
_TYPICAL_LOG_F0, _LOG_F0_SPREAD, _TYPICAL_LOG_F0_STD = float(np.log(160.0)), 0.3, 0.2


class SpeakerEncoderError(RecitalError):
    """A speaker encoder that is not there, or cannot hear."""


@dataclass(frozen=True)
class HeardRecording:
    """A recording as stage 1 has stored it.

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
        """The waveform as the networks hear it: (T,) float32 in [-1, 1]."""
        return resample(self.waveform.astype(np.float32) / 32768.0, self.sample_rate, _RATE).astype(np.float32)


class SpeakerEncoder(Protocol):
    """Hears recordings, one by one; a speaker is the mean of what is heard."""

    def embed(self, recording: HeardRecording) -> np.ndarray:
        """Give a vector (E,), E being always the same, with components in the order of 1; NaN where none is heard."""


class StatisticsEncoder:
    """Long-term statistics, for which nothing need be learned.

    Mean and spread over time of the mel cepstrum of all but quiet frames (a voice's long-term average spectrum and how
    far it moves; without its level, which is the recording's affair), then mean and spread of log F0 and the share of
    voiced frames.
    """

    def embed(self, recording: HeardRecording) -> np.ndarray:
        """Give 2 * min(20, M - 1) + 3 numbers."""
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
    """The speaker encoder of Resemblyzer (L. Wan and others, arXiv:1710.10467), whose weights its package brings."""

    def __init__(self) -> None:
        if importlib.util.find_spec("resemblyzer") is None:
            raise SpeakerEncoderError(
                'preprocess.speaker_encoder "resemblyzer": the package is not installed; `pip install resemblyzer`, '
                'or choose "statistics", which needs nothing'
            )
        import resemblyzer

        self._encoder: Any = resemblyzer.VoiceEncoder("cpu", verbose=False)
        self._prepare: Any = resemblyzer.preprocess_wav  # of 16 kHz, unless told otherwise

    def embed(self, recording: HeardRecording) -> np.ndarray:
        """Give 256 numbers."""
        waveform = self._prepare(recording.at_16_khz())
        if not len(waveform):
            return np.full(256, np.nan, dtype=np.float32)  # its voice detector found no speech
        return _in_order_of_one(self._encoder.embed_utterance(waveform))


class OnnxEncoder:
    """A network in a file of ONNX's that hears waveforms of 16 kHz, (1, T) in [-1, 1], and gives (1, E) or (E,).

    Args:
        path: the file.

    Raises:
        SpeakerEncoderError: there is no such file, it is no such network, or onnxruntime is missing.
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
        except Exception as error:  # onnxruntime's exceptions have no common class of their own
            raise SpeakerEncoderError(
                f"{path}: is no network that onnxruntime can run ({_first_line(error)})"
            ) from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].type != "tensor(float)":
            found = ", ".join(f"{each.name} {each.type}{each.shape}" for each in inputs)
            raise SpeakerEncoderError(
                f"{path}: hears {found}; a speaker encoder here hears one waveform of 16 kHz, (1, T) in float32"
            )

    def embed(self, recording: HeardRecording) -> np.ndarray:
        """Give what the network gives first."""
        waveform = recording.at_16_khz()[np.newaxis]
        try:
            embedding = np.asarray(self._session.run(None, {self._session.get_inputs()[0].name: waveform})[0])
        except Exception as error:
            raise SpeakerEncoderError(f"{self._path}: cannot hear {waveform.shape} ({_first_line(error)})") from None
        if embedding.size != embedding.shape[-1]:
            raise SpeakerEncoderError(f"{self._path}: gives {embedding.shape} for one recording, not (1, E)")
        return _in_order_of_one(embedding.reshape(-1))


def make_speaker_encoder(settings: PreprocessSettings) -> SpeakerEncoder | None:
    """Give the encoder that the settings name; None for none.

    Raises:
        SpeakerEncoderError: it, or its file, is not there.
    """
    if settings.speaker_encoder == "none":
        return None
    if settings.speaker_encoder == "statistics":
        return StatisticsEncoder()
    if settings.speaker_encoder == "resemblyzer":
        return ResemblyzerEncoder()
    return OnnxEncoder(rooted(settings.speaker_encoder_path))


def _in_order_of_one(vector: np.ndarray) -> np.ndarray:
    """Give a vector's direction, scaled so that the mean square of its components is 1."""
    length = float(np.linalg.norm(vector))
    return (vector * (np.sqrt(len(vector)) / length if length else np.nan)).astype(np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
