"""Model cards: the README.md of a repository on the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path

from models.bundle import Bundle
from models.bundles.origin import inherited_base
from models.registry import kind_of
from utils.version import VERSION

CARD_FILE = "README.md"
_LICENCES = frozenset(
    ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gpl-3.0")
)
_PIPELINES = {"acoustic": "text-to-speech", "vocoder": "audio-to-audio"}


def model_card(bundle: Bundle, repository: str, licence: str | None = None) -> str:
    """Return the card of a model: YAML for the Hub's search, then its use, its training speech and its licence.

    Without a licence it is that of all sources of synthesized speech, if they have one in common; otherwise it is left
    to the owner, as `other` or `unknown`. `base_model` is the repository that the initial weights came from.

    Args:
        bundle: the model.
        repository: owner and name.
        licence: of the weights.
    """
    kind, preprocess = kind_of(bundle.settings.model_type), bundle.settings.preprocess
    is_voice = kind == "acoustic"
    licences = [licence] if licence else sorted({source.licence for source in bundle.sources})
    known = licences[0].lower() if len(licences) == 1 and licences[0].lower() in _LICENCES else ""
    head: dict[str, object] = {"license": known or ("other" if licences else "unknown")}
    if licences and not known:
        head["license_name"] = " and ".join(licences)
    if is_voice:
        head["language"] = sorted(set(bundle.languages.values()) or {preprocess.language})
    head["library_name"] = "recital"
    if kind in _PIPELINES:
        head["pipeline_tag"] = _PIPELINES[kind]
    head["tags"] = ["recital", "text-to-speech", bundle.settings.model_type.lower()]
    if base := inherited_base(bundle.folder):
        head["base_model"] = base
    # JSON's values are YAML's, too, whatever is in them.
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    lines += [f"# {repository.rpartition('/')[2]}", ""]
    lines += [f"A {bundle.settings.model_type} of Recital {VERSION}, {preprocess.sample_rate} Hz.", ""]
    place = f"hf://{repository}"
    if is_voice:
        lines += [f"    python -m bins.synthesize --infer_expt_dir {place} --infer_text 'Hello there.'", ""]
        lines += [f"Speakers: {', '.join(bundle.speakers)}.", ""]
    elif kind == "vocoder":
        lines += [f"    python -m bins.synthesize --vocoder_dir {place} --infer_expt_dir DIR --infer_text 'Hello.'", ""]
    if bundle.sources:
        lines += ["It was trained on synthesized speech; keep to these licences, and name the sources:", ""]
        lines += [*(f"- {source}" for source in bundle.sources), ""]
    return "\n".join(lines)


def add_card(bundle: Bundle, repository: str, folder: Path, licence: str | None = None) -> str:
    """Write the card into a folder, unless it has one, and return the file's name."""
    path = folder / CARD_FILE
    if not path.exists():
        path.write_text(model_card(bundle, repository, licence), encoding="utf-8")
    return CARD_FILE
