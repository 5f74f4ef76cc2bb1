"""The work of stage 1 as the processes of the pool take it: groups of utterances in, shards of features out."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.paths import rooted
from config.schema import PreprocessSettings
from processors.alignment.intervals import AlignmentError
from processors.audio.audio_file import AudioError
from processors.feature_store import ShardWriter
from processors.preparation.fingerprints import SOURCE, Source
from processors.preparation.rejected import PROBLEM, UNEXPECTED, Bad, DurationError
from processors.text.errors import TextError
from processors.text.phone_extractor import PhoneExtractor, make_phone_extractor
from processors.text.symbols import UnknownPhoneError
from processors.utterance import Utterance
from utils.errors import RecitalError
from utils.process_pool import Note, Work

ACOUSTIC_FEATURES = ("mel", "f0", "energy", "durations", "phonemes", "waveform")
"""What a model needs that reads text."""
ALIGNER_FEATURES = ("mel", "phonemes")
"""What a model needs that finds phones in recordings: here the phones as the text has them, with no durations yet."""
VOCODER_FEATURES = ("mel", "waveform")
"""What a model needs that turns mels into waveforms; they are made without looking at the text."""
RECORDING_S = "recording_s"
"""The feature of a store that tells how long the uncut recording is, (1,) in seconds."""
ALIGNMENT_SCORE = "alignment_score"
"""The feature of a store that tells how well a text suits its recording, (1,), of those that stage 1 aligned."""
SILENCE_IN_WORDS_S = "silence_in_words_s"
"""The feature of a store that tells how long the longest silence inside a word is, (1,), where there is any."""

PRELOAD = ("processors.preparation.utterance_preparer",)
"""What the processes import before they are handed any work."""

# Of features that wait in a process until their group is complete; long recordings make several files of a group.
_MOST_BYTES_HELD = 16 * 2**20
# Errors of the machine, which the next recording would meet as well.
_ENDS_ALL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (AlignmentError, "alignment failed"),
    (DurationError, "durations disagree"),
    (UnknownPhoneError, "unknown phone"),
    (TextError, "text"),
    (OSError, "unreadable"),
    (RecitalError, "other"),
)


def needs_text(features: Sequence[str]) -> bool:
    """Whether any of the features can only be made with the text at hand."""
    return not {"durations", "phonemes"}.isdisjoint(features)


def needs_alignment(features: Sequence[str]) -> bool:
    """Whether any of the features can only be made once it is known where the phones lie."""
    return "durations" in features


def make_front_end(settings: PreprocessSettings, language: str = "") -> PhoneExtractor:
    """Make what turns texts of a language, or of the settings' own, into phones as the settings say."""
    return make_phone_extractor(
        settings.phone_extractor,
        language=language or settings.language,
        lexicon_path=rooted(settings.lexicon_path) if settings.lexicon_path else "",
        normalizer=settings.normalizer,
    )


@dataclass(frozen=True)
class Job:
    """One utterance to prepare.

    Attributes:
        utterance: as the corpus has it.
        source: what is known of it beforehand, to be stored with the features.
        given_textgrid: the user's file, or None.
        own_textgrid: where stage 1 keeps its own.
        is_known: whether the store has something of it that is to be replaced.
    """

    utterance: Utterance
    source: Source
    given_textgrid: Path | None
    own_textgrid: Path
    is_known: bool


@dataclass(frozen=True)
class Group:
    """Utterances that one process prepares in a row and writes together."""

    store: Path
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Done:
    """News of one job.

    Attributes:
        place: of the job in its group.
        is_bad: whether the utterance had to be left out.
        not_kept: why, if the reason lies in the program rather than the utterance; the next run tries again.
    """

    place: int
    is_bad: bool = False
    not_kept: Bad | None = None


def make_work(settings: PreprocessSettings, features: Sequence[str]) -> Work:
    """Make what a process of the pool does: prepare a `Group`, with a `Done` after each utterance."""
    # Only here, for the process that hands out the work needs no torch.
    from processors.preparation.utterance_preparer import UtterancePreparer

    preparer = UtterancePreparer(settings, features)

    def prepare_group(group: Group, note: Note) -> None:
        with ShardWriter(group.store, max_bytes=_MOST_BYTES_HELD) as writer:
            for place, job in enumerate(group.jobs):
                bad = None
                try:
                    made = preparer.prepare(job)
                except Exception as error:
                    if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in _ENDS_ALL):
                        raise
                    bad = _described(error, job.utterance)
                    made = {SOURCE: job.source.as_array(), PROBLEM: bad.as_array()}
                if job.is_known:
                    writer.remove(job.utterance.id)
                is_kept = bad is None or bad.kind != UNEXPECTED
                if is_kept:
                    writer.add(job.utterance.id, made)
                note(Done(place, bad is not None, None if is_kept else bad))

    return prepare_group


def _described(error: Exception, utterance: Utterance) -> Bad:
    reason = " ".join(str(error).split())
    if isinstance(error, AudioError):
        return Bad(utterance.id, error.fault, reason)
    for family, kind in _KINDS:
        if isinstance(error, family):
            return Bad(utterance.id, kind, reason)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return Bad(utterance.id, UNEXPECTED, f"{utterance.audio_path}: {type(error).__name__} at {where}: {reason}")
