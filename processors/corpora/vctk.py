"""VCTK, read by lhotse's recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from processors.corpora.corpus import folders_in, recordings_in
from processors.corpora.lhotse_adapter import Found, Lack, Listed, Part, Recipe, relocated

_NEWER, _OLDER = "wav48_silence_trimmed", "wav48"


def _parts(folder: Path) -> list[Part]:
    """List the microphones: version 0.92 has two, of which the second is cleaner, earlier versions have one."""
    if not (folder / "txt").is_dir():
        return []
    if (folder / _NEWER).is_dir():
        return [Part("mic1", by_default=False), Part("mic2")]
    return [Part("wav48")] if (folder / _OLDER).is_dir() else []


def _listed(folder: Path, parts: Sequence[Part], found: Found) -> Iterator[Listed]:
    from lhotse.recipes.vctk import prepare_vctk

    is_092 = parts[0].name != "wav48"
    audio = folder / (_NEWER if is_092 else _OLDER)
    names = {speaker.name: recordings_in(speaker) for speaker in folders_in(audio)}
    texts = {
        speaker.name: {text.stem: text for text in sorted(speaker.glob("*.txt")) if not text.name.startswith(".")}
        for speaker in folders_in(folder / "txt")
    }
    for part in parts:
        ending = f"_{part.name}" if is_092 else ""
        with tempfile.TemporaryDirectory() as beside:
            # The recipe fails at the first text without a recording (p280 has none from the second microphone), so it
            # reads a view of the corpus without missing files, and with the recordings of this microphone only. Ages
            # and accents are not used.
            view = Path(beside)
            (view / "speaker-info.txt").write_text("ID AGE GENDER ACCENTS REGION\n")
            for speaker in sorted({*names, *texts}):
                recorded = {
                    name.removesuffix(ending): path
                    for name, path in names.get(speaker, {}).items()
                    if name.endswith(ending)
                }
                written = texts.get(speaker, {})
                for inner, files, others in ((audio.name, recorded, written), ("txt", written, recorded)):
                    (view / inner / speaker).mkdir(parents=True)
                    for name in files.keys() & others.keys():
                        (view / inner / speaker / files[name].name).symlink_to(files[name])
                for name in sorted(recorded.keys() - written.keys()):
                    id_ = name + ending if len(parts) > 1 else name
                    reason = f"no text {name}.txt in txt/{speaker}"
                    found.lacks.append(Lack(speaker, str(recorded[name]), id_, reason, recorded[name]))
                for name in sorted(written.keys() - recorded.keys()):
                    reason = f"no recording {name}{ending} in {audio.name}"
                    found.lacks.append(Lack(speaker, str(written[name]), name, reason))
            manifests = prepare_vctk(view, use_edinburgh_vctk_url=is_092, mic_id=part.name)
            yield part, relocated(manifests["recordings"], view, folder), manifests["supervisions"]


def _id(supervision: Any, several: bool) -> str:
    """Return p225_001 if one microphone is read, and p225_001_mic1 if both are."""
    id_: str = supervision.id
    return id_ if several else id_.removesuffix("_mic1").removesuffix("_mic2")


RECIPE = Recipe("txt/ and wav48_silence_trimmed/ (or wav48/)", _parts, _listed, id=_id)
