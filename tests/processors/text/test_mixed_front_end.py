"""The mixed front end: NVIDIA's ids, and what it promises by itself."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from processors.text.errors import TextError, UnknownLanguageError
from processors.text.mixed_front_end import MixedFrontEnd
from processors.text.mixed_symbols import MIXED_INVENTORY
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import SymbolTable

SYMBOLS = SymbolTable(MIXED_INVENTORY)


def ids(front_end, text):
    sequence = PhoneSequence.from_tokens(front_end.tokens(text), front_end.start)
    return SYMBOLS.ids(sequence.phones, "test")


def lexicon_of(folder, path):
    """Write the golden extract of CMUdict with a second pronunciation for each heteronym."""
    entries = (folder / "cmudict-0.7b.extract").read_text(encoding="latin-1")
    words = (folder / "heteronyms.txt").read_text(encoding="utf-8").split()
    path.write_text(entries + "\n".join(f"{word}  {phones}" for word in words for phones in ("AA1", "AE1")) + "\n")
    return path


def test_ids_match_those_of_the_published_code(golden, tmp_path):
    folder = golden / "fastpitch"
    lexicon = lexicon_of(folder, tmp_path / "lexicon.txt")
    front_ends = {1.0: MixedFrontEnd(lexicon_path=lexicon), 0.0: MixedFrontEnd(with_phones=False)}
    differing = []
    for line in (folder / "text_to_ids.jsonl").read_text(encoding="utf-8").splitlines():
        wanted = json.loads(line)
        front_end = front_ends[wanted["p_arpabet"]]
        assert front_end.normalized(wanted["text"]) == wanted["clean"]
        if ids(front_end, wanted["text"]) != wanted["ids"]:
            differing.append(wanted["text"])
    assert not differing


def test_symbols_have_their_numbers():
    assert len(SYMBOLS) == 148
    assert [SYMBOLS.symbols[number] for number in (1, 11, 12, 38, 64, 65, 147)] == [
        "-",
        "␣",
        "A",
        "a",
        "@AA",
        "@AA0",
        "@ZH",
    ]


def test_words_become_phones_or_stay_letters():
    front_end = MixedFrontEnd()
    assert [token.text for token in front_end.tokens("The zorblatt sat.")[:-1]] == ["the", "zorblatt", "sat"]
    spoken = " ".join(PhoneSequence.from_tokens(front_end.tokens("Cats read."), ()).phones)
    assert re.sub(" ?␣ ?", "|", spoken) == "@K @AE1 @T @S|r e a d ."
    assert pickle.loads(pickle.dumps(front_end)).tokens("Cats read.") == front_end.tokens("Cats read.")
    with pytest.raises(TextError, match="nothing to synthesize"):
        front_end.tokens("...")
    with pytest.raises(UnknownLanguageError, match="English"):
        MixedFrontEnd("de")
