"""Mandarin through espeak-ng: tones told apart, the suffix -r, figures and per cent in Chinese."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.bundle import BundleError
from processors.text.front_end import make_front_end
from processors.text.front_end_version import FrontEndVersion
from processors.text.mandarin import is_mandarin, separate_suffix, with_contours
from processors.text.phone_sequence import PhoneSequence
from tests.support.tiny_voice import tiny_bundle

pytest.importorskip("espeakng_loader", reason="needs the extra espeak")


def phones(text: str, language: str = "zh") -> tuple[str, ...]:
    return PhoneSequence.from_tokens(make_front_end("espeak", language=language).tokens(text)).phones


@pytest.mark.parametrize("syllables", ["妈麻马骂吗", "诗时史是", "衣移椅意", "汤糖躺烫", "通同桶痛"])
def test_each_tone_has_its_own_symbols(syllables):
    assert len({phones(syllable) for syllable in syllables}) == len(syllables)


def test_tones_are_whole_contours():
    assert [phones(syllable)[-2][-3:].strip("ˈɑ") for syllable in "妈麻马骂吗"] == ["55", "35", "214", "51", "11"]
    assert with_contours(["m", "ˈɑ5", "ɡ"], ["m", "'A51", "|", "g"]) == ["m", "ˈɑ51", "ɡ"]
    assert with_contours(["ts", "ˈɑɜ"], ["t", "s", "'A35"]) == ["ts", "ˈɑ35"]
    assert with_contours(["ts", "ˈɑɜ"], ["t", "s"]) == ["ts", "ˈɑɜ"]


@pytest.mark.parametrize("text", ["这儿", "花儿", "一点儿", "玩儿", "聊天儿", "一会儿见。", "这儿有花儿。"])
def test_the_suffix_is_neither_spelled_nor_lost(text):
    before = phones(text.split("儿")[0])[1:-1]
    found = phones(text)
    assert found[1 : len(before) + 1] == before
    assert found.count("r11") == text.count("儿")


def test_a_syllable_of_its_own_is_no_suffix():
    assert separate_suffix("女儿和儿子在这儿玩") == "女儿和儿子在这 儿 玩"
    assert "r35" in phones("儿子") and "r11" not in phones("女儿")


def test_full_width_figures_and_per_cent_are_said_in_chinese():
    assert phones("增长５０％。") == phones("增长百分之50。")
    assert phones("Ｇ２０") == phones("G20")
    assert make_front_end("espeak", language="zh").normalized("增长３.５％") == "增长百分之3.5"


def test_latin_words_stay_english():
    assert " ".join(phones("Python", "en-gb")[1:-1]) in " ".join(phones("用Python写"))
    assert phones("one", "en-gb")[1:-1] == phones("one", "zh")[1:-1] == phones("one", "yue")[1:-1]
    assert phones("editing", "en-gb")[1:-1] == phones("editing", "zh")[1:-1]


def test_cantonese_has_its_own_tones_and_chinese_per_cent():
    assert not is_mandarin("zh-yue") and is_mandarin("zh-TW") and is_mandarin("cmn_Hans")
    assert phones("诗史试时市是", "yue") == phones("诗史试时市是", "zh-yue")
    assert [phone for phone in phones("诗史试时市是", "yue") if phone[-1].isdigit()] == [
        "ˈi1", "ˈi2", "ˈi3", "ˈi4", "ˈi5", "ˈi6",
    ]  # fmt: skip
    assert phones("50%", "yue") == phones("百分之50", "yue") == phones("50%", "zh-yue")


@pytest.mark.parametrize("language", ["zh", "zh-CN", "cmn", "yue", "zh-yue", "hak"])
def test_voices_with_the_former_tones_are_refused(language):
    bundle = tiny_bundle()
    of_before = replace(bundle, front_end=FrontEndVersion())
    of_before.require_front_end()
    preprocess = bundle.settings.preprocess.model_copy(update={"language": language, "phone_extractor": "espeak"})
    settings = bundle.settings.model_copy(update={"preprocess": preprocess})
    replace(bundle, settings=settings).require_front_end()
    of_speaker = bundle.settings.model_copy(update={"preprocess": preprocess.model_copy(update={"language": "en"})})
    for refused in (
        replace(of_before, settings=settings),
        replace(of_before, settings=of_speaker, languages={"anna": language}),
    ):
        with pytest.raises(BundleError, match="tones 1 and 4 were one symbol; run stages 1 and 2 again"):
            refused.require_front_end()
    vietnamese = preprocess.model_copy(update={"language": "vi"})
    replace(of_before, settings=settings.model_copy(update={"preprocess": vietnamese})).require_front_end()
