"""Pool of worker processes, any of which may be killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from utils.errors import RecitalError

# The folder of the package `utils`; not config.paths.REPOSITORY, since utils imports no other floor.
IMPORT_ROOT = Path(__file__).resolve().parent.parent
# One process per core leaves no core for helper threads: with two threads each they wait for one another.
_LIBRARIES = ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM", "NUMBA_NUM")
ONE_THREAD = {f"{library}_THREADS": "1" for library in _LIBRARIES}
DEATHS_WHILE_STARTING = 3

Note = Callable[[Any], None]
Work = Callable[[Any, Note], Any]


class WorkerError(RecitalError):
    """Worker processes that cannot be kept alive."""


@dataclass(frozen=True)
class Noted:
    """A worker's note about its current task."""

    task: Any
    note: Any


@dataclass(frozen=True)
class Finished:
    """The result of a finished task."""

    task: Any
    result: Any


@dataclass(frozen=True)
class Failed:
    """A task whose work raised an error; the worker continues."""

    task: Any
    error: Exception
    trace: str


@dataclass(frozen=True)
class Died:
    """A task whose process died; a new process replaces it."""

    task: Any
    last_note: Any
    how: str


Event = Noted | Finished | Failed | Died
_Self = TypeVar("_Self")


class Pool(Protocol):
    """Tasks and what happens to them; to be used in a `with`. `ProcessPool` explains the methods."""

    def submit(self, task: Any) -> None: ...
    def events(self, timeout_s: float | None = None) -> Iterator[Event]: ...
    def __enter__(self: _Self) -> _Self: ...
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


class Workers(Protocol):
    """Where tasks are processed: `ThisProcess`, `LocalProcesses`, or a cluster (`utils.cluster`)."""

    @property
    def count(self) -> int:
        """Return how many tasks are processed at a time."""

    def pool(
        self,
        make_work: Callable[..., Work],
        *arguments: Any,
        preload: Sequence[str] = (),
        shared: Sequence[Path] = (),
        at_most: int = sys.maxsize,
    ) -> Pool:
        """Return a pool of them.

        Args:
            make_work: a function at the top level of a module; see `ProcessPool`.
            arguments: of `make_work`; pickled, but for `ThisProcess`.
            preload: modules that the work needs, by name.
            shared: folders that the work writes to, and files that it reads, which every machine must see under the
                same path.
            at_most: a useful number of processes, such as the number of tasks.
        """


def results_of(pool: Pool, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Process tasks and yield each with its result, as they are done.

    Raises:
        WorkerError: the process of a task died.
        Exception: what a task raised.
    """
    for task in tasks:
        pool.submit(task)
    for event in pool.events():
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Died):
            raise WorkerError(f"a worker process was {event.how}; the same command again goes on")
        if isinstance(event, Finished):
            yield event.task, event.result


@dataclass(frozen=True)
class LocalProcesses:
    """Processes of this machine."""

    count: int

    def pool(
        self,
        make_work: Callable[..., Work],
        *arguments: Any,
        preload: Sequence[str] = (),
        shared: Sequence[Path] = (),
        at_most: int = sys.maxsize,
    ) -> Pool:
        """Return a pool of at most so many; see `Workers`."""
        return ProcessPool(min(self.count, max(at_most, 1)), make_work, *arguments, preload=preload)


class ThisProcess:
    """The calling process, with all its threads and its GPU, for work that one process does best."""

    count = 1

    def pool(self, make_work: Callable[..., Work], *arguments: Any, **_: Any) -> Pool:
        """Return a pool without processes; see `Workers`."""
        return _PoolWithoutProcesses(make_work(*arguments))


class _PoolWithoutProcesses:
    """Tasks that are processed one after another while their events are read; errors are raised."""

    def __init__(self, work: Work) -> None:
        self._work, self._waiting = work, deque[Any]()

    def submit(self, task: Any) -> None:
        self._waiting.append(task)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        while self._waiting:
            task, notes = self._waiting.popleft(), list[Any]()
            result = self._work(task, notes.append)
            yield from (Noted(task, note) for note in notes)
            yield Finished(task, result)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pass


def available_cores() -> int:
    """Return the number of cores that this process may use, in a container possibly fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ProcessPool:
    """Processes that take tasks one at a time and whose death is an event instead of a hang.

    `make_work(*arguments)` runs once in every process and returns `work(task, note)`, so that what is slow to
    construct (a decoder, a filter bank) is constructed once. Results and notes pass through a pipe: keep them small;
    large data is written to files by the work.

        with ProcessPool(4, make_work, "argument") as pool:
            for task in tasks:
                pool.submit(task)
            for event in pool.events():     # may submit more, e.g. a task whose worker died
                ...

    Processes are forked from a server process that has only imported `preload`: forking this process could copy a lock
    that one of torch's threads holds, and spawning repeats the imports (1 s for torch) in every worker. Where the
    platform's frameworks do not survive a fork (macOS) or there is none (Windows), they are spawned. Each worker
    computes on one thread, ignores Ctrl-C (the parent handles it and ends them) and exits with its parent, also when
    the parent is killed. When the `with` block ends by an error the workers are killed, so that their files must be
    written atomically.

    Args:
        num_workers: how many processes; at least 1.
        make_work: a function at the top level of a module.
        arguments: of `make_work`; pickled.
        preload: modules that the work needs, by name.
        start_method: `forkserver` or `spawn`; by default what suits the platform.
    """

    def __init__(
        self,
        num_workers: int,
        make_work: Callable[..., Work],
        *arguments: Any,
        preload: Sequence[str] = (),
        start_method: str = "",
    ) -> None:
        if num_workers < 1:
            raise WorkerError(f"{num_workers} worker processes: at least 1 is needed")
        self._make_work, self._arguments = make_work, arguments
        self._waiting: deque[Any] = deque()
        self._deaths_while_starting = 0
        start_method = start_method or ("forkserver" if sys.platform.startswith("linux") else "spawn")
        self._context: Any = multiprocessing.get_context(start_method)
        if start_method == "forkserver":
            self._context.set_forkserver_preload(list(preload))
        self._workers: list[_Worker] = []
        try:
            for _ in range(num_workers):
                self._workers.append(self._start())
        except BaseException:
            self.end(gently=False)
            raise

    def submit(self, task: Any) -> None:
        """Put a task at the end of the queue."""
        self._waiting.append(task)

    def events(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Distribute tasks and yield their events, as they occur, until every task is done.

        Args:
            timeout_s: end after so many seconds in which nothing occurs; the next call continues.

        Raises:
            WorkerError: workers die repeatedly before they are ready.
            Exception: what `make_work` raised in a worker.
        """
        while self._waiting or any(worker.is_busy for worker in self._workers):
            for worker in self._workers:
                if worker.is_ready and not worker.is_busy and self._waiting:
                    worker.give(self._waiting.popleft())
            by_handle = {handle: worker for worker in self._workers for handle in worker.handles()}
            changed = {id(by_handle[handle]): by_handle[handle] for handle in wait(list(by_handle), timeout_s)}
            if not changed:
                return
            for worker in changed.values():
                yield from self._events_of(worker)

    def _events_of(self, worker: _Worker) -> Iterator[Event]:
        for kind, content in worker.messages():
            if kind == "ready":
                worker.is_ready = True
                self._deaths_while_starting = 0
            elif kind == "unable":
                raise content
            elif kind == "note":
                worker.last_note = content
                yield Noted(worker.task, content)
            else:
                task = worker.take_back()
                yield Finished(task, content) if kind == "result" else Failed(task, *content)
        if not worker.is_gone:
            return
        how = worker.end_of_life()
        self._workers.remove(worker)
        if not worker.is_ready:
            self._deaths_while_starting += 1
            if self._deaths_while_starting >= DEATHS_WHILE_STARTING:
                raise WorkerError(
                    f"worker processes exit before they are ready ({how}); free some memory, or use fewer workers"
                )
        self._workers.append(self._start())
        if worker.is_busy:
            yield Died(worker.task, worker.last_note, how)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._make_work, self._arguments), name="worker", daemon=True
        )
        with _ignoring_interrupts(), _environment(**ONE_THREAD, PYTHONPATH=_python_path()):
            process.start()
        theirs.close()  # otherwise this copy keeps the pipe open when the worker is gone
        return _Worker(process, ours)

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(gently=kind is None)

    def end(self, gently: bool) -> None:
        """End the processes: at once whatever they do, or gently after their tasks, for which they have 5 s."""
        for worker in self._workers:
            # Not SIGTERM with a handler that raises: an extension module may catch the exception as its own.
            worker.dismiss() if gently else worker.process.kill()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers.clear()


_NO_TASK = object()


class _Worker:
    """The parent's side of one process."""

    def __init__(self, process: Any, connection: Connection) -> None:
        self.process, self.connection = process, connection
        self.task: Any = _NO_TASK
        self.last_note: Any = None
        self.is_ready = False
        self.is_gone = False

    @property
    def is_busy(self) -> bool:
        return self.task is not _NO_TASK

    def handles(self) -> list[Any]:
        return [self.connection, self.process.sentinel]

    def give(self, task: Any) -> None:
        self.task, self.last_note = task, None
        # If the worker has just died, the next wait finds it gone with this task assigned.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def take_back(self) -> Any:
        task, self.task = self.task, _NO_TASK
        return task

    def messages(self) -> Iterator[tuple[str, Any]]:
        # The order matters: a process that is dead before its pipe is read writes nothing afterwards.
        is_dead = not self.process.is_alive()
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            is_dead = True
        self.is_gone = is_dead

    def dismiss(self) -> None:
        with suppress(OSError):
            self.connection.send(None)

    def end_of_life(self) -> str:
        """Clean up after a dead process and return how it ended."""
        self.process.join(timeout=5)
        if self.process.is_alive():  # it closed its pipe and is unreachable
            self.process.kill()
            self.process.join()
        self.connection.close()
        code = self.process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                return f"killed by {name}, as happens when memory runs out" if name == "SIGKILL" else f"ended by {name}"
        return f"ended with exit code {code}"


def _serve(connection: Connection, make_work: Callable[..., Work], arguments: Sequence[Any]) -> None:
    """Run in the worker: make the work, then process tasks until the parent has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    os.environ.update(ONE_THREAD)  # the server may have been started elsewhere, without it
    try:
        work = make_work(*arguments)
        _use_one_thread()
    except Exception as error:
        connection.send(("unable", _portable(error)))
        return

    def note(content: Any) -> None:
        connection.send(("note", content))

    connection.send(("ready", None))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (task := connection.recv()) is not None:
            try:
                result = work(task, note)
            except Exception as error:
                connection.send(("failed", (_portable(error), traceback.format_exc())))
            else:
                connection.send(("result", result))


def _end_with_parent() -> None:
    """Exit when the parent is gone, so that workers of a killed run do not write while the next run does."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="watch the parent", daemon=True).start()


def _use_one_thread() -> None:
    # Libraries read the environment when they are loaded; torch may have been loaded before it was set.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _python_path() -> str:
    # The server process must find the modules also when the command was started in another folder.
    return os.pathsep.join(filter(None, [str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")]))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C within the block, so that new processes ignore it from their start."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
