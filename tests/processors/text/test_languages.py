"""Phones by espeak-ng and letters: words stay known, marks stay with their phones, in any language and process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.text import espeak as espeak_module
from processors.text.errors import TextError
from processors.text.espeak_phones import _distribute
from processors.text.front_end import make_front_end
from processors.text.ipa import nearest_phones, phones_from_ipa, phones_from_pieces
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import PAUSES, Pause, Word
from processors.utterance import read_text_file
from tests.support.tables import read_table


@pytest.fixture(autouse=True)
def espeak_where_needed(request):
    if "char" not in request.node.name and "marks" not in request.node.name:
        pytest.importorskip("espeakng_loader", reason="needs the extra espeak")


def said(text: str, language: str, normalizer: str = "rules") -> str:
    """Words and pauses, each word as text=phones."""
    tokens = make_front_end("espeak", language=language, normalizer=normalizer).tokens(text)
    return " ".join(
        f"{token.text}={'_'.join(token.pronunciations[0])}" if isinstance(token, Word) else token.symbol
        for token in tokens
    )


# espeak-ng


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en-us", "Hello there!", "hello=h_ə_l_ˈoʊ there=ð_ˈɛ_ɹ !"),
        ("en", "Cheese, of the judge.", "cheese=tʃ_ˈiː_z , of=ʌ_v the=ð_ə judge=dʒ_ˈʌ_dʒ ."),
        ("de", "Ich möchte Äpfel.", "ich=ɪ_ç möchte=m_ˈœ_ç_t_ə äpfel=ˈɛ_p_f_ə_l ."),
        ("de", "Die Pfütze: tschüss!", "die=d_iː pfütze=pf_ˈʏ_ts_ə , tschüss=tʃ_ˈʏ_s !"),
        ("nl", "Wat een mooi huis?", "wat=ʋ_ɑ_t een=ə_n mooi=m_ˈoː_j huis=h_ˈœy_s ?"),
        ("ru", "Привет, мир", "привет=p_rʲ_i_vʲ_ˈe_t , мир=mʲ_ˈi_r ."),
        ("hi", "नमस्ते।", "नमस्ते=n_ə_m_ˈʌ_s_t_eː ."),
    ],
)
def test_words_keep_their_phones(language, text, expected):
    assert said(text, language) == expected


def test_words_are_pronounced_in_context():
    assert "the=ð_ɪ" in said("the apple", "en-us") and "the=ð_ə" in said("the cat", "en-us")
    assert said("les amis", "fr").startswith("les=l_e_z amis=a_m_ˈi")


def test_numbers_are_left_to_espeak_unless_a_normalizer_spells_them_out():
    assert said("25 Äpfel", "de").startswith("25=f_ˈʏ_n_f_ʊ_n_t")
    pytest.importorskip("num2words")
    assert said("25 Äpfel", "de", "num2words").startswith("fünfundzwanzig=f_ˈʏ_n_f")


@pytest.mark.parametrize(
    ("language", "text", "pauses"),
    [
        ("de", "z.B. hier", "."),
        ("en-us", "J. Smith and U.S. visas... well - no", ",,."),
        ("de", "Haus. Katze – ja (nein)!", ".,,!"),
        ("el", "Τι κάνεις; Καλά.", "?."),
        ("ar", "مرحبا؟ نعم، لا", "?,."),
        ("zh", "你好，世界。", ",."),
    ],
)
def test_punctuation_pauses_and_abbreviations_do_not(language, text, pauses):
    tokens = make_front_end("espeak", language=language).tokens(text)
    assert "".join(token.symbol for token in tokens if isinstance(token, Pause)) == pauses


def test_inline_phones_mix_with_text():
    assert said("Say [[həˈloʊ ˈt͡ʃiːz]], please", "en") == (
        "say=s_ˈeɪ [[həˈloʊ]]=h_ə_l_ˈoʊ [[ˈt͡ʃiːz]]=tʃ_ˈiː_z , please=p_l_ˈiː_z ."
    )


@pytest.mark.parametrize("text", ["[[]]", "say [[%]]", "a [[3]]", "{HH AH0 L OW1} there"])
def test_invalid_inline_phones_are_errors(text):
    with pytest.raises(TextError, match="IPA"):
        make_front_end("espeak").tokens(text)


@pytest.mark.parametrize("text", ["", "...", " ?! ", "\x00", "\u200e"])
def test_a_text_without_words_is_an_error(text):
    for name in ("espeak", "char"):
        with pytest.raises(TextError, match="text empty"):
            make_front_end(name, language="de").tokens(text)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["de", "en", "nl", "zh", "ar"]))
def test_any_text_gives_words_between_single_pauses(text, language):
    for name in ("espeak", "char"):
        try:
            tokens = make_front_end(name, language=language).tokens(text)
        except TextError:
            continue
        assert isinstance(tokens[0], Word) and isinstance(tokens[-1], Pause)
        assert not any(isinstance(left, Pause) and isinstance(right, Pause) for left, right in pairwise(tokens))
        assert all(token.pronunciations[0] for token in tokens if isinstance(token, Word))
        spoken = [phone for token in tokens if isinstance(token, Word) for phone in token.pronunciations[0]]
        assert all(phone.split() == [phone] and phone not in PAUSES for phone in spoken)


def test_regions_and_capitals_find_their_language():
    espeak = espeak_module.espeak()
    assert espeak.voice_of("de_AT") == espeak.voice_of("DE") == "gmw/de"
    assert espeak.voice_of("en") == espeak.voice_of("en-US")
    assert espeak.voice_of("fr-FR") and espeak.voice_of("pt-br") != espeak.voice_of("pt")
    for code in espeak.languages:
        with espeak.speaking(espeak.voice_of(code)):
            pass


def test_unknown_language_lists_near_ones():
    with pytest.raises(TextError, match=r"does not support the language 'german'; similar: de \(German\)"):
        make_front_end("espeak", language="german")
    with pytest.raises(TextError, match="'xq'; "):
        make_front_end("espeak", language="xq")


def test_without_espeak_the_error_says_what_to_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak_module, "_loaded", espeak_module.Espeak)
    with pytest.raises(TextError, match=r"sh env\.sh espeak"):
        make_front_end("espeak")


_TEXTS = {
    "de": "Am Abend gingen die Kinder über den Fluss nach Hause.",
    "nl": "Gisteren hebben wij een mooi huis gezien.",
    "en": "The old cheese of the judge is an apple.",
}


def _phones(language: str) -> tuple[str, ...]:
    return PhoneSequence.from_tokens(make_front_end("espeak", language=language).tokens(_TEXTS[language])).phones


def test_threads_of_several_languages_do_not_disturb_each_other():
    expected = {language: _phones(language) for language in _TEXTS}
    extractors = {language: make_front_end("espeak", language=language) for language in _TEXTS}
    wrong: list[str] = []

    def speak(language: str) -> None:
        for _ in range(60):
            if PhoneSequence.from_tokens(extractors[language].tokens(_TEXTS[language])).phones != expected[language]:
                wrong.append(language)

    threads = [threading.Thread(target=speak, args=(language,)) for language in [*_TEXTS, *_TEXTS]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_return_the_same_phones(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform has no {method}")
    expected = [_phones(language) for language in _TEXTS]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(_phones, list(_TEXTS)).get(60) == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_during_a_call_does_not_lock_the_child():
    extractor = make_front_end("espeak", language="de")
    stop = threading.Event()

    def speak() -> None:
        while not stop.is_set():
            extractor.tokens(_TEXTS["de"])

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_phones, args=("nl",)) for _ in range(10)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
        assert [child.exitcode for child in children] == [0] * 10
    finally:
        stop.set()
        thread.join()


def test_front_ends_can_be_pickled():
    extractor = pickle.loads(pickle.dumps(make_front_end("espeak", language="nl")))
    assert PhoneSequence.from_tokens(extractor.tokens(_TEXTS["nl"])).phones == _phones("nl")


def test_real_texts_give_each_written_word_its_phones(shared_data):
    for speaker, language in (("kerstin", "de"), ("flemishguy", "nl"), ("nathalie", "nl")):
        extractor = make_front_end("espeak", language=language)
        for path in sorted((shared_data / "three_voices" / speaker).glob("*.lab")):
            text = read_text_file(path)
            words = [token for token in extractor.tokens(text) if isinstance(token, Word)]
            assert len(words) == len([piece for piece in text.split() if any(map(str.isalnum, piece))]), text


def test_phones_are_distributed_over_merged_and_split_words():
    joined = [["ʌ", "v", "ð", "ə"], ["k", "ˈæ", "t"]]
    alone = [(("ˈʌ", "v"),), (("ð", "ə"),), (("k", "ˈæ", "t"),)]
    assert _distribute(joined, alone) == [["ʌ", "v"], ["ð", "ə"], ["k", "ˈæ", "t"]]
    assert _distribute([["z"], ["a"], ["b"]], [(("z",),), (("a", "b"),)]) == [["z"], ["a", "b"]]
    swallowed = _distribute([["m"]], [(("m",),), (("ə",),)])
    assert swallowed == [["m"], ["ə"]]  # each written word keeps a sound


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("de", "Das ist 日本.", r"cannot pronounce '日本\.': the language 'de' has no letter '日'"),
        ("fr", "Le mot שלום ici", "'שלום'.*transliterate it, or set the text's language"),
        ("zh", "你好 Привет", "Привет"),
        ("ja", "日本語", "write Japanese in kana"),
        ("ru", "слово λόγος", "λόγος"),
        ("hak", "客家", "客家"),
        ("ku", "نان", "نان"),
    ],
)
def test_letters_of_other_scripts_are_refused_by_word(language, text, message):
    with pytest.raises(TextError, match=message):
        make_front_end("espeak", language=language).tokens(text)


@pytest.mark.parametrize(
    ("language", "text"),
    [("ja", "ニホンゴ です"), ("ru", "Привет Windows"), ("he", "שלום"), ("ko", "한국어"), ("ar", "مرحبا"),
     ("sr", "Здраво"), ("bs", "Здраво"), ("hi", "नमस्ते"), ("ka", "გამარჯობა"), ("el", "Καλημέρα"),
     ("de", "α-Strahlen und 5 µm"), ("es", "1ª y 2º")],
)  # fmt: skip
def test_scripts_of_the_language_latin_letters_and_lone_greek_ones_are_read(language, text):
    said_words = said(text, language)
    assert said_words.count("=") == len(text.split()) and "lˈɛtə" not in said_words.replace("_", "")


def test_symbols_without_a_spoken_form_are_left_out_with_one_warning(capsys):
    assert said("Hallo 😀 Welt 🎉 😀", "de") == said("Hallo Welt", "de")
    assert capsys.readouterr().err.splitlines() == [
        "warning: 'Hallo 😀 Welt 🎉 😀': symbols without a spoken form are left out: 😀 🎉"
    ]
    assert said("3 ℃ ½ → 5 €", "de").count("=") == 6
    make_front_end("lexicon").tokens("I ♥ you, 5 → 6 °C")
    assert capsys.readouterr().err.count("♥") == 2


# IPA


@pytest.mark.parametrize(
    ("written", "phones"),
    [
        ("həˈloʊ", "h ə l ˈoʊ"),
        ("ˈstɹɛŋθs", "s t ɹ ˈɛ ŋ θ s"),
        ("t͡ʃiːz", "tʃ iː z"),
        ("t_ʃa.i", "t ʃ a i"),
        ("ˈmɛtn̩", "m ˈɛ t n̩"),
        ("bɔ̃ʒuːʁ", "b ɔ̃ ʒ uː ʁ"),
        ("gaɪ", "ɡ aɪ"),
        ("ˈpst", "ˈp s t"),
    ],
)
def test_marks_stay_with_their_phone(written, phones):
    assert phones_from_ipa(written) == phones.split()


def test_marks_of_pieces_move_to_the_vowel_and_consonants_part():
    assert phones_from_pieces(["ð", "ˈɛɹ"]) == ["ð", "ˈɛ", "ɹ"]
    assert phones_from_pieces(["ˈs", "t", "aɪ", "d͡ʒ"]) == ["s", "t", "ˈaɪ", "dʒ"]


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("ˈɪ", ("ɪ",)),
        ("a", ("a",)),
        ("aː", ("a",)),
        ("ˈaɪ", ("ˈa", "ɪ")),
        ("tʃ", ("t", "ʃ")),
        ("ø", ("œ",)),
        ("ɹ", ("r",)),
        ("ð", ("s",)),
        ("ʘ", ()),
    ],
)
def test_unknown_phones_are_replaced_by_the_nearest_known_ones(phone, expected):
    assert nearest_phones(phone, [*PAUSES, "a", "ˈa", "ɪ", "t", "s", "ʃ", "l", "ɛ", "œ", "r", "n"]) == expected


# Letters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Привет, мир!", ["п р и в е т", ",", "м и р", "!"]),
        ("नमस्ते दुनिया।", ["न म स ् त े", "द ु न ि य ा", "."]),
        ("Straße, cafe\u0301", ["s t r a s s e", ",", "c a f é", "."]),
        ("Don't co-operate 'now'...", ["d o n ' t", "c o", "o p e r a t e", "n o w", ","]),
        ("日本語。", ["日 本 語", "."]),
    ],
)
def test_char_gives_letters_of_any_script(text, expected):
    tokens = make_front_end("char", language="xx").tokens(text)
    assert [
        " ".join(token.pronunciations[0]) if isinstance(token, Word) else token.symbol for token in tokens
    ] == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lexicon", "say [[həˈloʊ]] there", r"IPA, which phone_extractor 'espeak' reads.* \{HH AH0 L OW1\}"),
        ("char", "say [[həˈloʊ]] there", r"\[\[həˈloʊ\]\]': phone_extractor 'char' reads"),
        ("char", "say {HH AH0 L OW1} there", r"\{HH AH0 L OW1\}': phone_extractor 'char' reads"),
        ("lexicon", "say {HH AH0 L OW1 there", r"'\{HH AH0 L OW1 there' are not closed"),
        ("lexicon", "say [[həˈloʊ] there", "are not closed"),
        ("espeak", "[[həˈloʊ]] [[həˈloʊ", r"'\[\[həˈloʊ' are not closed"),
        ("char", "[[a]] say [[həˈloʊ there", r"'\[\[həˈloʊ there' are not closed"),
    ],
)
def test_inline_phones_are_never_read_as_letters(name, text, message):
    with pytest.raises(TextError, match=message):
        make_front_end(name).tokens(text)


def test_brackets_that_hold_no_phones_are_punctuation():
    for text in ("So {it seems. THE END", "So [it] seems.", "So {it} seems }."):
        assert len(make_front_end("char").tokens(text)) >= 4


def test_char_replaces_unknown_accented_letters():
    extractor = make_front_end("char", language="fr")
    assert extractor.fallback("é", ("e", "f")) == ("e",)
    assert extractor.fallback("ж", ("e", "f")) == ()


@pytest.mark.parametrize(("language", "text", "letters", "spoken"), read_table("hard_sentences"))
def test_hard_sentences_keep_letters_words_and_pauses(language, text, letters, spoken):
    text = text.replace("\\n", "\n")
    for name, expected in (("char", letters), ("espeak", spoken)):
        tokens = make_front_end(name, language=language).tokens(text)
        assert " ".join(token.text if isinstance(token, Word) else token.symbol for token in tokens) == expected


@pytest.mark.parametrize(("language", "text", "letters"), [("az", "İl", "i l"), ("tr", "ISPARTA", "ı s p a r t a")])
def test_char_distinguishes_dotted_and_dotless_i(language, text, letters):
    assert make_front_end("char", language=language).tokens(text)[0].pronunciations == (tuple(letters.split()),)


def test_ordinals_and_abbreviations_end_no_sentence():
    assert said("Den 3. maj", "da").split()[1] == "3=t_ʁ_ˈɛ_d_j_ə"
    assert said("Am 3. Mai", "de").split()[1] == "3=d_ɾ_ˈaɪ"
    assert said("O Sr. Silva", "pt").count(".=") == 0 and said("O Sr. Silva", "pt").endswith(" .")
