"""Texts as a voice reads them: front ends, marks, lexicons, and phones that the voice lacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from config.schema import PreprocessSettings
from models.inference.marked_speech import MarkedTokens, Run, marked_tokens, pronounced_as_marked, words_among
from models.inference.symbol_prosody import SynthesisError
from processors.text.errors import TextError, UnknownLanguageError
from processors.text.front_end import FrontEnd, FrontEnds, describe_replacement, make_front_end, with_known_phones
from processors.text.ipa import symbols_of_phone
from processors.text.marked_text import Markup, MarkupError, Stretch, Style, in_paragraphs, tokens_of_stretch
from processors.text.own_lexicon import LexiconLike, OwnLexicon
from processors.text.ssml import parts_of
from processors.text.symbols import SymbolTable
from processors.text.tokens import Token, Word
from processors.text.written_words import WrittenPart, WrittenText
from utils.console import warn


class TextReader:
    """Turns texts into tokens of a voice's symbols; thread-safe.

    Args:
        preprocess: of the voice's training.
        symbols: of the voice.
        lexicon_path: the lexicon that came with the voice.
        lexicon: pronunciations of all texts, over those; see `OwnLexicon`.
    """

    def __init__(
        self, preprocess: PreprocessSettings, symbols: SymbolTable, lexicon_path: Path | None, lexicon: LexiconLike
    ) -> None:
        self._front_ends = FrontEnds(preprocess, lexicon_path)
        self._is_of_letters = preprocess.phone_extractor == "char"
        self._symbols = symbols.symbols
        self._lexicon = OwnLexicon.of(lexicon)
        self._warned_of: set[str] = set()
        self._lock = threading.Lock()

    def front_end(self, language: str) -> FrontEnd:
        """Return the front end of a language.

        Raises:
            TextError: there is none.
        """
        return self._front_ends[language]

    def read(
        self,
        text: str,
        language: str,
        markup: Markup,
        lexicon: LexiconLike,
        language_of: Callable[[str], str],
    ) -> MarkedTokens:
        """Run the front ends over a text, marked or plain.

        Args:
            text: of any length.
            language: of what is not marked as another's.
            markup: whether the text is SSML; see `parts_of`.
            lexicon: pronunciations over those of the voice.
            language_of: returns the language of a speaker whom the text names, or raises a `SynthesisError`.

        Raises:
            MarkupError: the markup is not understood, or what it asks for cannot be spoken.
            TextError: a front end does not support the language or the text.
        """
        own, parts = OwnLexicon.of(lexicon).over(self._lexicon), parts_of(text, markup)
        if parts == [Stretch(text, Style())]:
            runs = self._paragraphs(text, language, own)
            tokens = [token for run in runs for token in run.tokens]
            written = WrittenPart(text, words_among(tokens), self._words_of(language, own))
            return MarkedTokens(runs, WrittenText([written]))

        def spoken(style: Style) -> str:
            of_voice = language if style.voice is None else language_of(style.voice)
            return style.language or of_voice

        def tokens_of(stretch: Stretch) -> Sequence[Token]:
            try:
                of_stretch = spoken(stretch.style)
                if stretch.phones:
                    if self._is_of_letters:
                        raise SynthesisError(f"{stretch.phones}: this voice reads letters, and takes no phones")
                    return [pronounced_as_marked(stretch, self._symbols)]
                return tokens_of_stretch(stretch.text, lambda piece: self._pronounced(piece, of_stretch, own))
            except MarkupError:
                raise
            except (SynthesisError, TextError) as error:
                raise MarkupError(str(error), stretch.line, stretch.column) from error

        return marked_tokens(parts, tokens_of, lambda stretch: self._words_of(spoken(stretch.style), own))

    def _words_of(self, language: str, lexicon: OwnLexicon) -> Callable[[str], tuple[str, ...]]:
        """Return what reads the words of a piece of text by itself; none of what cannot be read."""

        def words_of(piece: str) -> tuple[str, ...]:
            try:
                return words_among(self._pronounced(piece, language, lexicon))
            except TextError:
                return ()

        return words_of

    def _paragraphs(self, text: str, language: str, lexicon: OwnLexicon) -> list[Run]:
        """Return a run for each paragraph of a plain text that has words."""
        pieces = [part.text for part in in_paragraphs(Stretch(text, Style())) if isinstance(part, Stretch)]
        if len(pieces) > 1:  # rows of asterisks and the like stand between paragraphs
            pieces = [piece for piece in pieces if any(map(str.isalnum, piece))] or [text]
        runs = [
            Run(None, self._pronounced(piece, language, lexicon), ends_paragraph=True) for piece in pieces or [text]
        ]
        return [*runs[:-1], replace(runs[-1], ends_paragraph=False)]

    def _pronounced(self, text: str, language: str, lexicon: OwnLexicon) -> list[Token]:
        """Return the tokens of a text, of the model's symbols, with the pronunciations of a lexicon."""
        tokens = self._known_tokens(text, language)
        if not lexicon:
            return tokens
        known = () if self._is_of_letters else self._symbols
        return lexicon.applied(tokens, known, lambda words: self._known_tokens(words, language))

    def _known_tokens(self, text: str, language: str) -> list[Token]:
        """Return the tokens of a text, of the model's symbols; in a language that the front end lacks, the nearest."""
        try:
            front_end = self._front_ends[language]
        except UnknownLanguageError:
            if self._is_of_letters:
                raise
            return self._nearest_tokens(make_front_end("espeak", language=language).tokens(text))
        tokens = front_end.tokens(text)
        return self._with_known_phones(tokens, front_end) if front_end.is_open else tokens

    def _nearest_tokens(self, tokens: Sequence[Token]) -> list[Token]:
        """Replace phones of IPA by the nearest that the model has, with a warning for each that differs."""
        found: list[Token] = []
        for token in tokens:
            if isinstance(token, Word):
                phones: list[str] = []
                for phone in token.pronunciations[0]:
                    near, is_same = symbols_of_phone(phone, self._symbols)
                    phones += near
                    if not is_same:
                        self._warn_once({phone: near})
                token = replace(token, pronunciations=(tuple(phones),))
            found.append(token)
        return found

    def _with_known_phones(self, tokens: Sequence[Token], front_end: FrontEnd) -> list[Token]:
        """Replace phones that the model was not trained on by similar ones, with a warning for each."""
        known, replaced = with_known_phones(tokens, self._symbols, front_end)
        self._warn_once(replaced)
        return known

    def _warn_once(self, replaced: Mapping[str, tuple[str, ...]]) -> None:
        """Warn of phones that are replaced by others, once of each."""
        with self._lock:
            new = [phone for phone in replaced if phone not in self._warned_of]
            self._warned_of.update(new)
        for phone in new:
            warn(describe_replacement(phone, replaced[phone]))
