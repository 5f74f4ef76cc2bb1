"""A process that has imported what commands import, and forks itself for each that `tests.support.commands` asks for.

A command has there what `python -m` would give it: arguments, working directory, environment, output and exit are its
own. It only spares the seconds of importing. Its process pools fork as well, unless it was asked for otherwise.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from utils.process_pool import ProcessPool

PRELOAD = (
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "models.aligner.task",
    "models.fastspeech2.task",
    "models.hifigan.task",
    "models.inference.synthesizer",
    "processors.data_check.check",
    "processors.preparation.prepare",
    "processors.preparation.report",
    "processors.preparation.utterance_preparer",
    "torch._dynamo",  # imported by the first optimizer
    "torch.utils.tensorboard",
    "utils.trainer",
)


def next_command(control: socket.socket) -> tuple[Any, list[int]] | None:
    """Fork for each command, and report its end; return in the fork with its request, and without any at the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, files, *_ = socket.recv_fds(control, 2**20, 3)
                    if not message:
                        return None
                    process_id = os.fork()
                    if not process_id:
                        return json.loads(message), files
                    answers, *output = files
                    for file in output:
                        os.close(file)
                    selector.register(os.pidfd_open(process_id), selectors.EVENT_READ, (process_id, answers))
                else:
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    process_id, answers = key.data
                    with suppress(BrokenPipeError):
                        os.write(answers, b"%d" % os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]))
                    os.close(answers)


def run(command: Any, answers: int, stdout: int, stderr: int) -> NoReturn:
    """Become the command, and end as Python does, but for taking apart everything that was imported."""
    os.setsid()
    os.write(answers, b"%d" % os.getpid())
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for file in (answers, stdout, stderr):
        os.close(file)
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv = [command["module"], *command["arguments"]]
    ProcessPool.__init__.__kwdefaults__["start_method"] = command["start_method"]
    code: Any = 0
    try:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
    except SystemExit as exit_:
        code = exit_.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    gc.freeze()  # else the collections of every fork copy all that was imported
    with socket.socket(fileno=int(sys.argv[1])) as control:
        found = next_command(control)
    if found:
        run(found[0], *found[1])


if __name__ == "__main__":
    main()
