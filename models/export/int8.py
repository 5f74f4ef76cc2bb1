"""Graphs with 8-bit weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.export.graphs import ExportError

_LEAST_WEIGHTS = 4096
"""Smaller tensors stay as they are: they take little space."""
_CHANNELS = {"Conv": 0, "MatMul": 1}
"""Axis of a weight's output channels, by the operator that takes it."""


def quantize(path: Path) -> None:
    """Replace a graph by one whose large weights are 8-bit integers, with a scale for each output channel.

    Arithmetic stays in float32. Products of integers (onnxruntime's dynamic quantization) are a fourth faster, but in
    Lyre they cost 0.9 of DistillMOS; integer convolutions are slower. Matrices of Fourier transforms keep their digits.

    Args:
        path: of the graph.

    Raises:
        ExportError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise ExportError("graphs are quantized by onnx; sh env.sh onnx installs it") from None

    model = onnx.load(path)
    _store_as_integers(model.graph)
    onnx.save(model, path)


def _store_as_integers(graph: Any) -> None:
    """Store the weights of a graph's convolutions and products as integers, which are made real again where used."""
    from onnx import helper, numpy_helper

    large = {each.name: each for each in graph.initializer if np.prod(each.dims) >= _LEAST_WEIGHTS}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in set(node.input) & set(large):
            users.setdefault(name, []).append(node)
    for name, nodes in users.items():
        tensor = numpy_helper.to_array(large[name])
        operators = {node.op_type if node.input[1] == name else "" for node in nodes}
        if tensor.dtype != np.float32 or len(operators) != 1 or not operators <= _CHANNELS.keys():
            continue
        axis = _CHANNELS[operators.pop()]
        others = tuple(each for each in range(tensor.ndim) if each != axis)
        scale = np.maximum(np.abs(tensor).max(axis=others), 1e-12) / 127
        integers = np.rint(tensor / np.expand_dims(scale, others)).astype(np.int8)
        large[name].CopyFrom(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        inputs = [f"{name}_int8", f"{name}_scale"]
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
