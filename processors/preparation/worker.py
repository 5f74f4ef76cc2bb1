"""Worker process of stage 1: prepares groups of utterances and writes shards of features."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Sequence
from pathlib import Path

from config.schema import PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.audio.audio_file import AudioError
from processors.feature_store import ShardWriter
from processors.features import PROBLEM, SOURCE
from processors.preparation.jobs import Done, JobGroup
from processors.preparation.rejected import UNEXPECTED, DurationError, Rejected
from processors.text.errors import TextError
from processors.text.symbols import UnknownPhoneError
from processors.utterance import Utterance
from utils.errors import RecitalError
from utils.process_pool import Note, Work

PRELOAD = ("processors.preparation.utterance_preparer",)
"""Modules that the processes import at the start."""

# Features held in memory until their group is complete; groups of long recordings become several shards.
_MAX_BYTES_HELD = 16 * 2**20
# Errors of the machine, with which every further recording would fail.
_ENDS_ALL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (AlignmentError, "alignment failed"),
    (DurationError, "durations disagree"),
    (UnknownPhoneError, "unknown phone"),
    (TextError, "text"),
    (OSError, "unreadable"),
    (RecitalError, "other"),
)


def make_work(settings: PreprocessSettings, features: Sequence[str]) -> Work:
    """Return the work of one process: prepare a `JobGroup`, and report `Done` after each utterance."""
    # Not at the top: the parent process needs no torch.
    from processors.preparation.utterance_preparer import UtterancePreparer

    preparer = UtterancePreparer(settings, features)

    def prepare_group(group: JobGroup, note: Note) -> None:
        with ShardWriter(group.store, max_bytes=_MAX_BYTES_HELD) as writer:
            for index, job in enumerate(group.jobs):
                rejected = None
                try:
                    features_of_job = preparer.prepare(job)
                except Exception as error:
                    if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in _ENDS_ALL):
                        raise
                    rejected = _rejection(error, job.utterance)
                    features_of_job = {SOURCE: job.fingerprints.as_array(), PROBLEM: rejected.as_array()}
                if job.is_known:
                    writer.remove(job.utterance.id)
                is_stored = rejected is None or rejected.kind != UNEXPECTED
                if is_stored:
                    writer.add(job.utterance.id, features_of_job)
                note(Done(index, rejected is not None, None if is_stored else rejected))

    return prepare_group


def _rejection(error: Exception, utterance: Utterance) -> Rejected:
    reason = " ".join(str(error).split())
    if isinstance(error, AudioError):
        return Rejected(utterance.id, error.fault, reason)
    for family, kind in _KINDS:
        if isinstance(error, family):
            return Rejected(utterance.id, kind, reason)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    return Rejected(utterance.id, UNEXPECTED, f"{utterance.audio_path}: {type(error).__name__} at {where}: {reason}")
