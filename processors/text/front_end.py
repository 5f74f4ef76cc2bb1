"""The front end of an experiment's settings."""

from __future__ import annotations

from config.paths import rooted
from config.schema import PreprocessSettings
from processors.text.phone_extractor import PhoneExtractor, make_phone_extractor


def make_front_end(settings: PreprocessSettings, language: str = "") -> PhoneExtractor:
    """Return the front end of a language, or of the settings' own."""
    return make_phone_extractor(
        settings.phone_extractor,
        language=language or settings.language,
        lexicon_path=rooted(settings.lexicon_path) if settings.lexicon_path else "",
        normalizer=settings.normalizer,
    )
