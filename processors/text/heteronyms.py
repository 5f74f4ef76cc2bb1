"""Words that are spelled alike and said differently, told apart by their neighbours.

No tagger: closed classes of words (articles, modals, pronouns, ...) on either side settle most cases, and each
word falls back on its commoner reading. Whatever is chosen, all readings are kept behind it for the aligner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors.text.arpabet import is_vowel
from processors.text.lexicon import word_set
from processors.text.tokens import Pronunciation

_ARTICLES = word_set(
    "a an the this that these those my your his her its our their no any some every each another such what whose "
    "all both few many several most one two three four five six ten hundred thousand new old first last next same own"
)
_PREPOSITIONS = word_set(
    "of in on at by for with from into onto over under about after before between during without within through "
    "against among per upon as like than"
)
_BE = word_set(
    "is was were am are be been being isn't wasn't weren't aren't i'm you're we're they're he's she's it's that's"
)
_HAVE = word_set("have has had having haven't hasn't hadn't i've you've we've they've i'd he'd she'd we'd they'd")
_BEFORE_INFINITIVE = word_set(
    "to can could will would shall should may might must do does did don't doesn't didn't can't couldn't "
    "won't wouldn't "
    "shan't shouldn't mustn't let's please i'll you'll he'll she'll it'll we'll they'll i'd you'd he'd "
    "she'd we'd they'd "
    "let us me him them cannot gonna"
)
_PLURAL_SUBJECTS = word_set("i you we they who people others")
_SINGULAR_SUBJECTS = word_set("he she it who that which this everyone everybody nobody someone one")
_OPENS_OBJECT = word_set(
    "a an the this that these those my your his her its our their it him them me us you all every each "
    "how what whether "
    "myself yourself himself herself itself ourselves themselves"
)
_ADVERBS = word_set(
    "not never always also just still even ever often soon then now only first really well quite almost"
)


@dataclass(frozen=True)
class Context:
    """A word among its neighbours.

    Args:
        words: the words of a text in lower case; an empty string stands for a pause.
        index: which of them is meant.
    """

    words: Sequence[str]
    index: int

    @property
    def word(self) -> str:
        return self.words[self.index]

    def at(self, offset: int) -> str:
        """Give the neighbour so many places on; empty beyond a pause's place or the text's edge."""
        place = self.index + offset
        return self.words[place] if 0 <= place < len(self.words) else ""

    @property
    def before(self) -> str:
        """The word before, adverbs passed over: "to" in "to never live"."""
        offset = -1
        while self.at(offset) in _ADVERBS or (self.at(offset).endswith("ly") and self.at(offset - 1)):
            offset -= 1
        return self.at(offset)

    @property
    def after(self) -> str:
        return self.at(1)

    def near(self, words: frozenset[str]) -> bool:
        """Say whether one of some words stands anywhere in the text."""
        return not words.isdisjoint(self.words)


def is_verb(context: Context) -> bool | None:
    """Guess whether a word that can be noun (or adjective) and verb is a verb here; None where nothing tells."""
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
    if after in _OPENS_OBJECT and before.endswith("s") and not before.endswith("ss"):
        return True  # "officials estimate the cost"
    return None


Prefers = Callable[[Pronunciation], bool]


def order_readings(context: Context, readings: tuple[Pronunciation, ...]) -> tuple[Pronunciation, ...]:
    """Put the reading that fits the neighbours first and keep the others behind it.

    Args:
        context: the word and its neighbours.
        readings: every pronunciation that the lexicon has for it.

    Returns:
        The same pronunciations, and those of a heteronym that CMUdict lacks; unchanged for any other word.
    """
    rule = _RULES.get(context.word)
    if rule is None:
        return readings
    missing = tuple(tuple(phones.split()) for phones in _MISSING.get(context.word, ()))
    prefers = rule(context)
    return tuple(sorted(dict.fromkeys(readings + missing), key=lambda phones: not prefers(phones)))


def is_heteronym(word: str) -> bool:
    """Say whether `order_readings` has a rule for a lower-case word."""
    return word in _RULES


# Readings that CMUdict 1.1.3 does not list.
_MISSING = {
    "house": ("HH AW1 Z",), "houses": ("HH AW1 Z IH0 Z",), "export": ("EH0 K S P AO1 R T",), "used": ("Y UW1 S T",),
    "exports": ("EH0 K S P AO1 R T S",), "abstracts": ("AE1 B S T R AE2 K T S",), "accents": ("AE1 K S EH2 N T S",),
    "combats": ("K AA1 M B AE0 T S",), "combines": ("K AA1 M B AY0 N Z",), "conducts": ("K AH0 N D AH1 K T S",),
    "consoles": ("K AH0 N S OW1 L Z",), "escorts": ("EH0 S K AO1 R T S",), "exploits": ("EH2 K S P L OY1 T S",),
    "refuses": ("R AH0 F Y UW1 Z IH0 Z",), "addresses": ("AE1 D R EH2 S IH0 Z", "AH0 D R EH1 S IH0 Z"),
    "blessed": ("B L EH1 S IH0 D",),
}  # fmt: skip


def _strong_late(phones: Pronunciation) -> bool:
    return not next(phone for phone in phones if is_vowel(phone)).endswith("1")


def _ends_voiced(phones: Pronunciation) -> bool:
    return phones[-1] == "Z" and phones[-3:-1] != ("S", "IH0") and phones[-3:-1] != ("S", "AH0")


def _has_full_ate(phones: Pronunciation) -> bool:
    return any(phone.startswith("EY") for phone in phones[-3:])


def _by_verb(test: Prefers, verb_by_default: bool = False) -> Callable[[Context], Prefers]:
    """A rule: verbs take the readings that pass the test, other words those that fail it."""

    def rule(context: Context) -> Prefers:
        verb = is_verb(context)
        wanted = verb_by_default if verb is None else verb
        return lambda phones: test(phones) == wanted

    return rule


def _saying(phones: str) -> Prefers:
    """Prefer readings that hold these phones in a row."""
    pattern = f" {phones} "
    return lambda reading: pattern in f" {' '.join(reading)} "


def _read(context: Context) -> Prefers:
    before, after = context.before, context.after
    present, past = _saying("R IY1 D"), _saying("R EH1 D")
    if (
        before in _HAVE
        or before in _BE
        or before in ("got", "get", "well")
        or context.at(-1) == "well"
        or after == "by"
    ):
        return past
    if before in _BEFORE_INFINITIVE or not before or before in _ARTICLES or before in ("and", "or", "people"):
        return present if not _tells_of_past(context) or before in _BEFORE_INFINITIVE else past
    if before in _PLURAL_SUBJECTS:
        return past if _tells_of_past(context) else present
    # "he read", "John read the letter": the present would be "reads"; "children read" is a plural.
    return present if before.endswith("s") or before in ("children", "men", "women") else past


def _tells_of_past(context: Context) -> bool:
    cues = word_set("yesterday ago was were had did said went came took told saw knew got wrote once when")
    return context.near(cues) or any(len(word) > 4 and word.endswith("ed") for word in context.words)


def _lead(context: Context) -> Prefers:
    things = word_set(
        "pipe pipes paint poisoning pencil bullet bullets weights ball shot ore mine mines coffin roof dust glass"
    )
    metal = context.after in things or (
        context.at(-1) in ("of", "molten", "melted", "white", "red", "tin", "copper", "like", "as", "heavy")
        and context.after not in ("singer", "actor", "role", "the", "to", "in")
    )
    return _saying("L EH1 D" if metal else "L IY1 D")


def _live(context: Context) -> Prefers:
    shows = word_set(
        "music show shows tv television radio broadcast performance performances audience concert stream "
        "recording video "
        "event wire wires ammunition animals animal coverage coals bait birds stock album band version"
    )
    heard = word_set(
        "broadcast performed streamed aired watch watched recorded televised perform performing streaming go goes went"
    )
    verb = is_verb(context)
    adjective = (
        context.after in shows or context.at(-1) in heard or (verb is False and context.after not in ("in", "with"))
    )
    return _saying("L AY1 V" if adjective else "L IH1 V")


def _lives(context: Context) -> Prefers:
    places = word_set("in at on with here there alone near by up under next among within down across inside beside off")
    verb = is_verb(context)
    if verb is None:
        verb = context.after in places and not context.before.endswith("s")
    return _saying("L IH1 V Z" if verb else "L AY1 V Z")


def _wind(context: Context) -> Prefers:
    turns = word_set("up through around round along its back down between past")
    described = word_set("strong high cold warm light heavy fierce trade north south east west bitter gentle and")
    verb = is_verb(context)
    if verb is None or (verb and context.before in ("that", "this", "one")):
        verb = context.after in turns and context.at(-1) not in described
    return _saying("W AY1 N D" if verb else "W IH1 N D")


def _tear(context: Context) -> Prefers:
    verb = is_verb(context)
    rends = context.after in word_set("down up apart off out away through open loose holes")
    if context.word == "tears" and context.at(-1) not in _SINGULAR_SUBJECTS:
        rends = verb = context.after in ("apart", "up", "off", "through")
    rip = verb or (verb is None and rends) or (context.word == "tear" and context.after in ("in", "and"))
    return (
        _saying("T EH1 R" if rip or context.at(-2) == "wear" else "T IH1 R")
        if context.word == "tear"
        else _saying("T EH1 R Z" if rip else "T IH1 R Z")
    )


def _used(context: Context) -> Prefers:
    accustomed = context.after == "to"
    if accustomed and (
        context.before in _BE or context.before in ("get", "got", "getting", "gets", "become", "became")
    ):
        # "was used to it", "is used to working"; but "was used to make".
        accustomed = context.before not in _BE or context.at(2) in _OPENS_OBJECT or context.at(2).endswith("ing")
    return _saying("Y UW1 S T" if accustomed else "Y UW1 Z D")


def _close(context: Context) -> Prefers:
    if context.at(-1) in ("the", "a") and context.after in ("of", ""):
        return _ends_voiced
    return _by_verb(_ends_voiced)(context)


def _by_company(company: str, with_it: str, otherwise: str) -> Callable[[Context], Prefers]:
    """A rule: one reading where any of some words is in the text, else the other."""
    words = word_set(company)
    return lambda context: _saying(with_it if context.near(words) else otherwise)


def _dove(context: Context) -> Prefers:
    plunged = (
        context.after in word_set("into in off under down for headfirst straight deep")
        or context.before in _PLURAL_SUBJECTS
    )
    return _saying("D OW1 V" if plunged or context.before in ("he", "she", "it") else "D AH1 V")


def _wound(context: Context) -> Prefers:
    turned = context.after in word_set("up around round through down tightly its along back tight")
    return _saying("W AW1 N D" if turned and context.at(-1) not in _ARTICLES else "W UW1 N D")


def _minute(context: Context) -> Prefers:
    tiny = word_set(
        "detail details particle particles amounts quantity quantities differences fraction traces inspection "
        "examination"
    )
    return _saying("M AY0" if context.after in tiny or context.at(-1) in ("very", "so", "most", "too") else "M IH1")


def _resume(context: Context) -> Prefers:
    return _saying("EY2" if is_verb(context) is False else "UW1 M")


def _content(context: Context) -> Prefers:
    satisfied = (
        context.before in _BE
        or context.before in word_set("feel feels felt seem seems seemed perfectly be")
        or (context.after in ("with", "to") and context.at(-1) not in _ARTICLES)
    )
    return _strong_late if satisfied else (lambda phones: not _strong_late(phones))


def _two_syllables_before(nouns: str) -> Callable[[Context], Prefers]:
    """A rule for "learned", "aged", "blessed": a full "-ed" only as an adjective before such nouns."""
    words = word_set(nouns)
    return lambda context: lambda phones: (phones[-2:-1] in (("IH0",), ("AH0",))) == (context.after in words)


_STRESS_NOUNS = word_set(
    "abstract accent addict address affix ally annex attribute combat combine commune compact compound "
    "compress concert "
    "conduct conflict conscript console construct contest contract contrast convert convict decrease "
    "defect desert digest "
    "discharge discount escort essay exploit export extract ferment impact implant import imprint incense "
    "incline increase "
    "insert insult object offset perfect permit pervert present produce progress project protest rebel "
    "recall record refund "
    "refuse reject rewrite segment subject survey suspect torment transfer transport update upgrade"
)
_STRESS_VERBS = word_set(
    "convert produce reject insert refuse permit suspect recall rewrite combine compress converse incline"
)
_ATE = word_set(
    "advocate affiliate aggregate alternate animate appropriate approximate articulate associate consummate coordinate "
    "degenerate delegate deliberate desolate duplicate elaborate estimate graduate incarnate intimate "
    "laminate moderate "
    "postulate predicate separate subordinate syndicate underestimate"
)
_ATE_VERBS = word_set("animate articulate consummate coordinate postulate alternate underestimate")


def _plural(word: str) -> str:
    return word + "es" if word.endswith("s") else word[:-1] + "ies" if re.search("[^aeiou]y$", word) else word + "s"


def _with_plurals(
    words: frozenset[str], verbs: frozenset[str], test: Prefers
) -> dict[str, Callable[[Context], Prefers]]:
    rules = {word: _by_verb(test, verb_by_default=word in verbs) for word in words | verbs}
    return {**rules, **{_plural(word): rule for word, rule in rules.items()}}


_RULES: dict[str, Callable[[Context], Prefers]] = {
    **_with_plurals(_STRESS_NOUNS, _STRESS_VERBS, _strong_late),
    **_with_plurals(_ATE, _ATE_VERBS, _has_full_ate),
    **_with_plurals(word_set("use house excuse abuse misuse diffuse"), frozenset(), _ends_voiced),
    "houses": lambda context: _saying("HH AW1 Z IH0 Z"),
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
    "bow": _by_company(
        "arrow arrows tie violin ribbon string archer cello hair hunting fiddle bowstring", "B OW1", "B AW1"
    ),
    "bows": _by_company("arrows arrow violin ribbons strings archers hair hunting", "B OW1 Z", "B AW1 Z"),
    "bass": _by_company("fish fishing sea striped lake caught smallmouth largemouth trout", "B AE1 S", "B EY1 S"),
    "sow": lambda context: _saying("S OW1" if context.at(-1) not in ("the", "a", "old", "her") else "S AW1"),
    "dove": _dove,
    "wound": _wound,
    "minute": _minute,
    "resume": _resume,
    "content": _content,
    "learned": _two_syllables_before(
        "man men judge counsel friend friends professor society scholar scholars author gentlemen"
    ),
    "aged": _two_syllables_before("man men woman women mother father parents couple people face"),
    "blessed": _two_syllables_before("virgin event sacrament relief"),
}
