"""Work of stage 1 that fails at one utterance, by the death of its process or by an error of the program."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from processors.preparation import utterance_preparer
from processors.preparation.worker import make_work


def make_deadly_work(settings, features):
    """Return the real work, whose process dies at clip_002: always, or once if a file says so."""
    work = make_work(settings, features)
    mark = Path(settings.processed_dir) / "died"

    def deadly(group, note):
        def deadly_note(done):
            note(done)
            following = group.jobs[done.index + 1 : done.index + 2]
            if following and following[0].utterance.id == "clip_002" and not mark.exists():
                if "once" in settings.processed_dir:
                    mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        work(group, deadly_note)

    return deadly


def make_clumsy_work(settings, features):
    """Return the real work, with a program error at clip_002."""
    real = utterance_preparer.extract_pitch
    count = iter(range(1000))

    def clumsy(*arguments, **options):
        if next(count) == 2:
            raise IndexError("off by one")
        return real(*arguments, **options)

    utterance_preparer.extract_pitch = clumsy
    return make_work(settings, features)
