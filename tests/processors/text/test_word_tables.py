"""Tables of words in files."""

from __future__ import annotations

import pytest

from processors.text.word_tables import WordTables


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "rules.txt").write_text(
        "# Units.\n\n[units]\nkm = kilometer\nsq ft = square foot\n\n[small]\none two\nthree\n\n[twice]\na = b\na = c\n"
    )
    return WordTables(str(tmp_path / "rules.py"))


def test_tables_hold_words_or_what_is_spoken_for_them(tables):
    assert tables.mapping("units") == {"km": "kilometer", "sq ft": "square foot"}
    assert tables.words("small") == {"one", "two", "three"}


@pytest.mark.parametrize("name", ["twice", "small"])
def test_mappings_with_repeated_or_empty_entries_are_refused(tables, name):
    with pytest.raises(AssertionError, match="repeated or empty entries"):
        tables.mapping(name)
