"""Unicode normalisation of texts."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from processors.text.language_codes import primary_language

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True))
_REPLACED = {
    **dict.fromkeys("‘’‚‛′ʹʼˈ`´＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›＂", '"'),
    **dict.fromkeys("‐‑﹣－", "-"),
    **dict.fromkeys("‒–", "–"),
    **dict.fromkeys("—―﹘", "—"),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("•·・|¦‖", ", "),
    **dict.fromkeys("。｡", ". "),
    **dict.fromkeys("、､，", ", "),
    **dict.fromkeys("¿¡", ""),
    **dict.fromkeys("™®©℠", ""),
    "−": "-", "⅋": "&", "×": " x ", "✕": " x ", "№": " No. ", "º": "°", "…": "...", "µ": "μ",
}  # fmt: skip
_CHARACTERS = str.maketrans(_REPLACED)
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
# Invisible, private, unassigned and half characters: controls, joiners, byte-order marks, lone surrogates.
_DROPPED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}
# But for joiners, which shape letters in Persian and Indian scripts.
_JOINERS = "\u200c\u200d"


_DOTLESS_I = ("tr", "az", "crh", "tt", "ba")
# Letters and figures, but no punctuation marks, which texts in Chinese and Japanese use as their own.
_FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ％＋－＝＄￡￠￥＆＠＃／℃℉㎀-㏟]+")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_BULLET = re.compile(r"[-*+•‣◦▪–]\s+(?=\S)")
_ITEM = re.compile(r"[-*+•‣◦▪–]\s+\S|(?:\d{1,3}|[a-zA-Z])[.)]\s+\S")
_HEADING = re.compile(r"#{1,6}\s+")
_RULE = re.compile(r"(?:[-*_=~]\s?){2,}")
_ABBREVIATED = re.compile(r"[^\W\d_]\.$")
_SHORT_LINE = 40
_UNENDED = re.compile(r"(?:[\w%°$€£*_`>]|[^.,;:!?…][)\]\"'”’»])\s*$")
_HEART = re.compile(r"(?<!\S)<3+(?=(\s+\w)|[\s.!?,;:]|$)")
_LOVERS = frozenset(["i", "we", "you", "they"])
_BEFORE_HEART = frozenset(
    ["you", "u", "ya", "love", "thanks", "thank", "thx", "bye", "night", "xx", "xoxo", "much", "guys", "all", "so"]
)
# Of e-mails and Markdown.
_QUOTED = re.compile(r"^(?:>\s?)+", re.MULTILINE)
_COLUMNS = re.compile(r"(?<=[^\s,;:])(?:\t+| {3,})(?=\S)")
_EMOTICON = re.compile(r"(?<!\S)[:;=][-'^]?[)(\]\[DPp|\\/*3]+(?!\S)|(?<=!)1+(?=[!\s]|$)")


def end_lines(text: str) -> str:
    """End headings, list items and paragraphs with a full stop unless they have a mark, and drop bullets.

    A line ends a sentence if a blank line, a list item or a heading follows, or if it is a heading itself; other lines
    are those of running text, but for short lines before a capital and paragraphs whose lines end although the next
    word would fit, as in price lists and addresses, which pause. The stop is separated from its word, so that it is
    never an abbreviation's or ordinal's. The marks ">" of quoted lines are dropped.
    """
    text = _QUOTED.sub("", text)
    lines = ["" if _RULE.fullmatch(line.strip()) else line for line in text.splitlines()]
    ended: list[str] = []
    in_lists = _places_in_lists(lines)
    for place, line in enumerate(lines):
        line = line.strip()
        following = lines[place + 1].strip() if place + 1 < len(lines) else "."
        is_heading = _HEADING.match(line)
        ends = not following or is_heading or _ITEM.match(following) or _HEADING.match(following)
        plain = _BULLET.sub("", _HEADING.sub("", line, count=1), count=1) if is_heading or _ITEM.match(line) else line
        is_item = len(line) < _SHORT_LINE and following[:1].isupper()
        mark = " ." if ends else " ," if is_item or (place in in_lists and following[0].isalnum()) else ""
        takes_mark = _UNENDED.search(plain) or (ends and _ABBREVIATED.search(plain))
        ended.append(plain + mark if takes_mark else plain)
    return "\n".join(ended)


def _places_in_lists(lines: Sequence[str]) -> set[int]:
    """Return the places of lines in paragraphs of which most lines end although the next one's first word would fit."""
    places: set[int] = set()
    start = 0
    for end in range(len(lines) + 1):
        if end < len(lines) and lines[end].strip():
            continue
        block = [line.strip() for line in lines[start:end]]
        longest = max(map(len, block), default=0)
        n_early = sum(len(line) + 1 + len(following.split()[0]) <= longest for line, following in pairwise(block))
        if 2 * n_early > len(block) - 1:
            places.update(range(start, end - 1))
        start = end + 1
    return places


def _plain(text: str) -> str:
    if "&" in text:
        text = _REFERENCE.sub(lambda match: html.unescape(match[0]), text)
    if "\t" in text or "   " in text:
        text = _COLUMNS.sub(", ", text)
    return end_lines(text) if "\n" in text or "\r" in text else text


def map_characters(text: str) -> str:
    """Unify quotes, dashes, spaces, digits, fractions and compatibility characters.

    Unicode's NFKC, except for fractions ("1½" as "1 1/2", not "11/2"), superscripts ("m²" as "m^2") and digits of other
    scripts. White space of any kind becomes one space, between columns a comma; invisible characters and emoticons are
    dropped; HTML's character references are resolved; headings, list items and paragraphs end with a full stop.
    """
    text = _plain(text).replace("+/-", "±")
    if not text.isascii():
        text = _SUPERSCRIPT_RUN.sub(lambda run: "^" + "".join(_SUPERSCRIPTS[digit] for digit in run[0]), text)
        text = "".join(_visible(character) for character in text).translate(_CHARACTERS)
        text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
        text = "".join(_ascii_digit(character) for character in text)
    if ":" in text or ";" in text or "=" in text or "!1" in text:
        text = _EMOTICON.sub(" ", text)
    if "<3" in text:
        text = _HEART.sub(_heart, text)
    return " ".join(text.split())


def composed(text: str) -> str:
    """Return a text of any language in composed form (NFC), with single spaces and without invisible characters.

    Full-width figures and letters become plain ones, HTML's character references are resolved, and headings, list items
    and paragraphs end with a full stop.
    """
    text = _plain(text)
    if not text.isascii():
        if _FULL_WIDTH.search(text):
            text = _FULL_WIDTH.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
        text = unicodedata.normalize("NFC", text)
    seen = (
        " " if character.isspace() else character
        for character in text
        if character.isspace() or character in _JOINERS or unicodedata.category(character) not in _DROPPED_CATEGORIES
    )
    return " ".join("".join(seen).split())


def folded_in(text: str, language: str) -> str:
    """Return a text case-folded: in Turkish and its relatives I is ı, and İ is i."""
    if primary_language(language) in _DOTLESS_I:
        text = text.replace("İ", "i").replace("I", "ı")
    return text.casefold()


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category in _DROPPED_CATEGORIES or "\ufe00" <= character <= "\ufe0f" or category == "Me":
        return ""
    if category == "No" and "⁄" in (fraction := unicodedata.normalize("NFKC", character)):
        return f" {fraction} "
    return character


def _heart(match: re.Match[str]) -> str:
    """Return the verb of "I <3 you", nothing for one behind a greeting; "<3" as it is behind what can be compared."""
    *_, before = match.string[: match.start()].split() or [""]
    if match[1] and before.lower() in _LOVERS:
        return "heart"
    greets = before[-1:] in ".!?,;:)" or before.lower() in _BEFORE_HEART or _HEART.fullmatch(before)
    return " " if greets else match[0]


def _ascii_digit(character: str) -> str:
    digit = unicodedata.digit(character, None)
    return character if digit is None else str(digit)
