"""Symbol tables: the symbols of a front end, and their numbers in a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from processors.text.arpabet import near_phones
from processors.text.errors import TextError
from utils.bundle_file import read_text
from utils.files import write_atomically

SYMBOLS_FILE = "symbols.json"
PADDING = "<pad>"
LATER = "<later>"
"""Precedes the symbols that were added to a table already in use; not a phone."""


class UnknownPhoneError(TextError):
    """A phone that is not in the symbol table or phone set."""


class SymbolTable:
    """The inventory of a front end, numbered; saved with the models trained on it.

    Args:
        symbols: in the order of their numbers, without padding, which is always number 0.

    Raises:
        TextError: a symbol is empty, holds white space or is listed twice.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = (PADDING, *symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(self._ids) != len(self.symbols):
            twice = sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1})
            raise TextError(f"symbols listed twice: {', '.join(twice)}; each may have one number only")
        unusable = [symbol for symbol in self.symbols if not symbol or symbol.split() != [symbol]]
        if unusable:
            raise TextError(f"symbols that are empty or hold white space: {unusable}; phones are split at spaces")

    def ids(self, phones: Sequence[str], where: str) -> list[int]:
        """Return the number of each phone.

        Args:
            phones: T_text symbols.
            where: named in errors, usually the utterance's id.

        Raises:
            UnknownPhoneError: a phone is not in the table; names `where`, the phone and similar symbols.
        """
        try:
            return [self._ids[phone] for phone in phones]
        except KeyError:
            unknown = next(phone for phone in phones if phone not in self._ids)
        raise UnknownPhoneError(f"{where}: {describe_unknown_phone(unknown, self.symbols[1:], 'the symbol table')}")

    def phones(self, ids: Iterable[int]) -> list[str]:
        """Return the symbols of numbers, the inverse of `ids`."""
        return [self.symbols[index] for index in ids]

    def has_the_numbers_of(self, other: SymbolTable) -> bool:
        """Return whether every symbol of another table has the same number in this one, which may have more."""
        return self.symbols[: len(other)] == other.symbols

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolTable) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def __repr__(self) -> str:
        return f"SymbolTable({len(self)} symbols)"

    def save(self, path: Path | str) -> None:
        """Write the table as JSON, atomically."""
        write_atomically(path, json.dumps({"symbols": self.symbols}, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def open(cls, path: Path | str) -> SymbolTable:
        """Read a table that `save` wrote.

        Raises:
            TextError: the file is not a symbol table, or was edited so that numbers would shift.
            OSError: the file cannot be read.
        """
        try:
            symbols = json.loads(read_text(Path(path)))["symbols"]
        except (ValueError, KeyError, TypeError) as error:
            raise TextError(f"{path}: not a symbol table ({error}); copy it again from where it was made") from error
        if not isinstance(symbols, list) or symbols[:1] != [PADDING] or not all(isinstance(s, str) for s in symbols):
            raise TextError(f"{path}: a symbol table lists strings and begins with {PADDING!r}; copy it again")
        try:
            return cls(symbols[1:])
        except TextError as error:
            raise TextError(f"{path}: {error}") from error


def describe_unknown_phone(phone: str, known: Sequence[str], holder: str) -> str:
    """Return the message that `holder` lacks a phone, with similar ones that it has."""
    near = near_phones(phone, known)
    hint = f"; similar: {', '.join(near)}" if near else ""
    return f"phone {phone!r} is not in {holder}{hint}"
