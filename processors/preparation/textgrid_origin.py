"""Origin noted in a TextGrid of stage 1: its aligner, and stamps of recording and text."""

from __future__ import annotations

from config.schema import PreprocessSettings
from processors.alignment.aligners import own_aligner
from processors.preparation.fingerprints import Fingerprints
from processors.utterance import Utterance
from utils.fingerprint import stamp

SCORE = "score "
"""Prefix of the score in the origin."""
# Raise it when a change of the code requires aligning everything again.
_VERSION = 2


def aligner_of(settings: PreprocessSettings) -> str:
    """Return the aligner of recordings without a TextGrid (see `own_aligner`)."""
    return own_aligner(
        settings.alignment,
        language=settings.language,
        phone_extractor=settings.phone_extractor,
        has_textgrids=bool(settings.textgrid_dir),
    )


def stamp_of_lexicon(settings: PreprocessSettings) -> str:
    """Return a stamp of the user's lexicon."""
    path = settings.lexicon_file
    return stamp(path.read_text(encoding="utf-8") if path else "").hex()


def stamp_of_text(utterance: Utterance, lexicon: str, settings: PreprocessSettings) -> bytes:
    """Return a stamp of an utterance's text, language and the user's lexicon."""
    other_language = [utterance.language] if utterance.language != settings.language else []
    return stamp(utterance.text, lexicon, *other_language)


def origin_prefix(settings: PreprocessSettings, fingerprints: Fingerprints) -> str:
    """Return the beginning of the origin of a TextGrid of this recording and text made before extraction."""
    aligner = aligner_of(settings)
    of_mfa = (settings.mfa_dictionary, settings.mfa_acoustic_model) if aligner == "mfa" else ()
    return f"{aligner} {stamp(_VERSION, fingerprints.audio.hex(), fingerprints.text.hex(), *of_mfa).hex()}"
