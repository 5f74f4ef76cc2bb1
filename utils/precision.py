"""Numerical precision of networks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def dtype_of(precision: Precision) -> torch.dtype:
    """Return torch's dtype of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(precision: Precision, device_type: str) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which networks with float32 weights compute in a precision."""
    import torch

    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, dtype=dtype_of(precision))


def fastest(device: torch.device) -> Precision:
    """Return bf16 for a CPU with instructions for it, else fp32."""
    import torch

    has_bf16 = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if has_bf16 else "fp32"


def why_not(precision: Precision, device: torch.device) -> str:
    """Return why a device cannot compute in a precision, and what to choose instead; "" where it can."""
    import torch

    if precision == "fp16" and device.type == "cpu":
        return "needs a GPU; on the CPU choose bf16 or fp32"
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"is not supported by {torch.cuda.get_device_name(device)}; choose fp16 or fp32"
    return ""
