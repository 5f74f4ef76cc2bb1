"""Memory that is limited, and memory that is returned to the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import REPOSITORY
from utils.memory import return_free_memory

_CAPACITIES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def test_commands_that_speak_limit_the_caches_of_kernels_before_torch_is_imported():
    code = (
        "import os, sys; from bins import serve, synthesize; from utils.memory import limit_kernel_caches; "
        f"limit_kernel_caches(); print('torch' in sys.modules, *(os.environ[name] for name in {_CAPACITIES}))"
    )
    plain = {name: value for name, value in os.environ.items() if name not in _CAPACITIES}
    for given, expected in (({}, "False 32 64"), ({_CAPACITIES[1]: "9"}, "False 32 9")):
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=plain | given, capture_output=True)
        assert done.stdout.decode().strip() == expected


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others return it by themselves")
def test_freed_memory_is_returned_to_the_system():
    blocks = [bytes([number % 256]) * 100_000 for number in range(500)]
    kept, before = blocks[-1], resident_bytes()  # at the top, below which nothing is returned by itself
    del blocks
    return_free_memory()
    assert resident_bytes() < before - 40_000_000
    assert len(kept) == 100_000
