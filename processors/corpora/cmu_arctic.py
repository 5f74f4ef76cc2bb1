"""CMU ARCTIC, read by lhotse's recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.corpora.corpus import folders_in, recordings_in
from processors.corpora.lhotse_adapter import Found, Lack, Listed, Part, Recipe, relocated
from processors.utterance import numbered_lines


def _parts(folder: Path) -> list[Part]:
    speakers = [inner for inner in folders_in(folder) if (inner / "etc" / "txt.done.data").is_file()]
    return [Part("all")] if any(inner.name.startswith("cmu_us_") for inner in speakers) else []


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse.recipes.cmu_arctic import prepare_cmu_arctic

    with tempfile.TemporaryDirectory() as beside:
        # As with VCTK: the recipe fails at the first prompt without a recording, and includes other folders' sounds.
        view = Path(beside)
        for speaker in folders_in(folder):
            prompts = speaker / "etc" / "txt.done.data"
            if not speaker.name.startswith("cmu_us_") or not prompts.is_file() or not (speaker / "wav").is_dir():
                continue
            recordings = recordings_in(speaker / "wav")
            for inner in ("etc", "wav"):
                (view / speaker.name / inner).mkdir(parents=True)
            for path in recordings.values():
                (view / speaker.name / "wav" / path.name).symlink_to(path)
            kept = []
            for number, line in numbered_lines(prompts):
                words = line.strip("() ").split(maxsplit=1)
                if len(words) == 2 and words[0] in recordings:
                    kept.append(f"( {line.strip('() ')} )\n")
                else:
                    name = speaker.name.removeprefix("cmu_us_").removesuffix("_arctic")
                    where, id_ = f"{prompts}:{number}", words[0] if words else ""
                    found.lacks.append(Lack(name, where, id_, "no recording in wav/, or no text"))
            (view / speaker.name / "etc" / prompts.name).write_text("".join(kept), encoding="utf-8")
        manifests = prepare_cmu_arctic(view)
        yield parts[0], relocated(manifests["recordings"], view, folder), manifests["supervisions"]


RECIPE = Recipe("cmu_us_bdl_arctic/ and the like", _parts, _listed)
