"""Graphs of networks as ONNX files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export import Dim

from models.export.graphs import ExportError, Graph
from utils.files import atomic_file

OPSET = 18
_LARGEST = 2**31  # elements of a weight
_MOST = 2**20  # of a named axis; torch wants an end, the files have none


def write_graph(path: Path, graph: Graph, metadata: Mapping[str, str]) -> None:
    """Write a graph, with its weights, as an ONNX file; lengths of its named axes stay open.

    Args:
        path: of the file.
        graph: to write.
        metadata: written into the file.

    Raises:
        ExportError: onnx or onnxscript is not installed.
    """
    ends = {name: Dim(name, min=graph.shortest, max=_MOST) for name in ("phones", "frames")}
    shapes = {name: {axis: ends[end] for axis, end in graph.open_axes(name).items()} for name in graph.inputs}
    try:
        from onnxscript import optimizer  # torch's exporter needs it, too
    except ImportError:
        raise ExportError("ONNX files are written by onnx and onnxscript; sh env.sh onnx installs them") from None
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            (),
            # Copies: of a tensor that stands for two inputs, the exporter would read one alone.
            kwargs={name: example.clone() for name, example in graph.inputs.items()},
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None, "dynamo=True returns a program"
    with _quietly():
        # Weights reach their operators directly then, where quantization looks for them.
        optimizer.optimize_ir(program.model, input_size_limit=_LARGEST, output_size_limit=_LARGEST)
    program.model.metadata_props.update(metadata)
    with atomic_file(path) as partial:
        program.save(partial, external_data=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back the exporter's warnings, which are about packages that no model needs, and names of its own."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
