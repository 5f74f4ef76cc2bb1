"""Failures of the machine, each as a sentence: memory or disk used up, a process gone."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.errors import RecitalError

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# safetensors passes on only the system's text.
_FULL_TEXTS = ("No space left on device", "File too large", "Disk quota exceeded", "StorageFull")
# Of torch's allocators and of the libraries that it calls.
_MEMORY_TEXTS = (
    "DefaultCPUAllocator: ",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_SHARED_MEMORY_TEXTS = ("out of shared memory", "shared memory(shm)", "file </torch_")
_AMOUNT = re.compile(r"tried to allocate ([0-9.]+) (\w+)", re.IGNORECASE)


class FailureError(RecitalError):
    """A machine that cannot do what is asked of it."""


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error says that a file could not grow."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return type(error).__name__ == "SafetensorError" and any(text in str(error) for text in _FULL_TEXTS)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory, a GPU's or the machine's, could not be had."""
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _MEMORY_TEXTS)
    return isinstance(error, MemoryError)


def disk_sentence(error: BaseException, place: Path | str = "") -> str:
    """Return the sentence for an error that is `is_disk_full`.

    Args:
        error: names the file, or does not.
        place: named instead.
    """
    place = getattr(error, "filename", None) or place
    place = f" ({place})" if place else ""
    return f"the disk is full{place}; free some space and run the same command again: finished work is kept"


@contextmanager
def failures_in_training(folder: Path | str, to_lower: Mapping[str, Any]) -> Iterator[None]:
    """Raise an error of the machine within the block as a `FailureError` of one sentence; others pass.

    Args:
        folder: where training writes.
        to_lower: settings by which training takes less memory, with their values.
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
            "the shared memory by which batches are passed on is used up: set train.num_workers to 0, or give a "
            "container more of it (docker run --shm-size 1g)"
        )
    elif is_out_of_memory(error):
        kind = "GPU" if re.search("CUDA|CUBLAS|CUDNN", text) else "machine"
        sentence = f"the memory of the {kind} is used up{_amount(text)}: {less}"
    elif text.startswith("DataLoader worker"):
        sentence = f"a process that prepares batches was killed, most often because memory is used up: {less}"
    elif "gloo" in text and "onnect" in text:
        sentence = "another of the processes that train together has ended, and has said why"
    else:
        return None
    return f"{sentence}; the same command goes on from the last checkpoint"


def _amount(text: str) -> str:
    found = _AMOUNT.search(text)
    if found is None:
        return ""
    amount = found[1] if found[2] != "bytes" else f"{int(found[1]) / 2**30:.2f}"
    return f" ({amount} {'GiB' if found[2] == 'bytes' else found[2]} more are wanted)"
