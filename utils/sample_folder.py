"""The folder with the speech of an experiment's checkpoints: the same sentences at a bounded number of steps."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

from utils.files import remove_partial_files, write_atomically

_STEP = re.compile(r"step-(\d{8,})")
ENDING = ".flac"


class SampleFolder:
    """`samples/` of an experiment: `step-00001000/NAME.flac`, `recorded/NAME.flac` and `sentences.json`.

    Args:
        experiment: its folder.
    """

    def __init__(self, experiment: Path) -> None:
        self.path = experiment / "samples"
        self.recorded, self._sentences = self.path / "recorded", self.path / "sentences.json"

    def of_step(self, step: int) -> Path:
        """Return the folder of a step, which may be missing."""
        return self.path / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Return the steps that there are, ascending."""
        found = (_STEP.fullmatch(path.name) for path in self.path.glob("step-*"))
        return sorted(int(match[1]) for match in found if match)

    def write_sentences(self, sentences: Mapping[str, tuple[str, str]]) -> None:
        """Write the utterance, "" for a text that no one recorded, and the text of each name, in their order."""
        write_atomically(self._sentences, json.dumps(sentences, ensure_ascii=False, indent=1))

    def sentences(self) -> dict[str, tuple[str, str]]:
        """Return what `write_sentences` has written; empty where that is missing or damaged."""
        try:
            found = json.loads(self._sentences.read_text(encoding="utf-8"))
            return {name: (str(utterance), str(text)) for name, (utterance, text) in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def drop_after(self, step: int) -> None:
        """Remove the speech of later steps, which a resumed training makes again, and what a kill has left."""
        remove_partial_files(self.path)
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.of_step(later), ignore_errors=True)

    def prune(self, keep: int) -> None:
        """Keep so many steps, one at least: the last, the first, and of the others those with most room around."""
        steps = self.steps()
        while len(steps) > max(keep, 1):
            inner = range(1, len(steps) - 1) if len(steps) > 2 else (0,)
            closest = min(inner, key=lambda place: (steps[place + 1] - steps[place - 1], place))
            shutil.rmtree(self.of_step(steps.pop(closest)), ignore_errors=True)


def file_stem(name: str) -> str:
    """Return a name as part of a file's: the same one for the same name; long or unusual ones with a checksum."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    return plain if plain == name and len(name) <= 80 else f"{plain[:48].strip('_')}-{zlib.crc32(name.encode()):08x}"
