"""Disambiguation of heteronyms by their neighbours.

Without a tagger: closed classes of words (articles, modals, pronouns, ...) on either side decide most cases; the
default is the more frequent reading. The other readings are kept after the chosen one for the aligner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors.text.arpabet import is_vowel
from processors.text.tokens import Pronunciation
from processors.text.word_tables import WordTables, word_set

_TABLES = WordTables(__file__)
_ARTICLES = _TABLES.words("articles")
_PREPOSITIONS = _TABLES.words("prepositions")
_BE = _TABLES.words("be")
_HAVE = _TABLES.words("have")
_BEFORE_INFINITIVE = _TABLES.words("before infinitives")
_PLURAL_SUBJECTS = _TABLES.words("plural subjects")
_SINGULAR_SUBJECTS = _TABLES.words("singular subjects")
_OPENS_OBJECT = _TABLES.words("objects")
_ADVERBS = _TABLES.words("adverbs")


_PRONOUNS_BEFORE_ALL = word_set("we you they let's us let")
_BEHIND_VERBS = _PREPOSITIONS | word_set("to when if because while until")


@dataclass(frozen=True)
class Context:
    """A word among its neighbours.

    Args:
        words: the words of a text in lower case; an empty string for a pause.
        index: of the word.
        is_capital: whether it is written with a capital, though it begins no sentence.
    """

    words: Sequence[str]
    index: int
    is_capital: bool = False

    @property
    def word(self) -> str:
        return self.words[self.index]

    def at(self, offset: int) -> str:
        """Return the neighbour at an offset; empty for a pause or beyond the text."""
        position = self.index + offset
        return self.words[position] if 0 <= position < len(self.words) else ""

    @property
    def before(self) -> str:
        """The word before, skipping adverbs: "to" in "to never live"."""
        offset = -1
        while (
            self.at(offset) in _ADVERBS
            or (self.at(offset).endswith("ly") and self.at(offset - 1))
            or (self.at(offset) in ("all", "both") and self.at(offset - 1) in _PRONOUNS_BEFORE_ALL)
        ):
            offset -= 1
        return self.at(offset)

    @property
    def after(self) -> str:
        return self.at(1)

    def near(self, words: frozenset[str]) -> bool:
        """Return whether any of the words occurs in the text."""
        return not words.isdisjoint(self.words)


def is_verb(context: Context) -> bool | None:
    """Decide whether a word that can be a noun (or adjective) or a verb is a verb here; None if undecided."""
    before, after, third_person = context.before, context.after, context.word.endswith("s")
    if third_person and before in _SINGULAR_SUBJECTS:
        return True
    if before in _BEFORE_INFINITIVE:
        return True
    if before in _PLURAL_SUBJECTS and not third_person:
        return True
    if before in _ARTICLES or before in _PREPOSITIONS or before in _BE or before in _HAVE or before.endswith("'s"):
        return False
    if after in _OPENS_OBJECT and (not before or before in ("and", "or", "but") or third_person):
        return True
    follows_plural = before.endswith("s") and not before.endswith(("ss", "us", "is"))
    if follows_plural and (after in _OPENS_OBJECT or (not third_person and after in _BEHIND_VERBS)):
        return True  # "officials estimate the cost", "neighbours object to the plan"
    return None


Prefers = Callable[[Pronunciation], bool]


def order_readings(context: Context, readings: tuple[Pronunciation, ...]) -> tuple[Pronunciation, ...]:
    """Put the reading that fits the neighbours first.

    Args:
        context: the word and its neighbours.
        readings: its pronunciations in the lexicon.

    Returns:
        The same pronunciations, and those of a heteronym that CMUdict lacks; unchanged for other words.
    """
    rule = _RULES.get(context.word)
    if rule is None:
        return readings
    prefers = rule(context)
    all_readings = dict.fromkeys((*readings, *_MISSING.get(context.word, ())))
    return tuple(sorted(all_readings, key=lambda phones: not prefers(phones)))


def is_heteronym(word: str) -> bool:
    """Return whether `order_readings` has a rule for a lower-case word."""
    return word in _RULES


_MISSING = {
    word: [tuple(phones.split()) for phones in readings.split(", ")]
    for word, readings in _TABLES.mapping("missing readings").items()
}


def _strong_late(phones: Pronunciation) -> bool:
    return not next(phone for phone in phones if is_vowel(phone)).endswith("1")


def _ends_voiced(phones: Pronunciation) -> bool:
    return phones[-1] == "Z" and phones[-3:-1] != ("S", "IH0") and phones[-3:-1] != ("S", "AH0")


def _has_full_ate(phones: Pronunciation) -> bool:
    return any(phone.startswith("EY") for phone in phones[-3:])


def _by_verb(test: Prefers, verb_by_default: bool = False) -> Callable[[Context], Prefers]:
    """Return a rule: verbs take the readings that pass the test, other words those that fail it."""

    def rule(context: Context) -> Prefers:
        verb = is_verb(context)
        wanted = (verb_by_default and context.after != "") if verb is None else verb
        return lambda phones: test(phones) == wanted

    return rule


def _containing(phones: str) -> Prefers:
    """Return a preference for readings that contain these phones in sequence."""
    pattern = f" {phones} "
    return lambda reading: pattern in f" {' '.join(reading)} "


def _read(context: Context) -> Prefers:
    before, after = context.before, context.after
    present, past = _containing("R IY1 D"), _containing("R EH1 D")
    if (
        before in _HAVE
        or before in _BE
        or before in ("got", "get", "well")
        or context.at(-1) == "well"
        or after == "by"
    ):
        return past
    if before in _BEFORE_INFINITIVE or not before or before in _ARTICLES or before in ("and", "or", "people"):
        return present if not _is_past_context(context) or before in _BEFORE_INFINITIVE else past
    if before in _PLURAL_SUBJECTS:
        return past if _is_past_context(context) else present
    # "he read", "John read the letter": the present would be "reads"; "children read" is a plural.
    return present if before.endswith("s") or before in ("children", "men", "women") else past


def _is_past_context(context: Context) -> bool:
    return context.near(_TABLES.words("read: past")) or any(
        len(word) > 4 and word.endswith("ed") for word in context.words
    )


def _lead(context: Context) -> Prefers:
    before, after = context.at(-1), context.after
    metal = after in _TABLES.words("lead: metal before") or (
        before in ("of", "molten", "melted", "white", "red", "tin", "copper", "like", "as", "heavy")
        and after not in ("singer", "actor", "role", "the", "to", "in")
    )
    subjects = _SINGULAR_SUBJECTS | _PLURAL_SUBJECTS
    metal = metal or (before in ("is", "was") and not after and context.at(-2) not in subjects)
    return _containing("L EH1 D" if metal else "L IY1 D")


def _live(context: Context) -> Prefers:
    verb = is_verb(context)
    adjective = (
        context.after in _TABLES.words("live: before")
        or context.at(-1) in _TABLES.words("live: behind")
        or (verb is False and context.after not in ("in", "with"))
    )
    on_stage = verb is None and context.near(_TABLES.words("live: company"))
    return _containing("L AY1 V" if adjective or on_stage else "L IH1 V")


def _lives(context: Context) -> Prefers:
    verb = is_verb(context)
    if verb is None:
        verb = context.after in _TABLES.words("lives: verb before") and not context.before.endswith("s")
    return _containing("L IH1 V Z" if verb else "L AY1 V Z")


def _wind(context: Context) -> Prefers:
    verb = is_verb(context)
    if verb is None or (verb and context.before in ("that", "this", "one")):
        is_described = context.at(-1) in _TABLES.words("wind: noun behind")
        verb = context.after in _TABLES.words("wind: verb before") and not is_described
    return _containing("W AY1 N D" if verb else "W IH1 N D")


def _tear(context: Context) -> Prefers:
    verb = is_verb(context)
    rends = context.after in _TABLES.words("tear: verb before")
    if context.word == "tears" and context.at(-1) not in _SINGULAR_SUBJECTS:
        rends = verb = context.after in ("apart", "up", "off", "through")
    rip = verb or (verb is None and rends) or (context.word == "tear" and context.after in ("in", "and"))
    return (
        _containing("T EH1 R" if rip or context.at(-2) == "wear" else "T IH1 R")
        if context.word == "tear"
        else _containing("T EH1 R Z" if rip else "T IH1 R Z")
    )


def _used(context: Context) -> Prefers:
    accustomed = context.after == "to"
    if accustomed and (
        context.before in _BE or context.before in ("get", "got", "getting", "gets", "become", "became")
    ):
        # "was used to it", "is used to working"; but "was used to make".
        accustomed = context.before not in _BE or context.at(2) in _OPENS_OBJECT or context.at(2).endswith("ing")
    return _containing("Y UW1 S T" if accustomed else "Y UW1 Z D")


_SAID_SHORT = frozenset(["who's", "what's", "there's", "here's", "where's", "everyone's", "let's"])


def _close(context: Context) -> Prefers:
    before, after = context.at(-1), context.after
    is_end = before in ("the", "a") and after in ("of", "")
    is_end = is_end or (before == "the" and context.at(-2) in ("at", "by", "until", "before", "after", "since"))
    owned = before == "market" or (before.endswith("'s") and before not in _BE and before not in _SAID_SHORT)
    if is_end or (
        owned and (not after or after in _ARTICLES or (after in _PREPOSITIONS and after not in ("to", "by")))
    ):
        return _ends_voiced
    return _by_verb(_ends_voiced)(context)


def _by_company(word: str, with_it: str, otherwise: str) -> Callable[[Context], Prefers]:
    """Return a rule: one reading where any word of a table is in the text, else the other."""
    company = _TABLES.words(f"{word}: company")
    return lambda context: _containing(with_it if context.near(company) else otherwise)


def _dove(context: Context) -> Prefers:
    plunged = context.after in _TABLES.words("dove: plunged before") or context.before in _PLURAL_SUBJECTS
    return _containing("D OW1 V" if plunged or context.before in ("he", "she", "it") else "D AH1 V")


def _wound(context: Context) -> Prefers:
    turned = context.after in _TABLES.words("wound: turned before") and context.at(-1) not in _ARTICLES
    by_someone = context.before in _SINGULAR_SUBJECTS | _PLURAL_SUBJECTS and context.after in _OPENS_OBJECT
    return _containing("W AW1 N D" if turned or by_someone else "W UW1 N D")


def _invalid(context: Context) -> Prefers:
    is_person = context.before in _ARTICLES and (
        not context.after or context.after in _BE | _HAVE | _PREPOSITIONS | _BEFORE_INFINITIVE
    )
    return _containing("IH1 N V" if is_person else "N V AE1")


def _polish(context: Context) -> Prefers:
    is_language = context.is_capital or context.after in _TABLES.words("polish: nation before")
    return _containing("P OW1 L" if is_language else "P AA1 L")


def _minute(context: Context) -> Prefers:
    is_described = context.at(-1) in _BE and not context.after
    is_tiny = (
        is_described
        or context.after in _TABLES.words("minute: tiny before")
        or context.at(-1) in ("very", "so", "most", "too")
    )
    return _containing("M AY0" if is_tiny else "M IH1")


def _resume(context: Context) -> Prefers:
    return _containing("EY2" if is_verb(context) is False else "UW1 M")


def _content(context: Context) -> Prefers:
    satisfied = (
        context.before in _BE
        or context.before in _TABLES.words("content: satisfied behind")
        or (context.after in ("with", "to") and context.at(-1) not in _ARTICLES)
    )
    return _strong_late if satisfied else (lambda phones: not _strong_late(phones))


def _two_syllables(word: str) -> Callable[[Context], Prefers]:
    """Return a rule for "learned", "aged", "blessed": a full "-ed" only as an adjective before the nouns of a table."""
    nouns = _TABLES.words(f"{word}: before")
    return lambda context: lambda phones: (phones[-2:-1] in (("IH0",), ("AH0",))) == (context.after in nouns)


def _plural(word: str) -> str:
    return word + "es" if word.endswith("s") else word[:-1] + "ies" if re.search("[^aeiou]y$", word) else word + "s"


def _with_plurals(
    words: frozenset[str], verbs: frozenset[str], test: Prefers
) -> dict[str, Callable[[Context], Prefers]]:
    rules = {word: _by_verb(test, verb_by_default=word in verbs) for word in words | verbs}
    return {**rules, **{_plural(word): rule for word, rule in rules.items()}}


_RULES: dict[str, Callable[[Context], Prefers]] = {
    **_with_plurals(_TABLES.words("stress: nouns"), _TABLES.words("stress: verbs"), _strong_late),
    **_with_plurals(_TABLES.words("ate"), _TABLES.words("ate: verbs"), _has_full_ate),
    **_with_plurals(word_set("use house excuse abuse misuse diffuse"), frozenset(), _ends_voiced),
    "houses": lambda context: _containing("HH AW1 Z IH0 Z"),
    "close": _close,
    "read": _read,
    "lead": _lead,
    "live": _live,
    "lives": _lives,
    "wind": _wind,
    "winds": _wind,
    "tear": _tear,
    "tears": _tear,
    "used": _used,
    "bow": _by_company("bow", "B OW1", "B AW1"),
    "bows": _by_company("bows", "B OW1 Z", "B AW1 Z"),
    "bass": _by_company("bass", "B AE1 S", "B EY1 S"),
    "sow": lambda context: _containing("S OW1" if context.at(-1) not in ("the", "a", "old", "her") else "S AW1"),
    "dove": _dove,
    "wound": _wound,
    "minute": _minute,
    "resume": _resume,
    "invalid": _invalid,
    "polish": _polish,
    "content": _content,
    "learned": _two_syllables("learned"),
    "aged": _two_syllables("aged"),
    "blessed": _two_syllables("blessed"),
}
