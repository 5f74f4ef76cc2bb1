"""Process pool: every task is done once, and a worker's death is an event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.paths import REPOSITORY
from tests.support.pool_work import make_corpse, make_environment_reader, make_nothing, make_sleeper, make_square
from utils.errors import RecitalError
from utils.process_pool import Died, Failed, Finished, Noted, ProcessPool, WorkerError


def process_ids(pool: ProcessPool) -> list[int]:
    return [worker.process.pid for worker in pool._workers]


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("start_method", ["", "spawn"])
def test_every_task_is_done_once(start_method):
    with ProcessPool(3, make_square, 1, start_method=start_method) as pool:
        for task in range(20):
            pool.submit(task)
        events = list(pool.events())
    finished = [event for event in events if isinstance(event, Finished)]
    assert sorted((event.task, event.result) for event in finished) == [(n, n * n + 1) for n in range(20)]
    assert sum(isinstance(event, Noted) for event in events) == 20


def test_pool_without_tasks_ends():
    with ProcessPool(1, make_square, 0) as pool:
        assert list(pool.events()) == []


def test_error_is_an_event_and_the_worker_goes_on():
    with ProcessPool(1, make_square, 0) as pool:
        worker = process_ids(pool)
        for task in (1, "explode", 2):
            pool.submit(task)
        events = [event for event in pool.events() if not isinstance(event, Noted)]
        assert process_ids(pool) == worker
    assert [type(event) for event in events] == [Finished, Failed, Finished]
    failure = events[1]
    assert isinstance(failure, Failed)
    assert isinstance(failure.error, RecitalError)
    assert "the task exploded" in str(failure.error)
    assert "square" in failure.trace


@pytest.mark.parametrize("start_method", ["", "spawn"])
@pytest.mark.parametrize(("task", "how"), [("die", "SIGKILL"), ("leave", "exit code 7")])
def test_killed_worker_is_an_event_and_the_rest_is_done(task, how, start_method):
    with ProcessPool(2, make_square, 0, start_method=start_method) as pool:
        for each in (1, task, 2, 3):
            pool.submit(each)
        events = list(pool.events())
    deaths = [event for event in events if isinstance(event, Died)]
    assert [(death.task, death.last_note) for death in deaths] == [(task, ("began", task))]
    assert how in deaths[0].how
    assert sorted(event.result for event in events if isinstance(event, Finished)) == [1, 4, 9]


def test_task_can_be_submitted_again_after_a_death():
    with ProcessPool(1, make_square, 0) as pool:
        pool.submit("die")
        results = []
        for event in pool.events():
            if isinstance(event, Died):
                pool.submit(5)
            elif isinstance(event, Finished):
                results.append(event.result)
    assert results == [25]


def test_an_error_while_a_worker_starts_is_raised():
    with pytest.raises(RecitalError, match="the lexicon is missing"), ProcessPool(2, make_nothing) as pool:
        pool.submit(1)
        list(pool.events())


def test_workers_that_die_while_starting_end_the_pool():
    with pytest.raises(WorkerError, match="exit code 3"), ProcessPool(2, make_corpse) as pool:
        pool.submit(1)
        list(pool.events())


def test_no_workers_is_refused():
    with pytest.raises(WorkerError, match="0 worker"):
        ProcessPool(0, make_square, 0)


def test_each_worker_computes_on_one_thread():
    with ProcessPool(1, make_environment_reader) as pool:
        pool.submit("?")
        (event,) = pool.events()
    assert isinstance(event, Finished)
    assert event.result == ("1", 1)


def test_starting_workers_leaves_our_environment_alone():
    before = dict(os.environ)
    with ProcessPool(1, make_square, 0):
        assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_leaving_early_ends_the_workers(tmp_path):
    with pytest.raises(KeyboardInterrupt), ProcessPool(2, make_sleeper, str(tmp_path)) as pool:
        ids = process_ids(pool)
        pool.submit(1)
        pool.submit(2)
        for worker in pool._workers:  # hand out the tasks without waiting for their end
            worker.give(pool._waiting.popleft())
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        raise KeyboardInterrupt
    assert not any(is_running(process_id) for process_id in ids)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from tests.support.pool_work import make_sleeper\n"
        "from utils.process_pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPool(2, make_sleeper, sys.argv[1]) as pool:\n"
        "        pool.submit(1); pool.submit(2)\n"
        "        list(pool.events())\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(program)
    marks = tmp_path / "marks"
    marks.mkdir()
    # The folder is another one than the repository's root: workers must find our modules all the same.
    parent = subprocess.Popen([sys.executable, str(script), str(marks), str(REPOSITORY)], cwd=tmp_path)
    try:
        wait_for(lambda: len(list(marks.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(mark.name) for mark in marks.iterdir()]
    wait_for(lambda: not any(is_running(process_id) for process_id in workers))
