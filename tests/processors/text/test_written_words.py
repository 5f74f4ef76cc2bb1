"""The place of each spoken word in the text as it is written."""

from __future__ import annotations

import pytest

from processors.text.english import EnglishFrontEnd
from processors.text.errors import TextError
from processors.text.tokens import Word
from processors.text.written_words import WrittenPart, WrittenText


@pytest.fixture(scope="module")
def read():
    front_end = EnglishFrontEnd()

    def words(text):
        try:
            return tuple(token.text for token in front_end.tokens(text) if isinstance(token, Word))
        except TextError:
            return ()

    return words


def written(text, read):
    words = read(text)
    source = WrittenText([WrittenPart(text, words, read)])
    assert source.text == text and list(source.spans) == sorted(source.spans)
    return list(zip(words, map(source.written, source.spans), strict=True))


def test_numbers_abbreviations_and_signs_keep_the_form_in_which_they_are_written(read):
    text = "“It costs $5 million,” said Dr. Who — of 12 Elm Dr. — on Jan. 5, 1998; at 10:30 p.m. & after."
    assert written(text, read) == [
        *(("it", "It"), ("costs", "costs"), ("five", "$5"), ("million", "million"), ("dollars", "million")),
        *(("said", "said"), ("doctor", "Dr"), ("who", "Who"), ("of", "of"), ("twelve", "12"), ("elm", "Elm")),
        *(("drive", "Dr"), ("on", "on"), ("january", "Jan"), ("fifth", "5")),
        *(("nineteen", "1998"), ("ninety", "1998"), ("eight", "1998"), ("at", "at"), ("ten", "10:30")),
        *(("thirty", "10:30"), ("p", "p.m."), ("m", "p.m."), ("and", "&"), ("after", "after")),
    ]


def test_symbols_that_are_not_spoken_are_skipped_with_one_warning(read, capsys):
    words = read("Hi 😀 there😀, you.")
    source = WrittenText([WrittenPart("Hi 😀 there😀, you.", words, read)])
    assert [source.text[first:end] for first, end in source.spans] == ["Hi", "there😀,", "you."]
    assert capsys.readouterr().err.count("warning") == 1


def test_words_that_differ_do_not_move_those_after_them():
    read = {"£205": ("two", "hundred", "five"), "and": ("and",), "3": ("three",), "cats": ("cats",)}
    spoken = ("two", "hundred", "and", "five", "pounds", "and", "three", "cats")
    source = WrittenText([WrittenPart("£205 and 3 cats", spoken, lambda piece: read[piece])])
    assert [source.text[first:end] for first, end in source.spans] == ["£205"] * 5 + ["and", "3", "cats"]


def test_clauses_of_chinese_and_parts_spoken_otherwise_are_one_place():
    chinese = WrittenPart("你好，世界！", ("你好", "世界"), lambda piece: (piece[:-1],))
    source = WrittenText([chinese, WrittenPart("W3C ", ("world", "wide")), WrittenPart("?", ())])
    assert [source.written(span) for span in source.spans] == ["你好", "世界", "W3C", "W3C"]
    assert WrittenText([WrittenPart("", ("x",))]).spans == ((0, 0),)
    assert WrittenText([WrittenPart("a b", ("x", "y"), lambda piece: ())]).spans == ((0, 3),) * 2


def test_a_long_text_takes_time_in_proportion(read):
    text = "The £205 and 3 cats — of Elm Dr. — went home. " * 100
    assert written(text, read)[-4:] == [("elm", "Elm"), ("drive", "Dr"), ("went", "went"), ("home", "home")]
    unlike = tuple(f"x{number}" for number in range(1000))
    assert len(WrittenText([WrittenPart("a b c " * 200, unlike, lambda piece: (piece,))]).spans) == 1000
