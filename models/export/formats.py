"""Formats of export: bundles and published layouts, and graphs of other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.bundles import export as bundles
from models.bundles.export import Export, Writer
from models.export.program_formats import program_writers

if TYPE_CHECKING:
    from models.bundle import Bundle

ONNX = "onnx"
INT8 = "int8"
"""In place of a precision: 8-bit weights, for graphs alone."""


def writers() -> dict[str, Writer]:
    """Return the writer of each format by its name."""
    return {**bundles.writers(), ONNX: _write_onnx, **program_writers()}


def _write_onnx(bundle: Bundle, request: Export) -> Sequence[str]:
    from models.export.onnx_export import write_onnx

    return write_onnx(bundle, request)
