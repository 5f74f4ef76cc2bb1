"""Spelling out of web and e-mail addresses."""

from __future__ import annotations

import re

from processors.text.word_tables import word_set

_ENDINGS = "com|org|net|edu|gov|mil|int|io|ai|info|biz|tv|app|dev|co|uk|eu|de|fr|nl|ca|au|jp|ch|ru"
_SPELLED = word_set("www edu io ai tv uk eu de fr nl ca au jp ch ru html htm php js py pdf csv xml id")
_EMAIL = re.compile(r"(?<![\w.@])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"(?<!\w)(?:https?://|ftp://|www\.)[^\s<>\"{}—]+", re.IGNORECASE)
_DOMAIN = re.compile(
    rf"(?<![\w.@/-])(?:[a-z0-9][a-z0-9-]*\.)+(?:{_ENDINGS})(?:/[^\s<>\"{{}}—]*)?(?![\w@-]|\.\w)", re.IGNORECASE
)
_IN_BRACKETS = re.compile(r"\s?<([^<>\s]*[@/][^<>\s]*)>")
_HIDDEN = re.compile(r"(?<=/)\.(?=\w)")
_FILE = re.compile(
    r"(?<=[a-z0-9_]{2})\.(?=[a-z]{2,5}\b(?!\.\w))|(?<=\w)\.(?=(?:csv|json|txt|html|xml|pdf|png|jpg|toml|yaml)\b)"
)
_HASHTAG = re.compile(r"(?<!\w)#(?=[A-Za-z_])")
_SHARP = re.compile(r"(?<!\w)([CF])#(?!\w)")
_HANDLE = re.compile(r"(?<!\w)@(?=\w)")
_MARKS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
    "=": "equals",
    "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip


def expand_web_addresses(text: str) -> str:
    """Spell out e-mail and web addresses, file names, #hashtags and @handles.

    "https://www.example.com/a" becomes "W W W dot example dot com slash a", without the scheme.
    """
    text = _IN_BRACKETS.sub(r", \1", text)
    text = _EMAIL.sub(_spoken, text)
    text = _URL.sub(_spoken, text)
    text = _DOMAIN.sub(_spoken, text)
    text = _SHARP.sub(r"\1 sharp", text)
    text = _HASHTAG.sub("hashtag ", text)
    text = _HANDLE.sub("at ", text)
    return _FILE.sub(" dot ", _HIDDEN.sub("dot ", text))


def _spoken(match: re.Match[str]) -> str:
    address = match[0].rstrip(".,;:!?)'\"")
    after = match[0][len(address) :]
    address = re.sub(r"^(?:https?|ftp)://", "", address, flags=re.IGNORECASE).rstrip("/")
    words = [_word(part) for part in re.findall(r"[^\W_]+|[^\w\s]|_", address)]
    return " ".join(word for word in words if word) + after


def _word(part: str) -> str:
    if part.lower() in _SPELLED:
        return " ".join(part.upper())
    return _MARKS.get(part, part if part.isalnum() else "")
