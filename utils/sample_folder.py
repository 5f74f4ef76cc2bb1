"""The folder with the speech of an experiment's checkpoints: the same sentences at a bounded number of steps."""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

_STEP = re.compile(r"step-(\d{8,})")
ENDING = ".flac"


class SampleFolder:
    """`samples/` of an experiment: `step-00001000/NAME.flac`, `recorded/NAME.flac` and `texts.json`.

    Args:
        experiment: its folder.
    """

    def __init__(self, experiment: Path) -> None:
        self.path = experiment / "samples"
        self.recorded, self.texts = self.path / "recorded", self.path / "texts.json"

    def of_step(self, step: int) -> Path:
        """Return the folder of a step, which may be missing."""
        return self.path / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Return the steps that there are, ascending."""
        found = (_STEP.fullmatch(path.name) for path in self.path.glob("step-*"))
        return sorted(int(match[1]) for match in found if match)

    def drop_after(self, step: int) -> None:
        """Remove the speech of later steps, which a resumed training makes again."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.of_step(later), ignore_errors=True)

    def prune(self, keep: int) -> None:
        """Keep so many steps, evenly spread: the first, the last, and of the others those with most room around."""
        steps = self.steps()
        while len(steps) > max(keep, 2):
            inner = range(1, len(steps) - 1)
            closest = min(inner, key=lambda place: (steps[place + 1] - steps[place - 1], place))
            shutil.rmtree(self.of_step(steps.pop(closest)), ignore_errors=True)


def file_stem(name: str) -> str:
    """Return a name as part of a file's: the same one for the same name; long or unusual ones with a checksum."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    return plain if plain == name and len(name) <= 80 else f"{plain[:48].strip('_')}-{zlib.crc32(name.encode()):08x}"
