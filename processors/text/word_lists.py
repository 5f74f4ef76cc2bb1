"""Lists of words, written as one reads them."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """Give the words of a text that are separated by white space."""
    return frozenset(words.split())
