"""The recordings that stage 1 leaves out because a list says so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from config.schema import PreprocessSettings
from processors.corpora.corpus import Corpus, CorpusError, some
from utils.console import say, warn

_REMARK = re.compile(r"(?:^|\s)#")


def left_out(dataset: str, settings: PreprocessSettings) -> frozenset[str]:
    """Read which recordings of a corpus are to be left out; a # that begins a word, and what follows, is for people.

    Raises:
        CorpusError: `preprocess.leave_out` names a list that cannot be read.
    """
    if not settings.leave_out:
        return frozenset()
    path = settings.leave_out_file(dataset)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        told = "it is no text in UTF-8" if isinstance(error, ValueError) else error.strerror or error
        hint = "" if path.exists() else "; bins.check_data writes such lists"
        raise CorpusError(f"preprocess.leave_out: {path}: cannot be read: {told}{hint}") from None
    return frozenset(id_ for line in lines if (id_ := _REMARK.split(line)[0].strip()))


def tell_what_is_left_out(corpora: Mapping[str, Corpus], settings: PreprocessSettings) -> None:
    """Say how many recordings of each corpus are left out, and which of a list's ids no corpus has that it is for.

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
                say(f"{dataset}: {len(found)} {are} left out, as preprocess.leave_out says")
            unknown -= found
        if unknown:
            warn(f"preprocess.leave_out: {path}: no recording of {some(datasets)} is named {some(sorted(unknown))}")
