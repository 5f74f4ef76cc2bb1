"""Commands as users call them, each in a process of its own that need not import first (`command_server`)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from config.paths import REPOSITORY


class Command:
    """A module of the project that runs as by `python -m`, used like a `subprocess.Popen`.

    It leads a session of its own, so that `os.killpg` ends it together with what it has started.
    """

    def __init__(self, command: dict[str, object]) -> None:
        self.args = [command["module"], *command["arguments"]]
        self.returncode: int | None = None
        self._output = [tempfile.TemporaryFile("w+") for _ in ("stdout", "stderr")]  # noqa: SIM115
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            files = [theirs.fileno(), *(file.fileno() for file in self._output)]
            socket.send_fds(_server(), [json.dumps(command).encode()], files)
        self.pid = int(self._answers.recv(100))

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or minus the number of the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it takes longer.
        """
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                found = self._answers.recv(100)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self.returncode = int(found)
            self._answers.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return what it wrote to standard output and standard error."""
        self.wait(timeout)
        for file in self._output:
            file.seek(0)
        stdout, stderr = [file.read() for file in self._output]
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    module: str, *arguments: str | Path, start_method: str = "fork", **environment: str
) -> Command | subprocess.Popen[str]:
    """Start a module as `python -m` does.

    Args:
        module: its name.
        arguments: of its command line.
        start_method: of its process pools: "fork", or "" for what suits the platform, which takes seconds of
            importing, and which a command wants that trains a network before.
        environment: what differs from ours.
    """
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    words = [str(argument) for argument in arguments]
    if hasattr(os, "pidfd_open"):
        request = {"module": module, "arguments": words, "environment": variables, "start_method": start_method}
        return Command(request)
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=REPOSITORY,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start_two(module: str, *arguments: str | Path) -> list[Command | subprocess.Popen[str]]:
    """Start a module as two processes that train together, as `torchrun --nproc_per_node 2` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [start(module, *arguments, RANK=rank, LOCAL_RANK=rank, **shared) for rank in ("0", "1")]


def call(module: str, *arguments: str | Path, timeout: float = 200, **options: str) -> subprocess.CompletedProcess[str]:
    """Run a module as `start` does, to its end; kill it after so many seconds."""
    command = start(module, *arguments, **options)
    try:
        stdout, stderr = command.communicate(timeout)
    finally:
        command.kill()
    return subprocess.CompletedProcess(command.args, command.wait(), stdout, stderr)


@cache
def _server() -> socket.socket:
    """Start the server, which ends with this process; return the socket by which it is asked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.command_server", str(theirs.fileno())],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours
