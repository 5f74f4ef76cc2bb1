"""Chinese languages: full tones, per cent, and the suffix -r of Mandarin."""

from __future__ import annotations

import re
from collections.abc import Sequence

from processors.text.language_codes import primary_language

SUFFIX = "儿"
_PERCENT = re.compile(r"(\d+(?:[.,]\d+)*)\s?[%％]")
# The words in which it is a syllable of its own: son, child, daughter, infant, orphan.
_SUFFIX = re.compile(rf"(?<=[\u4e00-\u9fff])(?<![女婴幼孤少健宠胎男]){SUFFIX}(?![子童女孙科歌媳])")
_TONE_OF_IPA = re.compile("[0-9ɜ]+$")
# Behind syllabic consonants, IPA has no tone.
_TAKES_TONE = re.compile("[0-9ɜ]$|\u0329")
_CONTOUR = re.compile(r"\d+$")
_NO_PHONES = {"", "|", ":"}


FORMER_TONES = "when tones of Chinese languages had other symbols, and Mandarin's tones 1 and 4 were one symbol"
"""End of the message that refuses phones of before version 2 of the tones."""

# Of the Sino-Tibetan family, as espeak-ng's voices `sit/` are.
_TONES_CHANGED = ("zh", "cmn", "yue", "hak", "my")


def is_mandarin(language: str) -> bool:
    """Return whether a code, such as `zh`, `zh-TW` or `cmn-latn-pinyin`, is Mandarin; `zh-yue` is Cantonese."""
    return primary_language(language) in ("zh", "cmn") and not is_cantonese(language)


def is_cantonese(language: str) -> bool:
    """Return whether a code, such as `yue` or `zh-yue`, is Cantonese."""
    return "yue" in re.split("[-_]", language.lower())[:2]


def has_former_tones(language: str) -> bool:
    """Return whether espeak-ng's phones of a language have had other symbols for tones."""
    return primary_language(language) in _TONES_CHANGED


def speak_percent(text: str) -> str:
    """Put "百分之" before the number of a percentage, for which espeak-ng has an English word."""
    return _PERCENT.sub(r"百分之\1", text)


def separate_suffix(text: str) -> str:
    """Write spaces around the suffix -r (erhua), whose joined readings espeak-ng spells in English letters."""
    return " ".join(_SUFFIX.sub(f" {SUFFIX} ", text).split())


def as_suffix(phones: Sequence[str]) -> tuple[str, ...]:
    """Return the phones of 儿 as a suffix: without stress, in the neutral tone."""
    return tuple(_CONTOUR.sub("11", phone.lstrip("ˈˌ")) for phone in phones)


def with_contours(ipa: Sequence[str], mnemonics: Sequence[str]) -> list[str]:
    """Replace the tones of IPA, which are the first figures of their contours, by whole contours.

    Tones 1 and 4 (55 and 51) have one symbol in espeak-ng's IPA, and 35 has that of a vowel. Words of other languages
    have no tones, but figures in some of their mnemonics.

    Args:
        ipa: pieces of one text, without switches of language.
        mnemonics: those of the same text in espeak-ng's own notation.
    """
    contours = [_CONTOUR.search(piece) for piece in mnemonics if piece not in _NO_PHONES]
    if len(contours) != len(ipa):
        toned = [contour for contour in contours if contour]
        places = [place for place, piece in enumerate(ipa) if _TONE_OF_IPA.search(piece)]
        if len(toned) != len(places):
            return list(ipa)
        contours = [None] * len(ipa)
        for place, contour in zip(places, toned, strict=True):
            contours[place] = contour
    return [
        _TONE_OF_IPA.sub("", piece) + contour[0] if contour and _TAKES_TONE.search(piece) else piece
        for piece, contour in zip(ipa, contours, strict=True)
    ]
