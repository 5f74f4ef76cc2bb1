"""Failures of the machine as messages: out of memory, disk full, a process killed."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import RecitalError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# safetensors keeps the system's text only.
_FULL_TEXTS = ("No space left on device", "File too large", "Disk quota exceeded", "StorageFull")
# Of torch's allocators and the libraries it calls.
_MEMORY_TEXTS = (
    "DefaultCPUAllocator: ",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_SHARED_MEMORY_TEXTS = ("out of shared memory", "shared memory(shm)", "file </torch_")
_AMOUNT = re.compile(r"tried to allocate ([0-9.]+) (\w+)", re.IGNORECASE)


class FailureError(RecitalError):
    """Memory, disk or processes that failed."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that the disk, or a quota, is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return type(error).__name__ == "SafetensorError" and any(text in str(error) for text in _FULL_TEXTS)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory, of a GPU or the machine, could not be allocated."""
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _MEMORY_TEXTS)
    return isinstance(error, MemoryError)


def disk_sentence(error: BaseException, path: Path | str = "") -> str:
    """Return the message for an error that is `is_disk_full`.

    Args:
        error: may name the file.
        path: what was written, if the error names no file.
    """
    path = getattr(error, "filename", None) or path
    path = f" ({path})" if path else ""
    return f"the disk is full{path}; free some space and run the same command again: finished work is kept"


@contextmanager
def failures_in_training(folder: Path | str, to_lower: Mapping[str, Any]) -> Iterator[None]:
    """Turn failures of the machine within the block into `FailureError`s of one sentence.

    Args:
        folder: that training writes to.
        to_lower: settings that reduce memory when lowered, with their values.
    """
    try:
        yield
    except Exception as error:
        if sentence := _sentence(error, folder, to_lower):
            raise FailureError(sentence) from error
        raise


def _sentence(error: Exception, folder: Path | str, to_lower: Mapping[str, Any]) -> str | None:
    text = str(error)
    names = [f"{name} (now {value or 'no limit'})" for name, value in to_lower.items()]
    less = (
        f"lower {' or '.join(names)}, and raise train.gradient_accumulation_steps by as much as train.batch_size gets "
        "smaller"
    )
    if isinstance(error, RecitalError):
        return None
    if is_disk_full(error):
        return disk_sentence(error, folder)
    if any(sign in text for sign in _SHARED_MEMORY_TEXTS):
        sentence = (
            "out of shared memory, which passes batches between processes: set train.num_workers to 0, or give the "
            "container more of it (docker run --shm-size 1g)"
        )
    elif is_out_of_memory(error):
        kind = "GPU" if re.search("CUDA|CUBLAS|CUDNN", text) else "main"
        sentence = f"out of {kind} memory{_amount(text)}: {less}"
    elif text.startswith("DataLoader worker"):
        sentence = f"a data loader process was killed, most often because the machine is out of memory: {less}"
    elif "gloo" in text and "onnect" in text:
        sentence = "another training process has ended; see its message"
    else:
        return None
    return f"{sentence}; the same command resumes from the last checkpoint"


def _amount(text: str) -> str:
    found = _AMOUNT.search(text)
    if found is None:
        return ""
    amount = found[1] if found[2] != "bytes" else f"{int(found[1]) / 2**30:.2f}"
    return f" ({amount} {'GiB' if found[2] == 'bytes' else found[2]} requested)"
