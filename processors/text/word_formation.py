"""Pronunciations of derived words from those of their stems: plurals, possessives, suffixes, two prefixes.

No lexicon lists every "-ness"; the rules of English voicing are more reliable here than the network for unknown words.
Percent of CMUdict's words that are right, each taken as unknown, reduced vowels and the two grades of stress counted as
one (the network was trained on these words):

             -s  -ed  -ing  -ly  -ness, -less, -like  -able  -ment  over-, under-
    rules    89   94    91   83                   91     82     79             87
    network  72   81    80   67                   69     69     65             73

For compounds ("woodcutter"), un-, re-, mis-, non-, -y, -er, -ish and -man the network was better, so that it handles
them.
"""

from __future__ import annotations

from collections.abc import Callable

from processors.text.arpabet import is_vowel
from processors.text.tokens import Pronunciation

Lookup = Callable[[str], tuple[Pronunciation, ...]]

_SIBILANTS = {"S", "Z", "SH", "ZH", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH", "S", "SH", "CH"}
_VOWEL_LETTERS = "aeiouy"
_CLITICS = {"'re": ("ER0",), "'m": ("M",), "n't": ("AH0", "N", "T")}
_LIGHT_CLITICS = {"'ll": "L", "'ve": "V"}  # with a vowel behind a consonant
CONTRACTIONS = (*_CLITICS, *_LIGHT_CLITICS, "'d", "'s")
_REGULAR_ENDINGS = {
    "ness": ("N", "AH0", "S"), "less": ("L", "AH0", "S"), "like": ("L", "AY2", "K"), "ful": ("F", "AH0", "L"),
    "ment": ("M", "AH0", "N", "T"), "able": ("AH0", "B", "AH0", "L"),
}  # fmt: skip
_PREFIXES = {"over": ("OW2", "V", "ER0"), "under": ("AH2", "N", "D", "ER0")}
_METRIC = {
    "kilo": ("K", "IH1", "L", "AH0"), "mega": ("M", "EH1", "G", "AH0"), "giga": ("G", "IH1", "G", "AH0"),
    "tera": ("T", "EH1", "R", "AH0"), "hecto": ("HH", "EH1", "K", "T", "AH0"), "deci": ("D", "EH1", "S", "AH0"),
    "centi": ("S", "EH1", "N", "T", "AH0"), "milli": ("M", "IH1", "L", "AH0"), "micro": ("M", "AY1", "K", "R", "OW0"),
    "nano": ("N", "AE1", "N", "OW0"),
}  # fmt: skip
_ADVERBS = {"here": ("HH", "IH2", "R"), "there": ("DH", "EH2", "R"), "where": ("W", "EH2", "R")}
_BEHIND_ADVERBS = frozenset(
    ["of", "to", "by", "in", "on", "at", "with", "under", "upon", "from", "after", "for", "into", "unto"]
)


def derive_pronunciations(word: str, lookup: Lookup) -> tuple[Pronunciation, ...]:
    """Derive the pronunciations of a word from those of its parts.

    Args:
        word: lower-case letters and apostrophes.
        lookup: returns the pronunciations of a word, empty if unknown.

    Returns:
        All variants, best first; empty if no rule applies.
    """
    for rule in (_with_clitic, _with_s, _with_past, _with_ing, _with_ly, _with_regular_ending, _prefixed):
        if pronunciations := rule(word, lookup):
            return tuple(dict.fromkeys(pronunciations))
    return ()


def _with_clitic(word: str, lookup: Lookup) -> list[Pronunciation]:
    for ending, phones in _CLITICS.items():
        if word.endswith(ending):
            return [base + phones for base in lookup(word.removesuffix(ending))]
    if sound := _LIGHT_CLITICS.get(word[-3:]):
        return [(*base, *((sound,) if is_vowel(base[-1]) else ("AH0", sound))) for base in lookup(word[:-3])]
    if word.endswith("'d"):
        return [base + _past_ending(base) for base in lookup(word[:-2])]
    if word.endswith("in'"):
        return [(*base[:-1], "N") for base in lookup(word[:-1] + "g") if base[-1] == "NG"]
    return []


def _with_s(word: str, lookup: Lookup) -> list[Pronunciation]:
    if word.endswith("'s"):
        return [base + _s_ending(base) for base in lookup(word[:-2])]
    if word.endswith("s'"):
        return list(lookup(word[:-1])) or _with_s(word[:-1], lookup)
    if not word.endswith("s") or word.endswith("ss"):
        return []
    stems = [word[:-1]]
    if word.endswith("ies"):
        stems.insert(0, word[:-3] + "y")
    elif word.endswith("es"):
        stems.append(word[:-2])
    return [base + _s_ending(base) for base in _first_known(stems, lookup)]


def _s_ending(base: Pronunciation) -> Pronunciation:
    if base[-1] in _SIBILANTS:
        return ("IH0", "Z")
    return ("S",) if base[-1] in _VOICELESS else ("Z",)


def _with_past(word: str, lookup: Lookup) -> list[Pronunciation]:
    if not word.endswith("ed") or len(word) < 5:
        return []
    return [base + _past_ending(base) for base in _verb_stem(word[:-2], lookup)]


def _past_ending(base: Pronunciation) -> Pronunciation:
    if base[-1] in ("T", "D"):
        return ("IH0", "D")
    return ("T",) if base[-1] in _VOICELESS else ("D",)


def _with_ing(word: str, lookup: Lookup) -> list[Pronunciation]:
    if not word.endswith("ing") or len(word) < 6:
        return []
    return [(*base, "IH0", "NG") for base in _verb_stem(word[:-3], lookup)]


def _with_ly(word: str, lookup: Lookup) -> list[Pronunciation]:
    if not word.endswith("ly") or len(word) < 5:
        return []
    if word.endswith("ably") or word.endswith("ibly"):
        return [(*base[:-3], "B", "L", "IY0") for base in lookup(word[:-1] + "e") if base[-3:] == ("B", "AH0", "L")]
    stems = [word[:-2]]
    if word.endswith("ily"):
        stems = [word[:-3] + "y"]
    elif word.endswith("ically"):
        stems = [word[:-4], word[:-2]]
    return [(*_before_ly(base), "L", "IY0") for base in _first_known(stems, lookup)]


def _before_ly(base: Pronunciation) -> Pronunciation:
    if base[-1] == "L":  # not doubled: "final", "finally"
        return base[:-1]
    return (*base[:-1], "AH0") if base[-1] == "IY0" else base  # "happy", "happily"


def _with_regular_ending(word: str, lookup: Lookup) -> list[Pronunciation]:
    for ending, phones in _REGULAR_ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word.removesuffix(ending)
            stems = [stem[:-1] + "y"] if stem.endswith("i") else _stems(stem) if ending == "able" else [stem]
            return [base + phones for base in _first_known(stems, lookup)]
    return []


def _prefixed(word: str, lookup: Lookup) -> list[Pronunciation]:
    for prefix, phones in _METRIC.items():
        if word.startswith(prefix) and len(rest := word.removeprefix(prefix)) >= 3:
            return [phones + _secondary(base) for base in lookup(rest) or _with_s(rest, lookup)]
    for prefix, phones in _ADVERBS.items():
        rest = word.removeprefix(prefix)
        if rest != word and rest in _BEHIND_ADVERBS:
            return [phones + base for base in lookup(rest)[:1]]
    for prefix, phones in _PREFIXES.items():
        if word.startswith(prefix) and len(word) >= len(prefix) + 4:
            rest = word.removeprefix(prefix)
            if known := lookup(rest):
                return [phones + base for base in known]
    return []


def _secondary(phones: Pronunciation) -> Pronunciation:
    return tuple(phone.replace("1", "2") for phone in phones)


def _verb_stem(stem: str, lookup: Lookup) -> tuple[Pronunciation, ...]:
    known = _first_known(_stems(stem), lookup)
    if stem.endswith("at"):  # to separate, not the separate one
        return tuple(sorted(known, key=lambda phones: not phones[-2].startswith("EY")))
    return known


def _stems(stem: str) -> list[str]:
    """Return possible spellings of a verb before "-ed" or "-ing": hop-e, hop(p), carr-y."""
    stems = []
    if stem.endswith("i"):
        stems.append(stem[:-1] + "y")
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in _VOWEL_LETTERS:
        stems.append(stem[:-1])
    return [*stems, stem + "e", stem] if _takes_silent_e(stem) else [*stems, stem, stem + "e"]


def _takes_silent_e(stem: str) -> bool:
    # After one vowel and one consonant English keeps the vowel long with an "e": hoping from hope, not from hop.
    return len(stem) >= 3 and stem[-1] not in _VOWEL_LETTERS + "wx" and stem[-2] in "aeiou" and stem[-3] not in "aeiou"


def _first_known(stems: list[str], lookup: Lookup) -> tuple[Pronunciation, ...]:
    return next((known for stem in stems if (known := lookup(stem))), ())
