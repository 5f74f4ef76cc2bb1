"""Sentences for a teacher to speak: WordNet's examples, the prose of fortunes, or the lines of any text file.

Debian has the first two in its packages wordnet-base and fortunes, which are read as they are.
"""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from processors.text.lexicon import Lexicon
from utils.errors import RecitalError

_WORDNET = re.compile(r"(?:.*/)?data\.(?:noun|verb|adj|adv)")
_FORTUNES = re.compile(r"(?:.*/)?fortunes/([\w-]+)")
# Drawings, verse, programs, and texts that are wrong on purpose.
_NO_PROSE = ("art", "ascii-art", "songs-poems", "perl", "translate-me", "zippy")
_MIN_PROSE_LINE = 50  # letters of a line that is not the last: shorter ones are verse
_MAX_PROSE_LINES = 4
_MAX_SENTENCES = 3
_LETTERS = re.compile(r"[A-Za-z ,.;:?!'-]+")
_WORD = re.compile(r"[A-Za-z']+")
# Quotes, ellipses, initials, abbreviations and dashes: read by each front end in its own way.
_UNCERTAIN = re.compile(r"[.,;:?!][.,;:]|\b[A-HJ-Z]\.|(?:^|\s)'|'(?:\s|$|[.,?!])| -|- |\b(?:c|cf|etc)\b\.?")


class SentencesError(RecitalError):
    """Texts that cannot be read."""


def read_sentences(
    places: Sequence[Path], *, seed: int = 0, fewest_words: int = 3, most_words: int = 30
) -> tuple[str, ...]:
    """Read all sentences of some places, each once, in an order that depends on the seed alone.

    Of WordNet and fortunes only sentences are taken that every front end reads alike: of words in CMUdict, without
    figures, abbreviations and quotes. Lines of other files are taken as they are.

    Args:
        places: text files with a sentence per line, Debian packages, or folders with any of these, packages unpacked
            or not.
        seed: of the order.
        fewest_words: of a sentence of WordNet or fortunes.
        most_words: likewise.

    Raises:
        SentencesError: a place cannot be read, or there is no sentence in it.
    """
    known = Lexicon.from_cmudict()
    sentences: dict[str, str] = {}
    for place in places:
        count = len(sentences)
        for name, content in _files(place):
            for text, is_checked in _texts(name, content):
                sentence: str | None = " ".join(text.split())
                if sentence and not is_checked:
                    sentence = _usable(sentence, known, fewest_words, most_words)
                if sentence:
                    sentences.setdefault(sentence.casefold(), sentence)
        if len(sentences) == count:
            raise SentencesError(f"{place}: has no sentence that can be used; name texts, or Debian's wordnet-base")
    found = sorted(sentences.values())
    random.Random(seed).shuffle(found)
    return tuple(found)


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file at a place, packages opened."""
    if not place.exists():
        raise SentencesError(f"{place}: no such file or folder")
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.suffix == ".deb":
            yield from _packed_files(path)
        elif path.is_file() and not path.name.startswith("."):
            yield path.as_posix(), path.read_bytes()


def _packed_files(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file in a Debian package: an `ar` archive with a tar archive in it."""
    packed = package.read_bytes()
    start = 8 if packed.startswith(b"!<arch>\n") else len(packed)
    try:
        while start < len(packed):
            header = packed[start : start + 60]
            name, size = header[:16].decode("ascii").strip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=io.BytesIO(packed[start + 60 : start + 60 + size])) as archive:
                    for member in archive:
                        if member.isfile() and (file := archive.extractfile(member)):
                            yield member.name, file.read()
                return
            start += 60 + size + size % 2
    except (ValueError, EOFError, tarfile.TarError) as error:
        raise SentencesError(f"{package}: is damaged, or packed in another way ({error}); name the folder") from None
    raise SentencesError(f"{package}: is no Debian package")


def _texts(name: str, content: bytes) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a file, and whether they are to be taken as they are."""
    if _WORDNET.fullmatch(name):
        yield from ((text, False) for text in _wordnet_examples(content.decode("latin-1")))
    elif (fortunes := _FORTUNES.fullmatch(name)) is not None:
        if fortunes[1] not in _NO_PROSE:
            yield from ((text, False) for text in _fortunes_prose(content.decode("utf-8", "replace")))
    elif Path(name).suffix in ("", ".txt"):
        try:
            lines = content.decode("utf-8-sig").splitlines()
        except ValueError:
            return
        yield from ((line, True) for line in lines if line.strip() and "|" not in line)


def _wordnet_examples(data: str) -> Iterator[str]:
    """Yield the examples, in quotation marks, of each gloss; not quotations of an author, whose name follows."""
    for line in data.splitlines():
        gloss = "" if line.startswith("  ") else line.partition("|")[2]
        for example in re.finditer(r'"([^"]+)"(\s*-\s*[A-Z])?', gloss):
            if not example[2]:
                text = example[1].strip().rstrip(",;:-")
                yield text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _fortunes_prose(text: str) -> Iterator[str]:
    """Yield entries that are a paragraph of prose, without their authors."""
    for entry in re.split(r"^%$", text, flags=re.MULTILINE):
        entry = re.sub(r"\n\s+-- .*", "", entry, flags=re.DOTALL).strip("\n")
        lines = entry.split("\n")
        is_prose = all(len(line) >= _MIN_PROSE_LINE for line in lines[:-1]) and not re.search(r"^\s", entry, re.M)
        if is_prose and len(lines) <= _MAX_PROSE_LINES and entry.endswith((".", "?", "!")):
            yield entry


def _usable(text: str, known: Lexicon, fewest_words: int, most_words: int) -> str | None:
    """Return a text with commas for dashes if every front end reads it alike, else None."""
    text = re.sub(r"\s*--\s*", ", ", text.replace("`", "'"))
    words = _WORD.findall(text)
    sentences = len(re.findall(r"[.?!](?:\s|$)", text))
    is_usable = (
        fewest_words <= len(words) <= most_words
        and sentences <= _MAX_SENTENCES
        and text[0].isupper()
        and _LETTERS.fullmatch(text)
        and not _UNCERTAIN.search(text)
        and not any(len(word) > 1 and word.isupper() for word in words)
        and all(_is_known(word.lower(), known) for word in words)
    )
    return text if is_usable else None


def _is_known(word: str, known: Lexicon) -> bool:
    return word in known or word.removesuffix("'s") in known
