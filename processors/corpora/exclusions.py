"""Exclusion of recordings by a list of ids."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from config.schema import PreprocessSettings
from processors.corpora.corpus import Corpus, CorpusError, some
from utils.console import info, warn

_REMARK = re.compile(r"(?:^|\s)#")


def left_out(dataset: str, settings: PreprocessSettings) -> frozenset[str]:
    """Read the ids of a corpus's excluded recordings; text from a # at the start of a word on is a comment.

    Raises:
        CorpusError: `preprocess.leave_out` names a list that cannot be read.
    """
    if not settings.leave_out:
        return frozenset()
    path = settings.leave_out_file(dataset)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, ValueError) else error.strerror or error
        hint = "" if path.exists() else "; bins.check_data writes such lists"
        raise CorpusError(f"preprocess.leave_out: {path}: cannot be read: {reason}{hint}") from None
    return frozenset(id_ for line in lines if (id_ := _REMARK.split(line)[0].strip()))


def report_exclusions(corpora: Mapping[str, Corpus], settings: PreprocessSettings) -> None:
    """Print how many recordings of each corpus are excluded, and warn of ids that no corpus of a list has.

    Raises:
        CorpusError: as `left_out`.
    """
    if not settings.leave_out:
        return
    sharing: dict[Path, list[str]] = defaultdict(list)
    for dataset in corpora:
        sharing[settings.leave_out_file(dataset)].append(dataset)
    for path, datasets in sharing.items():
        unwanted = left_out(datasets[0], settings)
        unknown = set(unwanted)
        for dataset in datasets:
            found = unwanted & {utterance.id for utterance in corpora[dataset].utterances}
            if found:
                are = "recording is" if len(found) == 1 else "recordings are"
                info(f"{dataset}: {len(found)} {are} left out, as preprocess.leave_out says")
            unknown -= found
        if unknown:
            warn(f"preprocess.leave_out: {path}: no recording of {some(datasets)} is named {some(sorted(unknown))}")
