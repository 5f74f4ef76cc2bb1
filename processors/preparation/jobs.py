"""The jobs that stage 1 hands to its processes, and what they report back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from processors.preparation.fingerprints import Fingerprints
from processors.preparation.rejected import Rejected
from processors.utterance import Utterance

# A kill loses at most what the processes hold of their groups; and the more groups, the more files.
_MOST_IN_GROUP = 64
_FEWEST_IN_GROUP = 4


@dataclass(frozen=True)
class Job:
    """One utterance to prepare.

    Attributes:
        utterance: as the corpus has it.
        fingerprints: of what its features will be made from, as far as known; stored with them.
        given_textgrid: the user's file, or None.
        own_textgrid: where stage 1 keeps its own.
        is_known: whether the store has something of it that is to be replaced.
    """

    utterance: Utterance
    fingerprints: Fingerprints
    given_textgrid: Path | None
    own_textgrid: Path
    is_known: bool


@dataclass(frozen=True)
class JobGroup:
    """Utterances that one process prepares in a row and writes together."""

    store: Path
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Done:
    """Result of one job.

    Attributes:
        place: of the job in its group.
        is_rejected: whether the utterance had to be left out.
        not_kept: why, if the reason lies in the program rather than the utterance; the next run tries again.
    """

    place: int
    is_rejected: bool = False
    not_kept: Rejected | None = None


def groups_of(jobs: Sequence[Job], store: Path, num_workers: int) -> Iterator[JobGroup]:
    """Cut jobs into groups that get smaller towards the end, so that all processes end together."""
    start = 0
    while start < len(jobs):
        share = -(-(len(jobs) - start) // (2 * num_workers))
        size = min(max(share, _FEWEST_IN_GROUP), _MOST_IN_GROUP)
        yield JobGroup(store, tuple(jobs[start : start + size]))
        start += size
