"""Corpora whose texts are in another language than the settings name."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from config.schema import PreprocessSettings
from processors.corpora.corpus import CorpusError
from processors.text.english import EnglishFrontEnd
from processors.text.language_codes import is_english, primary_language
from processors.text.word_tables import WordTables
from processors.utterance import Utterance

FEWEST_WORDS = 200
MAX_UNKNOWN = 0.35
MAX_FOREIGN = 0.02
_SAMPLE = 5000
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz")
_LETTERS = {
    language: _PLAIN | set("".join(letters.split()))
    for language, letters in WordTables(__file__).mapping("letters beside a to z").items()
}


def require_its_language(utterances: Iterable[Utterance], settings: PreprocessSettings) -> None:
    """Raise a `CorpusError` if the texts of a language look like those of another.

    They do if more than 35 % of the words are outside the English lexicon, with the front end that has one, or more
    than 2 % have letters that the language does not write. Words with a capital, which may be names, do not count.
    Fewer than 200 words are too few to decide.
    """
    by_language: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_language[utterance.language].append(utterance)
    for language, spoken in by_language.items():
        words = [word for utterance in spoken for word in _WORD.findall(unicodedata.normalize("NFC", utterance.text))]
        words = [word.replace("’", "'") for word in words if word.islower()][:_SAMPLE]
        if len(words) < FEWEST_WORDS:
            continue
        letters = _LETTERS.get(primary_language(language))
        foreign = [word for word in words if letters and not letters.issuperset(word.replace("'", ""))]
        unknown: list[str] = []
        if settings.phone_extractor == "lexicon" and is_english(language):
            front_end = EnglishFrontEnd(language, settings.lexicon_file or "")
            known = {word: front_end.knows(word) for word in set(words)}
            unknown = [word for word in words if not known[word]]
        if len(foreign) > MAX_FOREIGN * len(words):
            _refuse(spoken[0], foreign, len(words), f"have letters that the language {language!r} does not write")
        if len(unknown) > MAX_UNKNOWN * len(words):
            _refuse(spoken[0], unknown, len(words), "are outside the English lexicon")


def _refuse(utterance: Utterance, words: Sequence[str], n_words: int, reason: str) -> None:
    some = ", ".join(list(dict.fromkeys(words))[:5])
    raise CorpusError(
        f"{utterance.dataset}: {len(words) / n_words:.0%} of its words ({some}) {reason}: name the language of the "
        f"texts in dataset_language.{utterance.dataset}, or go on by preprocess.check_language: false"
    )
