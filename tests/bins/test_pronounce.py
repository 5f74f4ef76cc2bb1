"""`bins.pronounce`: words and phones of texts, and reasons for those that have none."""

from __future__ import annotations

import pytest

from config.paths import SHIPPED_VOICE
from models.bundles.locate import find_bundle
from processors.text.front_end import make_front_end
from processors.text.pronounced_text import PronouncedText
from tests.support.commands import call


def test_each_text_has_a_line_of_words_and_phones(tmp_path):
    (tmp_path / "texts.txt").write_text("Weighs 5 kg.\n\n日本\n{B AY1}\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("recital  R AH0 S AY1 T AH0 L\n", encoding="utf-8")
    done = call(
        "bins.pronounce", "Recital?", "--file", str(tmp_path / "texts.txt"), "--lexicon", str(tmp_path / "words.txt")
    )
    assert done.stdout.splitlines() == [
        "Recital?\tsil R AH0 S AY1 T AH0 L ?",
        "Weighs five kilograms.\tsil W EY1 Z F AY1 V K IH1 L AH0 G R AE2 M Z .",
        "{B AY1}\tsil B AY1 .",
    ]
    assert done.returncode == 1
    assert done.stderr.startswith("error: '日本': ") and done.stderr.count("\n") == 1


def test_the_front_end_is_that_of_flags_recipe_or_voice():
    assert (
        call("bins.pronounce", "--language", "de", "--phone_extractor", "char", "Ja 5").stdout == "Ja 5\tsil j a 5 .\n"
    )
    recipe = ["--config", "egs/tts/FastSpeech2/exp_config.json"]
    assert call("bins.pronounce", *recipe, "--phone_extractor", "char", "Ja").stdout == "Ja\tsil j a .\n"
    by_voice = call("bins.pronounce", "--infer_expt_dir", str(SHIPPED_VOICE), "Hi")
    assert (by_voice.returncode, by_voice.stdout) == (0, "Hi\tsil HH AY1 .\n")


def test_phones_that_the_voice_does_not_have_are_listed_with_their_replacements():
    pronounced = PronouncedText.of("déjà", make_front_end("char", language="fr"), ("d", "j", "a", "e", "."))
    assert pronounced.phones == ("sil", "d", "e", "j", "a", ".")
    assert pronounced.replaced == {"é": ("e",), "à": ("a",)}
    symbols = find_bundle(SHIPPED_VOICE).symbols
    assert symbols is not None
    assert PronouncedText.of("Hi", make_front_end("lexicon"), symbols.symbols).replaced == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a text"),
        (["a", "--infer_expt_dir", "x", "--config", "y"], "give one of them"),
        (["a", "--infer_expt_dir", "x", "--normalizer", "rules"], "a voice keeps its front end"),
        (["a", "--set", "x=y"], "--set needs --config"),
    ],
)
def test_flags_that_contradict_each_other_are_wrong_usage(arguments, message):
    done = call("bins.pronounce", *arguments)
    assert done.returncode == 2 and message in done.stderr
