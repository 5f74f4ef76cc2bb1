"""TextGrids that are made for a whole corpus at once, before stage 1 makes features: by whom, and their marks."""

from __future__ import annotations

from config.paths import rooted
from config.schema import PreprocessSettings
from processors.alignment.aligners import own_aligner
from processors.preparation.fingerprints import Source, stamp
from processors.utterance import Utterance

SCORE = "score "
"""What stands before the score in the origin of a TextGrid of ours."""
# To be raised where a change of the code calls for aligning everything again.
_VERSION = 2


def aligner_of(settings: PreprocessSettings) -> str:
    """Say who aligns the recordings without a TextGrid (see `own_aligner`)."""
    return own_aligner(
        settings.alignment,
        language=settings.language,
        phone_extractor=settings.phone_extractor,
        has_textgrids=bool(settings.textgrid_dir),
    )


def stamp_of_lexicon(settings: PreprocessSettings) -> str:
    """Mark the user's lexicon, which decides with the text how words are pronounced."""
    path = settings.lexicon_path
    return stamp(rooted(path).read_text(encoding="utf-8") if path else "").hex()


def stamp_of_text(utterance: Utterance, lexicon: str, settings: PreprocessSettings) -> bytes:
    """Mark what is said in a recording: its text, how the user's lexicon pronounces it, and in which language."""
    other_language = [utterance.language] if utterance.language != settings.language else []
    return stamp(utterance.text, lexicon, *other_language)


def origin_beforehand(settings: PreprocessSettings, source: Source) -> str:
    """Give what the origin begins with of a TextGrid made beforehand of this recording and text."""
    aligner = aligner_of(settings)
    of_mfa = (settings.mfa_dictionary, settings.mfa_acoustic_model) if aligner == "mfa" else ()
    return f"{aligner} {stamp(_VERSION, source.audio.hex(), source.text.hex(), *of_mfa).hex()}"
