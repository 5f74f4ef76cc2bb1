"""Corpora in another language than their setting: stopped by name of the setting, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load_settings
from config.paths import REPOSITORY
from models.registry import settings_class
from processors.corpora.corpus import CorpusError
from processors.preparation.language_check import require_its_language
from processors.utterance import Utterance, read_text_file

RECIPE = REPOSITORY / "egs/tts/FastSpeech2/exp_config.json"
GERMAN = "der Hund lief schnell durch den kleinen Garten hinter unserem alten Haus und wir gingen mit ihm nach oben "


def corpus(text: str, language: str = "en", times: int = 20) -> list[Utterance]:
    return [Utterance(str(number), "mine", "anna", language, text, Path("a.wav")) for number in range(times)]


def preprocess(*changes: str):
    return load_settings(RECIPE, list(changes), settings_class).settings.preprocess


def test_words_outside_the_lexicon_name_the_setting():
    with pytest.raises(CorpusError, match=r"mine: \d+% of .* are outside the English lexicon.*language\.mine"):
        require_its_language(corpus(GERMAN), preprocess())
    with pytest.raises(CorpusError, match=r"preprocess\.check_language: false"):
        require_its_language(corpus(GERMAN), preprocess())


def test_letters_of_other_languages_name_the_setting():
    by_espeak = preprocess("preprocess.phone_extractor=espeak")
    french = "la fenêtre était fermée mais le garçon très pressé a trouvé une clé cachée sous le paillasson "
    with pytest.raises(CorpusError, match="have letters that the language 'it' does not write"):
        require_its_language(corpus(french, "it"), by_espeak)
    require_its_language(corpus(french, "fr"), by_espeak)
    require_its_language(corpus(GERMAN, "de"), by_espeak)


def test_names_few_words_and_loanwords_are_no_reason_to_stop():
    require_its_language(corpus(GERMAN, times=5), preprocess())
    require_its_language(corpus("we met Herr Vogelsang in Unterammergau at the old café by the river"), preprocess())


def test_recordings_of_other_languages_are_recognised(shared_data):
    for speaker in ("kerstin", "flemishguy", "nathalie"):
        texts = [read_text_file(path) for path in sorted((shared_data / "three_voices" / speaker).glob("*.lab"))]
        with pytest.raises(CorpusError, match="of its words"):
            require_its_language([each for text in texts for each in corpus(text, times=1)], preprocess())


def test_english_recordings_pass(shared_data):
    lines = (shared_data / "kathleen" / "metadata.csv").read_text(encoding="utf-8").splitlines()
    require_its_language([each for line in lines for each in corpus(line.split("|")[1], times=1)], preprocess())
