"""The English front end: lexicon, network, heteronyms, phones."""

from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.text import g2p_network
from processors.text.arpabet import INVENTORY, PHONES
from processors.text.errors import TextError
from processors.text.front_end import make_front_end
from processors.text.g2p_network import G2PNetwork
from processors.text.heteronyms import _RULES, Context, order_readings
from processors.text.lexicon import Lexicon, LexiconError
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import SymbolTable, UnknownPhoneError
from processors.text.tokens import PAUSES, SPOKEN_NOISE, Pause, Word
from processors.text.word_formation import derive_pronunciations
from tests.support.tables import read_table


@pytest.fixture(scope="module")
def extractor():
    return make_front_end("lexicon")


def spoken(extractor, text):
    """Words as their first pronunciation, pauses as their symbol."""
    return [t.symbol if isinstance(t, Pause) else " ".join(t.pronunciations[0]) for t in extractor.tokens(text)]


def said(extractor, text, word):
    """The first pronunciation of the first such word."""
    token = next(t for t in extractor.tokens(text) if isinstance(t, Word) and t.text == word)
    return " ".join(token.pronunciations[0])


# Tokens and pauses


def test_phone_sequence_opens_with_silence_and_ends_with_a_pause(extractor):
    assert PhoneSequence.from_tokens(extractor.tokens("Hello, world")).phones == (
        "sil",
        "HH",
        "AH0",
        "L",
        "OW1",
        ",",
        "W",
        "ER1",
        "L",
        "D",
        ".",
    )


@pytest.mark.parametrize(
    ("text", "pauses"),
    [
        ("One; two: three — four (five) … six", [",", ",", ",", ",", ",", "."]),
        ("Really?! No... Yes!", ["?", ",", "!"]),
        ('"Stop," he said. "Why?"', [",", ".", "?"]),
        ("a list of books,", [","]),
        ("--- Well, -- then", [",", "."]),
        ("end.Start", [".", "."]),
    ],
)
def test_punctuation_becomes_its_strongest_pause(extractor, text, pauses):
    assert [t.symbol for t in extractor.tokens(text) if isinstance(t, Pause)] == pauses


@settings(max_examples=100, deadline=None)
@given(st.text("abcd EFG'.,;:?!-—()\"012$%&{}é", max_size=40))
def test_tokens_are_words_between_single_pauses(text):
    try:
        tokens = _shared.tokens(text)
    except TextError:
        return
    assert isinstance(tokens[0], Word)
    assert isinstance(tokens[-1], Pause)
    for left, right in pairwise(tokens):
        assert not (isinstance(left, Pause) and isinstance(right, Pause))
    assert set(PhoneSequence.from_tokens(tokens).phones) <= set(INVENTORY)


_shared = make_front_end("lexicon")


@pytest.mark.parametrize("text", ["", "  ", "😀🎉", "...", "—", "'", "{}"])
def test_text_without_words_is_refused(extractor, text):
    with pytest.raises(TextError, match="text empty"):
        extractor.tokens(text)


def test_words_of_other_scripts_are_refused_by_name(extractor):
    with pytest.raises(TextError, match="'москва'"):
        extractor.tokens("I love Москва.")


def test_all_variants_are_kept_for_the_aligner(extractor):
    word = extractor.tokens("of the project")[2]
    assert [" ".join(phones) for phones in word.pronunciations] == ["P R AA1 JH EH0 K T", "P R AH0 JH EH1 K T"]


def test_the_depends_on_the_next_phone(extractor):
    assert said(extractor, "the art", "the") == "DH IY0"
    assert said(extractor, "the hour", "the") == "DH IY0"
    assert said(extractor, "the book", "the") == "DH AH0"
    assert said(extractor, "the union", "the") == "DH AH0"


# Words beyond the lexicon


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Schoeffer's", "SH OW1 F ER0 Z"),
        ("missals", "M IH1 S AH0 L Z"),
        ("shapeliness", "SH EY1 P L IY0 N AH0 S"),
        ("café", "K AH0 F EY1"),
        ("NASA", "N AE1 S AH0"),
        ("the XQZ team", "EH2 K S K Y UW2 Z IY1"),
        ("two PhDs", "P IY1 EY2 CH D IY1 Z"),
        ("the CDs' case", "S IY2 D IY1 Z"),
        ("the US team", "Y UW2 EH1 S"),
        ("give us time", "AH1 S"),
        ("WordBook", "W ER1 D B UH1 K"),
        ("goin' home", "G OW1 AH0 N"),
        ("the 'quoted' word", "K W OW1 T IH0 D"),
        ("the dogs' house", "D AO1 G Z"),
        ("'tis so", "T IH1 Z"),
        ("x-ray", "EH1 K S R EY2"),
        ("vitamin A is", "EY1"),
        ("the plan: A fine one", "AH0"),
        ("MP3", "EH2 M P IY1"),
    ],
)  # fmt: skip
def test_words_beyond_the_lexicon_follow_rules(extractor, text, phones):
    assert phones in spoken(extractor, text)


def test_hyphens_part_words(extractor):
    assert [t.text for t in extractor.tokens("well-read picture-books") if isinstance(t, Word)] == [
        "well", "read", "picture", "books",
    ]  # fmt: skip


def test_texts_in_capitals_are_not_spelled(extractor):
    assert spoken(extractor, "GIVE US A GRUMPLE NOW!") == spoken(extractor, "give us a grumple now!")


def _pronunciations_but_of(hidden, word):
    return () if word == hidden else Lexicon.from_cmudict().pronunciations(word)


@pytest.mark.parametrize("word", ["hoped hopped carried needed walked", "hoping running", "finally happily basically"])
def test_endings_follow_sound_and_spelling(word):
    """CMUdict's own words, hidden, come out as it says them."""
    lexicon = Lexicon.from_cmudict()
    for each in word.split():
        built = derive_pronunciations(each, partial(_pronunciations_but_of, each))
        reduced = {tuple(p.replace("IH0", "AH0") for p in phones) for phones in lexicon.pronunciations(each)}
        assert tuple(p.replace("IH0", "AH0") for p in built[0]) in reduced, each


def test_network_guesses_unknown_words():
    network = G2PNetwork()
    assert " ".join(network("blorft")) == "B L AO1 R F T"
    assert " ".join(network("schoeffer")) == "SH OW1 F ER0"
    assert network("") == ()
    assert set(network("z" * 200)) <= set(PHONES)


def test_missing_network_says_what_to_install(monkeypatch):
    monkeypatch.setattr(g2p_network, "find_spec", lambda name: None)
    with pytest.raises(TextError, match="pip install --no-deps g2p_en"):
        G2PNetwork()("blorft")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_damaged_network_is_named(tmp_path, content):
    path = tmp_path / "checkpoint20.npz"
    path.write_bytes(content)
    with pytest.raises(TextError, match=r"checkpoint20\.npz"):
        G2PNetwork(path)("blorft")


def test_network_of_other_shape_or_with_pickles_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    flat: dict[str, Any] = {name: np.zeros(2) for name in g2p_network._SHAPES}
    np.savez(path, **flat)
    with pytest.raises(TextError, match="enc_emb has shape"):
        G2PNetwork(path)("blorft")
    pickled: dict[str, Any] = {name: np.array([{}], dtype=object) for name in g2p_network._SHAPES}
    np.savez(path, **pickled)
    with pytest.raises(TextError, match="cannot read"):
        G2PNetwork(path)("blorft")


def test_the_wheel_of_the_network_is_never_imported(extractor):
    extractor.tokens("blorft")
    assert "g2p_en" not in sys.modules
    assert "nltk" not in sys.modules


# Inline phones


def test_phones_can_be_written_into_the_text(extractor):
    tokens = extractor.tokens("Say {HH AH0 L OW1}, please, {w er1 l d}!")
    assert " ".join(PhoneSequence.from_tokens(tokens).phones) == "sil S EY1 HH AH0 L OW1 , P L IY1 Z , W ER1 L D !"
    assert tokens[1].text == "{HH AH0 L OW1}"


def test_unknown_inline_phone_is_named_with_its_neighbours(extractor):
    with pytest.raises(UnknownPhoneError, match=r"\{HH AX0 L OW1\}.*'AX0'.*similar"):
        extractor.tokens("Say {HH AX0 L OW1}.")
    with pytest.raises(UnknownPhoneError, match="'AH' is not in ARPAbet; similar: AH0, AH1, AH2"):
        extractor.tokens("Say {HH AH L OW1}.")


# Heteronyms


@pytest.mark.parametrize(("word", "phones", "text"), read_table("heteronyms"))
def test_heteronyms_are_disambiguated_by_their_neighbours(extractor, word, phones, text):
    assert said(extractor, text, word) == phones


@pytest.mark.parametrize(("word", "part", "text"), read_table("heteronym_sentences"))
def test_a_hundred_sentences_have_the_reading_of_their_part_of_speech(extractor, word, part, text):
    assert f" {part} " in f" {said(extractor, text, word)} "


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("résumé", "R EH1 Z AH0 M EY2"),
        ("rosé", "R OW2 Z EY1"),
        ("brûlée", "B R UW1 L EY1"),
        ("soirées", "S W AA0 R EY1 Z"),
        ("belovèd", "B IH0 L AH1 V IH0 D"),
        ("blessèd", "B L EH1 S IH0 D"),
        ("o'er", "AO1 R"),
        ("vs", "V ER1 S AH0 S"),
        ("heav'n", "HH EH1 V AH0 N"),
        ("wand'ring", "W AA1 N D ER0 IH0 NG"),
        ("sooo", "S OW1"),
        ("cheeeese", "CH IY1 Z"),
        ("waaaay", "W EY1"),
        ("kilocalories", "K IH1 L AH0 K AE2 L ER0 IY0 Z"),
        ("milliamps", "M IH1 L AH0 AE2 M P S"),
        ("hereof", "HH IH2 R AH1 V"),
        ("yrs", "Y IH1 R Z"),
        ("idk", "AY2 D IY2 K EY1"),
        ("exposés", "IH0 K S P OW2 Z EY1 Z"),
        ("café", "K AH0 F EY1"),
    ],
)
def test_accents_apostrophes_compounds_and_drawn_out_letters_are_spoken(extractor, word, phones):
    assert said(extractor, f"a {word}", word) == phones


def test_every_heteronym_has_a_reading_for_its_rule():
    lexicon = Lexicon.from_cmudict()
    for word in _RULES:
        readings = lexicon.pronunciations(word) or derive_pronunciations(word, lexicon.pronunciations)
        assert readings, word
        ordered = {
            order_readings(Context(["to", word, "it"], 1), readings)[0],
            order_readings(Context(["the", word], 1), readings)[0],
        }
        assert ordered <= set(order_readings(Context([word], 0), readings)), word


# Lexica


def test_user_lexicon_goes_before_cmudict(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(";;; mine\nRecital  R AH0 S AY1 T AH0 L\nread R EH1 D\nGIF JH IH1 F # soft\n", encoding="utf-8")
    extractor = make_front_end("lexicon", lexicon_path=path)
    assert said(extractor, "to read", "read") == "R EH1 D"
    assert said(extractor, "A Recital.", "recital") == "R AH0 S AY1 T AH0 L"
    assert said(extractor, "Three gifs", "gifs") == "JH IH1 F S"


def test_lexicon_formats_of_cmudict_and_mfa_are_read(tmp_path):
    path = tmp_path / "lexicon.dict"
    path.write_bytes(
        "\ufeffaa\tEY1 EY1\r\nlead  L IY1 D\nLEAD(2)  L EH1 D\nthe 0.2 DH IY0\nthe 0.9 DH AH0\n"
        "of\t0.99\t0.12\t1.3\t0.97\tAH1 V\n<eps> sil\n[laughter]\tspn\n\n"
        "# a comment\ndon’t D OW1 N T # said so\n".encode()
    )
    lexicon = Lexicon.from_file(path)
    assert lexicon.pronunciations("lead") == (("L", "IY1", "D"), ("L", "EH1", "D"))
    assert lexicon.pronunciations("the") == (("DH", "AH0"), ("DH", "IY0"))
    assert lexicon.pronunciations("of") == (("AH1", "V"),)
    assert lexicon.pronunciations("aa") == (("EY1", "EY1"),)
    assert "don't" in lexicon
    assert len(lexicon) == 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"word W AX1 R D", r"lexicon.txt:2: 'word': phone 'AX1' is not in ARPAbet"),
        (b"word W ER R D", r"lexicon.txt:2: 'word': vowel ER has no stress; write ER0, ER1 or ER2"),
        (b"word", r"lexicon.txt:2: 'word' has no phones"),
        (b"word 0.5 0.2", r"lexicon.txt:2: 'word' has no phones"),
        (b"caf\xe9 K AH0 F EY1", r"lexicon.txt:2: not UTF-8"),
    ],
)
def test_bad_line_of_a_lexicon_is_named(tmp_path, line, message):
    path = tmp_path / "lexicon.txt"
    path.write_bytes(b"fine F AY1 N\n" + line + b"\n")
    with pytest.raises(LexiconError, match=message):
        make_front_end("lexicon", lexicon_path=path)


def test_a_missing_lexicon_is_named_with_its_setting(tmp_path):
    with pytest.raises(LexiconError, match=r"preprocess\.lexicon_path: .*none\.txt: cannot be read: No such file"):
        make_front_end("lexicon", lexicon_path=tmp_path / "none.txt")


def test_empty_lexicon_is_refused(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text("# nothing\n")
    with pytest.raises(LexiconError, match="holds no words"):
        Lexicon.from_file(path)


def test_cmudict_has_phones_of_the_inventory_only():
    lexicon = Lexicon.from_cmudict()
    assert len(lexicon) == 135166
    phones = {phone for word in lexicon._entries for phone in lexicon._entries[word].partition("#")[0].split()}
    assert phones <= set(PHONES)


# Making, sharing and saving


def test_unknown_extractor_lists_the_known_ones():
    with pytest.raises(TextError, match="phone_extractor 'espeek' is unknown; known: char, espeak, lexicon"):
        make_front_end("espeek")
    with pytest.raises(TextError, match="language 'de'"):
        make_front_end("lexicon", language="de")


def test_the_front_end_can_be_pickled_and_works_in_threads(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text("blorft B L AO2 R F T\n")
    extractor = make_front_end("lexicon", lexicon_path=path)
    extractor.tokens("warm up")
    pickled = pickle.dumps(extractor)
    path.unlink()
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    texts = [f"The blorft number {n} and schoeffer {n}s." for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(again.tokens, texts)) == [extractor.tokens(text) for text in texts]


def test_recorded_texts_have_few_unknown_words(shared_data, monkeypatch):
    """Every text of both corpora gives words and known phones; at most one word in fifty sentences is guessed."""
    guessed = set()
    guess = G2PNetwork.__call__

    def noted(network, word):
        guessed.add(word)
        return guess(network, word)

    monkeypatch.setattr(G2PNetwork, "__call__", noted)
    extractor = make_front_end("lexicon")
    paths = [shared_data / "kathleen/metadata.csv", shared_data / "ljspeech_mini/LJSpeech-1.1/metadata.csv"]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    table = SymbolTable(extractor.inventory)
    for line in lines:
        utterance_id, text, *_ = line.split("|")
        assert (
            table.ids(PhoneSequence.from_tokens(extractor.tokens(text)).phones, utterance_id)[0]
            == table.ids(["sil"], "")[0]
        )
    assert len(guessed) <= len(lines) / 50


# Symbol tables


def test_symbol_table_holds_the_whole_inventory_and_survives_saving(tmp_path):
    table = SymbolTable(INVENTORY)
    assert len(table) == 1 + len(PAUSES) + 1 + 69
    assert table.symbols[0] == "<pad>"
    assert SPOKEN_NOISE in table
    path = tmp_path / "symbols.json"
    table.save(path)
    opened = SymbolTable.open(path)
    assert opened == table
    assert opened.phones(opened.ids(["sil", "AH0", "."], "x")) == ["sil", "AH0", "."]


def test_unknown_phone_names_utterance_phone_and_neighbours():
    with pytest.raises(
        UnknownPhoneError, match="LJ001-0001: phone 'AH' is not in the symbol table; similar: AH0, AH1, AH2"
    ):
        SymbolTable(INVENTORY).ids(["sil", "AH"], "LJ001-0001")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"symbols": "abc"}',
        '{"symbols": ["a"]}',
        '{"symbols": ["<pad>", "a", "a"]}',
        '{"symbols": ["<pad>", 1]}',
    ],
)
def test_damaged_symbol_table_is_named(tmp_path, content):
    path = tmp_path / "symbols.json"
    path.write_text(content)
    with pytest.raises(TextError, match=r"symbols\.json"):
        SymbolTable.open(path)


def test_symbols_are_numbered_in_order(tmp_path):
    path = tmp_path / "symbols.json"
    SymbolTable(["b", "a"]).save(path)
    assert json.loads(path.read_text()) == {"symbols": ["<pad>", "b", "a"]}
    with pytest.raises(TextError, match="white space"):
        SymbolTable(["a b"])
