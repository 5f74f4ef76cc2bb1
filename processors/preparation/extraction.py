"""Feature extraction in parallel processes, any of which may die."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from config.schema import PreprocessSettings
from processors.preparation.jobs import Done, JobGroup, groups_of
from processors.preparation.plan import CorpusPlan
from processors.preparation.rejected import Rejected
from processors.preparation.worker import PRELOAD, make_work
from utils.console import Progress, say, warn
from utils.process_pool import Died, Failed, Noted, ProcessPool

_DEATHS_UNTIL_REJECTED = 2

Failures = dict[tuple[Path, str], Rejected]
"""By store and utterance: failures that are not the utterance's own fault."""


def make_features(
    plans: Sequence[CorpusPlan], settings: PreprocessSettings, features: Sequence[str], num_workers: int
) -> Failures:
    """Do all jobs of the plans in processes.

    A process that dies has its group done again by another, but for an utterance at which two have died.

    Args:
        plans: of all corpora.
        settings: how features are made.
        features: which.
        num_workers: processes.

    Returns:
        What failed without a fault of the utterance, and is tried again in the next run.

    Raises:
        RecitalError: the machine or the installation fails, and with it all that would follow.
    """
    groups = [group for plan in plans for group in groups_of(plan.jobs, plan.folder, num_workers)]
    total = sum(len(plan.jobs) for plan in plans)
    there = sum(plan.n_there for plan in plans)
    if not total:
        say(f"nothing to make: all {there} utterances are there" if there else "nothing to make")
        return {}
    num_workers = min(num_workers, len(groups))
    say(
        f"making features of {total} {'utterance' if total == 1 else 'utterances'}"
        + (f" ({there} are there)" if there else "")
        + f" in {num_workers} {'process' if num_workers == 1 else 'processes'}"
    )
    failures: Failures = {}
    deaths: Counter[tuple[Path, str]] = Counter()
    seen: set[tuple[Path, str]] = set()
    n_rejected = 0
    with (
        Progress(total, "features", "clips") as progress,
        ProcessPool(num_workers, make_work, settings, features, preload=PRELOAD) as pool,
    ):
        for group in groups:
            pool.submit(group)
        for event in pool.events():
            if isinstance(event, Noted):
                done, key = event.note, _key(event.task, event.note.place)
                failures.pop(key, None)
                if done.not_kept:
                    failures[key] = done.not_kept
                if key not in seen:  # a group is done twice where a process died
                    seen.add(key)
                    n_rejected += done.is_rejected
                    progress.advance(1, f"{n_rejected} left out" if n_rejected else "")
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Died):
                culprit = _culprit(event)
                deaths[culprit] += 1
                if deaths[culprit] >= _DEATHS_UNTIL_REJECTED:
                    failures[culprit] = Rejected(
                        culprit[1], "crash", f"processes end when they are at it ({event.how})"
                    )
                if again := _again(event, culprit, failures):
                    pool.submit(again)
    return failures


def _key(group: JobGroup, place: int) -> tuple[Path, str]:
    return group.store, group.jobs[place].utterance.id


def _culprit(death: Died) -> tuple[Path, str]:
    """Return the utterance that a process died on: the one behind the last that it reported."""
    place = death.last_note.place + 1 if isinstance(death.last_note, Done) else 0
    return _key(death.task, min(place, len(death.task.jobs) - 1))


def _again(death: Died, culprit: tuple[Path, str], failures: Failures) -> JobGroup | None:
    """Return what another process is to do again, with a warning."""
    if culprit not in failures:
        warn(f"a worker process was {death.how} while it was at {culprit[1]}; another one tries again")
        group: JobGroup = death.task
        return group
    warn(f"a second worker process was {death.how} while it was at {culprit[1]}, which is left out")
    jobs = tuple(job for job in death.task.jobs if job.utterance.id != culprit[1])
    return JobGroup(death.task.store, jobs) if jobs else None
