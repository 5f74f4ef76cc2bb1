"""Findings of an examination, and its subject. As all that is imported first, it runs on old versions of Python."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from config.schema import ExperimentSettings
    from processors.corpora.corpus import Corpus
    from processors.utterance import Utterance


@dataclass(frozen=True)
class Finding:
    """A finding of a check: a fact, or a fault where a command is named.

    Attributes:
        text: one or more lines.
        command: the next one to type because of a fault; empty for a fact.
    """

    text: str
    command: str = ""

    @property
    def is_fault(self) -> bool:
        """Return whether something is wrong."""
        return bool(self.command)


@dataclass
class Subject:
    """Subject of an examination.

    Attributes:
        config: the recipe's settings file; empty to examine the installation alone.
        overrides: `--set` layers on it.
        name: of an experiment in `log_dir`; empty for all that are there.
        model: what shall be used: an experiment, checkpoint or bundle; empty for none.
        gpu: the GPUs asked for, as `--gpu` names them; None for those that are there.
        settings: those of `config`, once they are loaded; None while they are not, or cannot be.
        corpora: by dataset, once they are read.
        unprepared: of them, the utterances whose features stage 1 has left to make.
    """

    config: str = ""
    overrides: tuple[str, ...] = ()
    name: str = ""
    model: str = ""
    gpu: str | None = None
    settings: ExperimentSettings | None = None
    corpora: dict[str, Corpus] = field(default_factory=dict)
    unprepared: dict[str, tuple[Utterance, ...]] = field(default_factory=dict)

    @property
    def known_settings(self) -> ExperimentSettings:
        """Return `settings`, for checks that run only where they are loaded."""
        assert self.settings is not None, "checks.examine"
        return self.settings

    def call(self, module: str, *flags: str) -> str:
        """Return the line that calls a command with the settings examined and further flags, which replace theirs."""
        replaced = {flag.partition("=")[0] for flag in flags}
        kept = (override for override in self.overrides if override.partition("=")[0] not in replaced)
        layers = (part for override in kept for part in ("--set", override))
        config = ("--config", self.config) if self.config else ()
        return shlex.join(["python", "-m", module, *config, *layers, *flags])

    def experiments(self) -> list[Path]:
        """Return the folder of the named experiment, or of all with checkpoints in `log_dir`, if they are there."""
        folder = self.known_settings.log_path
        if self.name:
            return [folder / self.name] if (folder / self.name).is_dir() else []
        return sorted(path.parent for path in folder.glob("*/checkpoint"))


def size(n_bytes: float) -> str:
    """Return a size in words, such as `3.2 GiB`."""
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.0f} MiB"
