"""The choice of an aligner, and pocketsphinx for the languages that it aligns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processors.alignment.intervals import AlignmentError
from processors.text.language_codes import is_english

if TYPE_CHECKING:
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner
    from processors.alignment.pocketsphinx_reader import PocketsphinxReader


def own_aligner(alignment: str, *, language: str, phone_extractor: str, has_textgrids: bool) -> str:
    """Return the aligner of the recordings without a TextGrid.

    Args:
        alignment: the setting: a name, `textgrid`, or `auto`.
        language: of the recordings, such as `en` or `en-us`.
        phone_extractor: of the front end; pocketsphinx has the phones of `lexicon` only.
        has_textgrids: whether the user names a folder of TextGrids.

    Returns:
        `pocketsphinx`, `learned` or `mfa`; empty for none.
    """
    if alignment == "textgrid":
        return ""
    if alignment != "auto":
        return alignment
    if is_english(language) and phone_extractor == "lexicon":
        return "pocketsphinx"
    return "" if has_textgrids else "learned"


def make_pocketsphinx_aligner(language: str) -> PocketsphinxAligner:
    """Construct an aligner of recordings in a language, such as `en` or `en-us`.

    Raises:
        AlignmentError: pocketsphinx does not align that language.
    """
    if not is_english(language):
        raise AlignmentError(
            f"pocketsphinx aligns English (en) only, not language {language!r}; set preprocess.alignment to learned, "
            "or provide TextGrids"
        )
    # Imported on demand, so that reading TextGrids does not need pocketsphinx.
    from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner

    return PocketsphinxAligner()


def make_pocketsphinx_reader(language: str, text: str) -> PocketsphinxReader:
    """Construct a recogniser of the words of a text, in `en`, `en-us` or the like."""
    from processors.alignment.pocketsphinx_reader import PocketsphinxReader

    return PocketsphinxReader(language, text)
