"""Pool of processes on a Dask cluster, with the events of one on this machine.

The cluster's machines share a file system and need the same packages; the project is imported from its folder, which
they see under the same path. Each task runs in a process of its own beside the Dask worker, with the same environment
as on one machine (`utils.process_pool`), so that results are the same, and a crash ends neither the worker nor the run.
A task whose Dask worker is lost is done again by another.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import pickle
import queue
import re
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.console import info, warn
from utils.errors import RecitalError
from utils.process_pool import IMPORT_ROOT, Died, Event, Failed, Finished, ProcessPool, Work

_TIMEOUT_S = 10.0
# How often the cluster's workers are counted, and workers look whether a task is still wanted.
_COUNT_EVERY_S, _LOOK_EVERY_S = 5.0, 1.0
# Processes that no task has used for so long end.
_IDLE_S = 60.0
_TASKS_PER_PROCESS = 3  # handed to the cluster at a time; more would only take memory
_SIGN = ".cluster-"
# Packages on whose version numbers depend.
_PACKAGES = ("numpy", "scipy", "torch", "librosa", "soxr")


class ClusterError(RecitalError):
    """A cluster that cannot be reached, or whose machines lack what the work needs."""


@contextmanager
def open_cluster(address: str) -> Iterator[Cluster | None]:
    """Connect to a Dask cluster; None without an address.

    Args:
        address: of the scheduler, as `tcp://host:8786`, or the file that it writes its address to.

    Raises:
        ClusterError: nobody listens there, or it is no Dask cluster that can be used.
    """
    if not address:
        yield None
        return
    cluster = Cluster(address)
    try:
        yield cluster
    finally:
        cluster.close()


class Cluster:
    """The workers of a Dask cluster (`utils.process_pool.Workers`).

    Args:
        address: as for `open_cluster`.
    """

    def __init__(self, address: str) -> None:
        self.address = _reachable(address)
        try:
            import distributed
        except ModuleNotFoundError:
            raise ClusterError(f"--cluster: {sys.executable} has no dask; sh env.sh cluster installs it") from None
        try:
            connect: Any = distributed.Client
            self._client = connect(self.address, timeout=_TIMEOUT_S, set_as_default=False, name="recital")
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(f"--cluster {address}: is no Dask scheduler that can be used ({error})") from error
        try:
            self._wait_for_workers()
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """Return how many tasks the cluster's present workers process at a time, one per thread; at least 1."""
        return max(self.threads(), 1)

    def threads(self) -> int:
        """Return the number of threads of the cluster's present workers."""
        return sum(self._client.nthreads().values())

    def _wait_for_workers(self) -> None:
        """Wait for the first worker, as long as it takes: a queue may start it hours later."""
        if not self.threads():
            warn(f"{self.address}: the cluster has no workers; waiting for one (dask worker {self.address})")
        while not (count := self.threads()):
            time.sleep(_LOOK_EVERY_S)
        python = ".".join(map(str, sys.version_info[:2]))
        for address, worker in self._client.get_versions()["workers"].items():
            if not (theirs := worker["host"]["python"]).startswith(f"{python}."):
                raise ClusterError(f"{address}: the worker runs Python {theirs}; start it with Python {python}")
        info(f"cluster {self.address}: {count} {'task' if count == 1 else 'tasks'} at a time")

    def pool(
        self,
        make_work: Callable[..., Work],
        *arguments: Any,
        preload: Sequence[str] = (),
        shared: Sequence[Path] = (),
        at_most: int = sys.maxsize,
    ) -> _ClusterPool:
        """Return a pool of the cluster's processes; see `utils.process_pool.Workers`."""
        return _ClusterPool(self, shared, make_work, arguments, tuple(preload))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the future of a call of one of this module's functions by a worker."""
        call = pickle.dumps((function, arguments))
        # Where a task is lost with its worker, Dask gives it to another one, three times unless set otherwise.
        return self._client.submit(_call, str(IMPORT_ROOT), call, key=f"recital-{uuid.uuid4().hex}", pure=False)

    def call_all(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call one of this module's functions on all workers, as far as they answer."""
        with suppress(Exception):
            self._client.run(_call, str(IMPORT_ROOT), pickle.dumps((function, arguments)), on_error="ignore")

    def cancel(self, futures: Sequence[Any]) -> None:
        """Have the workers end what they do for these futures."""
        with suppress(Exception):
            self._client.cancel(list(futures))

    def require_alive(self) -> None:
        """Raise a `ClusterError` if the scheduler is gone."""
        if self._client.status != "running":
            raise ClusterError(f"{self.address}: the cluster's scheduler is gone; the same command again goes on")

    def close(self) -> None:
        """Disconnect; the cluster remains."""
        with suppress(Exception):
            self._client.close()


def _reachable(address: str) -> str:
    """Return the address of a scheduler, after a look whether anybody listens there."""
    path = Path(address)
    if path.is_file():
        try:
            return _reachable(str(json.loads(path.read_text(encoding="utf-8"))["address"]))
        except (ValueError, KeyError, TypeError):
            raise ClusterError(f"--cluster {address}: is not a file that dask scheduler has written") from None
    found = re.fullmatch(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})", address)
    if not found:
        raise ClusterError(
            f"--cluster {address}: is neither an address, as tcp://host:8786, nor the file of a dask scheduler"
        )
    try:
        socket.create_connection((found[2].strip("[]"), int(found[3])), timeout=_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"--cluster {address}: nobody listens there ({error}); start `dask scheduler` on that machine, and "
            f"`dask worker {address}` on every one that is to work"
        ) from None
    return f"{found[1] or 'tcp'}://{found[2]}:{found[3]}"


class _ClusterPool:
    """A `Pool` of the processes of a cluster.

    While it is open, each shared folder holds a hidden file, by which every process finds out whether it sees the same
    folder as this machine.
    """

    def __init__(
        self,
        cluster: Cluster,
        shared: Sequence[Path],
        make_work: Callable[..., Work],
        arguments: tuple[Any, ...],
        preload: tuple[str, ...],
    ) -> None:
        self._cluster = cluster
        self._stack = ExitStack()
        signs = {str(path): path.stat().st_size for path in map(self._sign, shared)}
        self._start = _Start(uuid.uuid4().hex, os.getcwd(), signs, _versions(), make_work, arguments, preload)
        self._waiting: deque[Any] = deque()
        self._in_hand: dict[str, tuple[Any, Any]] = {}  # key to future and task
        self._finished: queue.Queue[Any] = queue.Queue()
        self._most, self._counted = 0, -_COUNT_EVERY_S

    def _sign(self, shared: Path) -> Path:
        """Return a file to be seen by other machines: the shared one, or one written into the shared folder."""
        if not shared.is_dir():
            return shared.absolute()
        path = shared.absolute() / f"{_SIGN}{uuid.uuid4().hex}"
        path.write_text(path.name)
        self._stack.callback(path.unlink, missing_ok=True)
        return path

    def submit(self, task: Any) -> None:
        self._waiting.append(task)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Hand out tasks and yield their events, those of a task together when it has ended.

        Raises:
            ClusterError: the scheduler is gone, a machine lacks a folder or has other packages.
            Exception: what `make_work` raised.
        """
        quiet_s = 0.0
        while self._waiting or self._in_hand:
            self._hand_out()
            patience_s = _COUNT_EVERY_S if timeout_s is None else min(_COUNT_EVERY_S, timeout_s - quiet_s)
            try:
                future = self._finished.get(timeout=max(patience_s, 0.0))
            except queue.Empty:
                self._cluster.require_alive()
                quiet_s += patience_s
                if timeout_s is not None and quiet_s >= timeout_s:
                    return
                continue
            quiet_s = 0.0
            _, task = self._in_hand.pop(future.key)
            for event in self._events_of(future):
                yield replace(event, task=task)

    def _hand_out(self) -> None:
        if self._waiting and time.monotonic() - self._counted >= _COUNT_EVERY_S:
            count, self._counted = self._cluster.threads(), time.monotonic()
            if not count and self._most:
                warn(f"{self._cluster.address}: no worker is left; waiting for one")
            self._most = max(_TASKS_PER_PROCESS * count, 1)
        while self._waiting and len(self._in_hand) < self._most:
            task = self._waiting.popleft()
            future = self._cluster.submit(_run, self._start, task)
            self._in_hand[future.key] = future, task
            future.add_done_callback(self._finished.put)

    def _events_of(self, future: Any) -> list[Event]:
        from distributed import KilledWorker

        self._cluster.require_alive()
        if future.status == "cancelled":
            raise ClusterError(f"{self._cluster.address}: the cluster has lost its tasks; the same command goes on")
        error = future.exception()
        if isinstance(error, KilledWorker):
            raise ClusterError(
                f"{self._cluster.address}: the workers that had this task were lost one after another; see their "
                "logs. What is finished is kept: the same command goes on"
            )
        if error is not None:
            raise error
        events: list[Event] = future.result()
        return events

    def __enter__(self) -> _ClusterPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._cluster.cancel([future for future, _ in self._in_hand.values()])
        self._in_hand.clear()
        self._cluster.call_all(_end_idle, self._start.key)
        self._stack.close()


# --- On the workers ---


def _call(root: str, call: bytes) -> Any:
    """Call a function of the project, which a Dask worker finds in this folder alone."""
    import os
    import pickle
    import socket
    import sys

    if not os.path.isdir(os.path.join(root, "utils")):
        raise FileNotFoundError(
            f"{socket.gethostname()}: there is no {root}; the cluster's machines need the project, the corpora and the "
            "folders of the features under the same paths, on a file system that they share"
        )
    if root not in sys.path:
        sys.path.insert(0, root)
    function, arguments = pickle.loads(call)
    return function(*arguments)


# Hence Dask sends its code, not its name: before it has run, a worker finds none of our modules.
_call.__module__ = "__main__"


@dataclass(frozen=True)
class _Start:
    """The needs of a process before its first task.

    Attributes:
        key: of the pool.
        folder: the current one, for relative paths.
        signs: files to be seen, and their sizes in bytes.
        packages: name to version.
        make_work, arguments, preload: see `utils.process_pool.Workers`.
    """

    key: str
    folder: str
    signs: Mapping[str, int]
    packages: Mapping[str, str]
    make_work: Callable[..., Work]
    arguments: tuple[Any, ...]
    preload: tuple[str, ...]


@dataclass
class _Idle:
    """Processes of this worker that wait for a task."""

    start: str
    pool: ProcessPool
    since: float


_idle: list[_Idle] = []
_lock = threading.Lock()


def _run(start: _Start, task: Any) -> list[Event]:
    """Process a task in a process that holds the work; return its events without the task."""
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()
    pool = _take(start)
    try:
        pool.submit(task)
        events: list[Event] = []
        while not (events and isinstance(events[-1], Finished | Failed | Died)):
            state = worker.state.tasks.get(key)
            if state is None or state.state == "cancelled":  # the client is gone, or has another worker do it
                raise RuntimeError("the task is not wanted any more")
            events += pool.events(_LOOK_EVERY_S)
    except BaseException:
        pool.end(gently=False)
        raise
    with _lock:
        _idle.append(_Idle(start.key, pool, time.monotonic()))
    return [replace(event, task=None) for event in events]


def _take(start: _Start) -> ProcessPool:
    """Return a process with the work of a pool, and end those that nothing has used for a while."""
    with _lock:
        _end([each for each in _idle if time.monotonic() - each.since > _IDLE_S])
        for each in _idle:
            if each.start == start.key:
                _idle.remove(each)
                return each.pool
        # A nanny's worker is daemonic, and multiprocessing forbids it children; ours end with it by themselves.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        return ProcessPool(1, _make_there, start, preload=start.preload)


def _end_idle(key: str) -> None:
    with _lock:
        _end([each for each in _idle if each.start == key])


def _end(unused: Sequence[_Idle]) -> None:
    for each in unused:
        _idle.remove(each)
        each.pool.end(gently=True)


def _make_there(start: _Start) -> Work:
    """Make the work after a look whether this machine has what it needs.

    Raises:
        ClusterError: it does not see the shared files, or has other versions of packages.
    """
    host = socket.gethostname()
    for path, size in start.signs.items():
        if not _is_seen(Path(path), size):
            seen = Path(path).parent if Path(path).name.startswith(_SIGN) else path
            raise ClusterError(
                f"{host}: does not see the same {seen} as the machine of the command; the cluster's machines need a "
                "file system that they share, under the same paths"
            )
    ours = _versions()
    if differing := [name for name, version in start.packages.items() if ours.get(name) != version]:
        name = differing[0]
        raise ClusterError(
            f"{host}: has {name} {ours.get(name, 'missing')}, the machine of the command {start.packages[name]}; "
            "results would differ: use the same environment on every machine"
        )
    os.chdir(start.folder)
    return start.make_work(*start.arguments)


def _is_seen(path: Path, size: int) -> bool:
    # A network file system may show a new file some seconds late.
    for _ in range(int(_TIMEOUT_S)):
        if path.is_file() and path.stat().st_size == size:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
