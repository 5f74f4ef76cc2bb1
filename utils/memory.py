"""Memory that a process which speaks for long keeps beyond what it needs."""

from __future__ import annotations

import ctypes
import os

_KERNEL_CACHES = {"LRU_CACHE_CAPACITY": "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}


def limit_kernel_caches() -> None:
    """Make torch and oneDNN keep fewer compiled kernels for a CPU, unless the environment sets how many.

    They compile kernels for each length of text and speech, and keep those of the last thousand: 200 sentences, all of
    other lengths, took the process from 320 to 930 MiB. 110 sentences of 50 lengths end at 570 MiB without a limit, 490
    with 128 and 256, 410 with these, at the same speed.
    Not for training, where one step needs more kernels.

    Must be called before torch is imported, which reads these variables once.
    """
    for name, capacity in _KERNEL_CACHES.items():
        os.environ.setdefault(name, capacity)


def return_free_memory() -> None:
    """Return freed memory to the system, which glibc keeps in each thread's arena; nothing elsewhere."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
