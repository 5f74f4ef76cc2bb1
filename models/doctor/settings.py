"""Checks of an experiment's settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from config.load import load_settings
from models.doctor.disk_space import existing
from models.doctor.finding import Finding, Subject
from models.registry import features_for, settings_class
from utils.errors import RecitalError


def settings(subject: Subject) -> Iterator[Finding]:
    """Read the settings with all checks of loading."""
    try:
        subject.settings = load_settings(subject.config, subject.overrides, settings_class).settings
    except RecitalError as error:
        yield Finding(str(error), _to_correct(subject))
        return
    yield Finding(f"{subject.config}: {subject.settings.model_type} on {', '.join(subject.settings.dataset)}")


def _to_correct(subject: Subject) -> str:
    """Return the command that shows what can be set, or opens the faulty file."""
    file = Path(subject.config)
    if not file.is_file():
        return f"ls {shlex.quote(str(existing(file)))}"
    if subject.overrides:
        return Subject(subject.config).call("bins.settings")
    return f"${{EDITOR:-vi}} {shlex.quote(subject.config)}"


def front_ends(subject: Subject) -> Iterator[Finding]:
    """Construct the front end of each language of the corpora, which may need an optional package."""
    from processors.corpora.load import languages_of
    from processors.features import needs_text
    from processors.text.front_end import FrontEnds

    experiment = subject.known_settings
    if not needs_text(features_for(experiment)):
        return
    languages = languages_of(experiment)
    try:
        FrontEnds(experiment.preprocess).require(languages)
        yield Finding(
            f"texts: {', '.join(dict.fromkeys(languages.values()))} by {experiment.preprocess.phone_extractor}"
        )
    except RecitalError as error:
        yield Finding(str(error), _installation(error) or subject.call("bins.pronounce", "TEXT"))


def trackers(subject: Subject) -> Iterator[Finding]:
    """Look for the packages of `train.trackers`."""
    from utils.trackers import require_trackers

    names = subject.known_settings.train.trackers
    try:
        require_trackers(names)
    except RecitalError as error:
        yield Finding(str(error), _installation(error) or subject.call("bins.settings", "train.trackers"))
        return
    if names:
        yield Finding(f"trackers: {', '.join(names)}")


def _installation(error: RecitalError) -> str:
    """Return the command that a message names for what is not installed; empty for another message."""
    found = re.search(r"(?:sh env\.sh|pip install) [\w.-]+(?: [\w.-]+)*", str(error))
    return found.group() if found else ""
