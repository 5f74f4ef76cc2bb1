"""ONNX graphs in use, by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.layers.decoding_windows import decoding_windows
from utils.errors import RecitalError

_QUIET = 3  # errors only; warnings are about the optimizer's own choices


class OnnxError(RecitalError):
    """A folder of ONNX graphs that cannot be used."""


class OnnxGraph:
    """A graph on the CPU; thread-safe.

    Args:
        path: of the file.
        threads: of its arithmetic; None for onnxruntime's choice.

    Raises:
        OnnxError: onnxruntime is missing, or the file is missing or damaged.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise OnnxError("ONNX graphs are run by onnxruntime; sh env.sh onnx installs it") from None
        if not path.is_file():
            raise OnnxError(f"{path}: is missing; copy the whole folder, or export the voice again")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
        except Exception as error:  # of classes of its own, by what is damaged
            reason = str(error).splitlines()[0].strip()
            raise OnnxError(f"{path}: is damaged, or no ONNX graph: {reason}; export the voice again") from None
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name; inputs that the graph does not have are left out."""
        known = {name: value for name, value in inputs.items() if name in self._inputs}
        return dict(zip(self._outputs, self._session.run(None, known), strict=True))

    @property
    def inputs(self) -> frozenset[str]:
        """Names of its inputs."""
        return frozenset(self._inputs)


def decoded_mel(decoder: OnnxGraph, frame_phones: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the (M, T_mel) log-mel of a decoder's graph, window by window where the model decodes so.

    Args:
        decoder: see `models.export.graphs.DecoderGraph`.
        frame_phones: (T_mel,) index of each frame's phone.
        inputs: the others.
    """
    parts = []
    for window in decoding_windows(len(frame_phones), in_windows="first_frame" in decoder.inputs):
        first = {"first_frame": np.array([window.first], np.int64)}
        mel = decoder(**{**inputs, **first, "frame_phones": frame_phones[window.first : window.last]})["mel"][0]
        parts.append(mel[:, window.kept])
    return np.concatenate(parts, axis=1)
