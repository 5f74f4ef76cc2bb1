"""Long texts are cut where a speaker would breathe, and nothing is lost."""

from __future__ import annotations

from processors.text.chunks import split_into_chunks
from processors.text.tokens import Pause, Word


def words(text):
    return [
        Pause(piece) if piece in {",", ".", "?", "!"} else Word(piece, (tuple(piece.upper()),))
        for piece in text.split()
    ]


def texts(chunks):
    return [" ".join(token.text if isinstance(token, Word) else token.symbol for token in chunk) for chunk in chunks]


def test_texts_are_cut_at_sentence_ends():
    assert texts(split_into_chunks(words("one two . three ? four"))) == ["one two .", "three ?", "four"]


def test_a_long_sentence_is_cut_at_the_comma_near_its_middle():
    chunks = split_into_chunks(words("aaaa , bbbb cccc , dddd eeee ."), most_phones=12)
    assert texts(chunks) == ["aaaa , bbbb cccc ,", "dddd eeee ."]


def test_a_long_sentence_without_commas_is_cut_between_words_with_a_pause():
    chunks = split_into_chunks(words("aaaa bbbb cccc dddd ."), most_phones=8)
    assert texts(chunks) == ["aaaa bbbb ,", "cccc dddd ."]


def test_no_word_is_lost_and_every_chunk_is_short():
    many = words(" ".join(f"w{number}" for number in range(500)) + " .")
    chunks = split_into_chunks(many, most_phones=50)
    spoken = [token.text for chunk in chunks for token in chunk if isinstance(token, Word)]
    assert spoken == [f"w{number}" for number in range(500)]
    assert all(sum(len(t.pronunciations[0]) for t in chunk if isinstance(t, Word)) <= 50 for chunk in chunks)


def test_a_word_longer_than_the_limit_stays_whole():
    assert texts(split_into_chunks(words("aaaaaaaaaa ."), most_phones=3)) == ["aaaaaaaaaa ."]


def test_short_sentences_share_a_chunk_up_to_a_number_of_phones():
    text = words("yes . no ! aaaa bbbb . cc ?")
    assert texts(split_into_chunks(text, together_phones=9)) == ["yes . no !", "aaaa bbbb .", "cc ?"]
    assert texts(split_into_chunks(text, together_phones=10)) == ["yes . no !", "aaaa bbbb . cc ?"]
    assert texts(split_into_chunks(text, together_phones=15)) == ["yes . no ! aaaa bbbb . cc ?"]
    long = words("aaaa , bbbb cccc , dddd eeee .")
    assert texts(split_into_chunks(long, most_phones=12, together_phones=12)) == ["aaaa , bbbb cccc ,", "dddd eeee ."]
