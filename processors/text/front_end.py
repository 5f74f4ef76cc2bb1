"""Front ends by name and language: from raw text to words, pauses and phones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from config.schema import PreprocessSettings
from processors.text.character_front_end import CharacterFrontEnd
from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError, UnknownLanguageError
from processors.text.espeak_phones import EspeakFrontEnd
from processors.text.mixed_front_end import MixedFrontEnd
from processors.text.punctuation import with_single_pauses
from processors.text.symbols import PADDING
from processors.text.tokens import PAUSES, SPOKEN_NOISE, Token, Word


class FrontEnd(Protocol):
    """Converts texts of one language to words with their phones, and pauses; safe to use from several threads."""

    @property
    def inventory(self) -> tuple[str, ...]:
        """Every symbol that `tokens` can return, and those that an aligner adds; if `is_open`, the latter only."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether `tokens` also returns symbols outside `inventory`; stage 1 collects them from the texts."""
        ...

    @property
    def start(self) -> tuple[str, ...]:
        """The symbols that begin every sequence."""
        ...

    def tokens(self, text: str) -> list[Token]:
        """Return the words of a raw text and the pauses between and after them.

        The last token is always a pause (`.` if the text ends without punctuation), the first a word. Consecutive
        punctuation becomes its strongest mark.

        Raises:
            TextError: the text has no words, or one that cannot be pronounced.
        """
        ...

    def normalized(self, text: str) -> str:
        """Return a raw text as the words to be spoken, with their punctuation."""
        ...

    def fallback(self, symbol: str, known: Sequence[str]) -> tuple[str, ...]:
        """Return the `known` symbols nearest to another one; none if no symbol is near."""
        ...


_FRONT_ENDS: dict[str, Callable[[str, str | Path, str, bool], FrontEnd]] = {
    "lexicon": lambda language, lexicon_path, normalizer, _: EnglishFrontEnd(language, lexicon_path, normalizer),
    "espeak": lambda language, _, normalizer, __: EspeakFrontEnd(language, normalizer),
    "char": lambda language, _, normalizer, __: CharacterFrontEnd(language, normalizer),
    "mixed": lambda language, lexicon_path, _, with_phones: MixedFrontEnd(language, lexicon_path, with_phones),
}


def make_front_end(
    name: str,
    *,
    language: str = "en",
    lexicon_path: str | Path = "",
    normalizer: str = "rules",
    with_phones: bool = True,
) -> FrontEnd:
    """Construct the front end of a name, the setting `phone_extractor`.

    Args:
        name: `lexicon`, `espeak`, `char` or `mixed`.
        language: of the texts; `lexicon` is for English only.
        lexicon_path: the user's lexicon, which overrides CMUdict; empty for none. Only for `lexicon`, and for `mixed`
            in its place.
        normalizer: the backend of `normalize`; `mixed` has its own.
        with_phones: of `mixed`, whether words become phones.

    Raises:
        TextError: a name is unknown, the language is not supported, or the lexicon cannot be used.
    """
    if name not in _FRONT_ENDS:
        raise TextError(f"phone_extractor {name!r} is unknown; known: {', '.join(sorted(_FRONT_ENDS))}")
    return _FRONT_ENDS[name](language, lexicon_path, normalizer, with_phones)


class FrontEnds(dict[str, FrontEnd]):
    """Front ends of one kind by language, each constructed on first use; safe to share between threads.

    Args:
        settings: name the front end.
        lexicon_path: the user's lexicon, if elsewhere than in the settings, as in a bundle.
    """

    def __init__(self, settings: PreprocessSettings, lexicon_path: Path | None = None) -> None:
        super().__init__()
        self._settings = settings
        self._lexicon_path = lexicon_path or settings.lexicon_file or ""
        self._lock = threading.Lock()

    def __missing__(self, language: str) -> FrontEnd:
        with self._lock:
            if language not in self:
                self[language] = make_front_end(
                    self._settings.phone_extractor,
                    language=language,
                    lexicon_path=self._lexicon_path,
                    normalizer=self._settings.normalizer,
                    with_phones=self._settings.mixed_words == "phones",
                )
        return self[language]

    def require(self, languages: Mapping[str, str]) -> None:
        """Construct the front end of each corpus's language.

        Args:
            languages: of the corpora, by their names.

        Raises:
            UnknownLanguageError: the front end does not support a corpus's language; names the setting to change.
            TextError: a package or file is missing.
        """
        for dataset, language in languages.items():
            try:
                self[language]
            except UnknownLanguageError as error:
                where = "preprocess.language" if language == self._settings.language else f"dataset_language.{dataset}"
                raise UnknownLanguageError(f"{where}: {error}") from error


def with_known_phones(
    tokens: Iterable[Token], symbols: Sequence[str], front_end: FrontEnd
) -> tuple[list[Token], dict[str, tuple[str, ...]]]:
    """Replace phones that a model was not trained on by the front end's `fallback`.

    Words without any remaining phone are dropped.

    Args:
        tokens: words and pauses.
        symbols: of the model.
        front_end: of the tokens.

    Returns:
        tokens: of known symbols only, none if no word is left. Words keep their best pronunciation only.
        replaced: the symbols that replace each unknown one; empty for one that is dropped.
    """
    known = tuple(symbol for symbol in symbols if symbol not in {*PAUSES, SPOKEN_NOISE, PADDING})
    replaced: dict[str, tuple[str, ...]] = {}
    spoken: list[Token] = []
    for token in tokens:
        if not isinstance(token, Word):
            spoken.append(token)
            continue
        phones: list[str] = []
        for phone in token.pronunciations[0]:
            if phone in known:
                phones.append(phone)
            else:
                if phone not in replaced:
                    replaced[phone] = front_end.fallback(phone, known)
                phones.extend(replaced[phone])
        if phones:
            spoken.append(replace(token, pronunciations=(tuple(phones),)))
    has_words = any(isinstance(token, Word) for token in spoken)
    return with_single_pauses(spoken) if has_words else [], replaced


def describe_replacement(phone: str, others: Sequence[str]) -> str:
    """Return the message that a phone, which a voice does not have, is replaced by others, or dropped."""
    used = f"{' '.join(others)} is used instead" if others else "it is left out"
    return f"the voice was not trained on the phone {phone!r}; {used}"
