"""Feature extraction in worker processes, any of which may crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from config.schema import PreprocessSettings
from processors.preparation.jobs import Done, JobGroup, groups_of
from processors.preparation.plan import CorpusPlan
from processors.preparation.rejected import Rejected
from processors.preparation.worker import PRELOAD, make_work
from utils.console import Progress, info, warn
from utils.process_pool import Died, Failed, Noted, Workers

_DEATHS_UNTIL_REJECTED = 2

Failures = dict[tuple[Path, str], Rejected]
"""By store and utterance: failures of the program or its processes, not of the utterance."""


def make_features(
    plans: Sequence[CorpusPlan], settings: PreprocessSettings, features: Sequence[str], workers: Workers
) -> Failures:
    """Run all jobs of the plans in worker processes.

    The group of a process that dies is done again, without an utterance on which two processes have died.

    Args:
        plans: of all corpora.
        settings: of the features.
        features: to compute.
        workers: that run them.

    Returns:
        Failures of the program, which are tried again in the next run.

    Raises:
        RecitalError: the machine or the installation fails, which would make every further job fail.
    """
    groups = [group for plan in plans for group in groups_of(plan.jobs, plan.folder, workers.count)]
    total = sum(len(plan.jobs) for plan in plans)
    done_before = sum(plan.n_done for plan in plans)
    if not total:
        info(f"nothing to do: all {done_before} utterances are up to date" if done_before else "nothing to do")
        return {}
    num_workers = min(workers.count, len(groups))
    info(
        f"extracting features of {total} {'utterance' if total == 1 else 'utterances'}"
        + (f" ({done_before} are up to date)" if done_before else "")
        + f" in {num_workers} {'process' if num_workers == 1 else 'processes'}"
    )
    failures: Failures = {}
    deaths: Counter[tuple[Path, str]] = Counter()
    reported: set[tuple[Path, str]] = set()
    n_rejected = 0
    with (
        Progress(total, "features", "clips") as progress,
        workers.pool(
            make_work,
            settings,
            features,
            preload=PRELOAD,
            shared=[path for plan in plans if plan.jobs for path in (plan.folder, plan.jobs[0].utterance.audio_path)],
            at_most=len(groups),
        ) as pool,
    ):
        for group in groups:
            pool.submit(group)
        for event in pool.events():
            if isinstance(event, Noted):
                done, key = event.note, _key(event.task, event.note.index)
                failures.pop(key, None)
                if done.not_stored:
                    failures[key] = done.not_stored
                if key not in reported:  # a group is repeated if its process died
                    reported.add(key)
                    n_rejected += done.is_rejected
                    progress.advance(1, f"{n_rejected} left out" if n_rejected else "")
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Died):
                culprit = _culprit(event)
                deaths[culprit] += 1
                if deaths[culprit] >= _DEATHS_UNTIL_REJECTED:
                    failures[culprit] = Rejected(culprit[1], "crash", f"worker processes crash on it ({event.how})")
                if retry := _retry_of(event, culprit, failures):
                    pool.submit(retry)
    return failures


def _key(group: JobGroup, index: int) -> tuple[Path, str]:
    return group.store, group.jobs[index].utterance.id


def _culprit(death: Died) -> tuple[Path, str]:
    """Return the utterance that a process died on: the one after the last that it reported."""
    index = death.last_note.index + 1 if isinstance(death.last_note, Done) else 0
    return _key(death.task, min(index, len(death.task.jobs) - 1))


def _retry_of(death: Died, culprit: tuple[Path, str], failures: Failures) -> JobGroup | None:
    """Return the jobs of a dead process to do again, if any, and warn."""
    if culprit not in failures:
        warn(f"a worker process was {death.how} while preparing {culprit[1]}; trying again")
        group: JobGroup = death.task
        return group
    warn(f"a second worker process was {death.how} while preparing {culprit[1]}, which is left out")
    jobs = tuple(job for job in death.task.jobs if job.utterance.id != culprit[1])
    return JobGroup(death.task.store, jobs) if jobs else None
