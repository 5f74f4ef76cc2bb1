"""Description of the machine, for measurements."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

_CGROUP = ("max", "current")


def describe_machine() -> dict[str, str | int]:
    """Return processor, cores, system, versions and load, without which figures cannot be compared."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown",
    }


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets that the processor states, as Linux names them; empty elsewhere."""
    return frozenset(_cpu_facts().get("flags", "").split())


def available_memory() -> int:
    """Return the bytes of memory that processes can still take, also of a container; 0 where that is not known."""
    amounts = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        amounts += [int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # of "max" where there is no limit
        most, now = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text(encoding="utf-8")) for name in _CGROUP)
        amounts.append(max(most - now, 0))
    return min(amounts, default=0)


def peak_memory_mib() -> int:
    """Return the peak memory of this process since `forget_peak_memory`, or since its start, in MiB.

    On systems other than Linux the peak of the parent process may be included.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return round(int(value.split()[0]) / 2**10)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def resident_bytes() -> int | None:
    """Return the memory of this process now; None where the system does not state it."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def forget_peak_memory() -> None:
    """Reset the peak of `peak_memory_mib` to the memory held now, on Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _processor() -> str:
    """Return the processor's name; on Linux from /proc/cpuinfo, where Python returns none."""
    if not (facts := _cpu_facts()):
        return platform.processor() or platform.machine()
    name = facts.get("model name", platform.machine())
    family, model = facts.get("cpu family"), facts.get("model")
    return f"{name} (family {family}, model {model})" if family and model else name


def _cpu_facts() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
