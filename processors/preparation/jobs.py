"""Jobs of stage 1's worker processes, and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from processors.preparation.fingerprints import Fingerprints
from processors.preparation.rejected import Rejected
from processors.utterance import Utterance

# A kill loses at most one group per process; smaller groups make more files.
_MAX_IN_GROUP = 64
_MIN_IN_GROUP = 4


@dataclass(frozen=True)
class Job:
    """One utterance to prepare.

    Attributes:
        utterance: as listed in the corpus.
        fingerprints: of the inputs of its features, as far as known; stored with them.
        given_textgrid: the user's file, or None.
        own_textgrid: path of stage 1's own TextGrid.
        is_known: whether the store has entries of it, to be replaced.
    """

    utterance: Utterance
    fingerprints: Fingerprints
    given_textgrid: Path | None
    own_textgrid: Path
    is_known: bool


@dataclass(frozen=True)
class JobGroup:
    """Utterances that one process prepares one by one and writes together."""

    store: Path
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Done:
    """The result of one job.

    Attributes:
        index: of the job in its group.
        is_rejected: whether the utterance was rejected.
        not_stored: the rejection, if the program failed rather than the utterance; the next run tries again.
    """

    index: int
    is_rejected: bool = False
    not_stored: Rejected | None = None


def groups_of(jobs: Sequence[Job], store: Path, num_workers: int) -> Iterator[JobGroup]:
    """Split jobs into groups that get smaller towards the end, so that all processes finish together."""
    start = 0
    while start < len(jobs):
        share = -(-(len(jobs) - start) // (2 * num_workers))
        size = min(max(share, _MIN_IN_GROUP), _MAX_IN_GROUP)
        yield JobGroup(store, tuple(jobs[start : start + size]))
        start += size
