"""Tables of words, kept in files beside the rules that use them.

In a file `[name]` begins a table of which each line is either `written = spoken` or words alone; lines that begin with
`#` are comments.
"""

from __future__ import annotations

from pathlib import Path


def word_set(words: str) -> frozenset[str]:
    """Return the words of a text that are separated by white space."""
    return frozenset(words.split())


class WordTables:
    """The tables of one file.

    Args:
        rules: `__file__` of the module that uses them; the file lies beside it and ends in `.txt`.
    """

    def __init__(self, rules: str) -> None:
        self._path = Path(rules).with_suffix(".txt")
        self._lines: dict[str, list[str]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                table = self._lines[line.strip("[]")] = []
            elif line and not line.startswith("#"):
                table.append(line)

    def words(self, name: str) -> frozenset[str]:
        """Return the words of a table."""
        return word_set(" ".join(self._lines[name]))

    def alternatives(self, name: str) -> str:
        """Return a regular expression that matches each word of a table."""
        return "|".join(sorted(self.words(name), key=lambda word: (-len(word), word)))

    def mapping(self, name: str) -> dict[str, str]:
        """Return what is spoken for each written form of a table."""
        pairs = [line.partition(" = ") for line in self._lines[name]]
        spoken = {written: meaning for written, _, meaning in pairs}
        assert len(spoken) == len(pairs) and all(spoken.values()), f"{self._path}: [{name}]: repeated or empty entries"
        return spoken
