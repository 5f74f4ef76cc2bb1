"""SSML and light marks: what is read, and what is refused, with its place."""

from __future__ import annotations

import math
import random
import re

import pytest

from processors.text.errors import TextError
from processors.text.marked_text import Break, MarkupError, NamedMark, Stretch, Style, tokens_of_stretch
from processors.text.pitch_targets import PitchTarget
from processors.text.ssml import parts_of
from processors.text.tokens import Pause, Word

DOCUMENT = """<?xml version="1.0"?>
<speak version="1.1" xml:lang="en">
<p><s>Hello <emphasis level="strong">there</emphasis>, world.</s></p>
<prosody rate="80%" pitch="+2st" volume="loud">Slow <break time="500ms"/> and high.</prosody>
<phoneme alphabet="ipa" ph="təˈmɑtoʊ">tomato</phoneme> <say-as interpret-as="digits">42</say-as>
<sub alias="kilometres">km</sub> <voice name="ben">Yes <mark name="here"/> sir.</voice> <lang xml:lang="de">Guten</lang>
</speak>"""


def stretches(text, markup="auto"):
    return [part for part in parts_of(text, markup) if isinstance(part, Stretch) and part.text.strip()]


def only(text):
    [stretch] = stretches(f"<speak>{text}</speak>")
    return stretch


def test_every_element_is_read():
    parts = parts_of(DOCUMENT, "ssml")
    by_text = {part.text.strip(): part for part in parts if isinstance(part, Stretch)}
    assert by_text["there"].style == Style(0.85, pitch_shift_semitones=2, energy_db=4, language="en")
    assert by_text["Slow"].style == Style(0.8, pitch_shift_semitones=2, energy_db=6, language="en")
    assert by_text["tomato"].phones == "təˈmɑtoʊ" and (by_text["tomato"].line, by_text["tomato"].column) == (5, 39)
    assert "4 2" in by_text and "kilometres" in by_text and "km" not in by_text
    assert by_text["Yes"].style.voice == "ben" and by_text["Guten"].style.language == "de"
    assert NamedMark("here") in parts and [each for each in parts if each == Break(500)]
    assert parts.count(Break(None)) == parts.count(Break(None, ends_paragraph=True)) == 2  # before and after


def test_a_document_may_begin_with_a_declaration_of_xml():
    for head in ('<?xml version="1.0"?>', "\ufeff<?xml version='1.0' encoding='UTF-8'?>\n"):
        [part] = parts_of(f"{head}<speak>Go.</speak>", "auto")
        assert isinstance(part, Stretch) and part.text == "Go."
    bomb = '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "ha">]><speak>&a;</speak>'
    with pytest.raises(MarkupError, match="document types and entities are not read"):
        parts_of(bomb, "auto")


def test_numbers_and_names_of_prosody_combine():
    assert only('<prosody rate="fast"><prosody rate="+20%">x</prosody></prosody>').style.pace == pytest.approx(1.5)
    for attributes, expected in (
        ('rate="1.5"', {"pace": 1.5}),
        ('rate="-20%"', {"pace": 0.8}),
        ('pitch="-10Hz" range="x-high"', {"pitch_shift_hz": -10, "pitch_amplify": 2}),
        ('pitch="+10%"', {"pitch": 1.1}),
        ('pitch="low" volume="-6.5dB"', {"pitch_shift_semitones": -3, "energy_db": -6.5}),
        ('range="-100%"', {"pitch_amplify": 0}),
    ):
        assert only(f"<prosody {attributes}>x</prosody>").style == Style(**expected)
    breaks = "<break/><break strength='weak'/><break strength='strong' time='1.5s'/><break strength='none'/>"
    assert parts_of(f"<speak>{breaks}</speak>", "auto") == [Break(400), Break(200), Break(1500), Break(0)]
    spoken = {"characters": "A B 3", "ordinal": "aB3", "date": "aB3"}
    for kind, expected in spoken.items():
        assert only(f'<say-as interpret-as="{kind}">aB3</say-as>').text == expected
    assert [only(f'<say-as interpret-as="ordinal">{n}</say-as>').text for n in (1, 12, 23)] == ["1st", "12th", "23rd"]


def test_contours_and_pitch_in_hz_are_targets_over_the_time_of_their_element():
    style = only('<prosody pitch="+9st" range="x-high" contour="(100%,-10Hz)(0%,high) (150%,+1st)">x</prosody>').style
    [contour] = style.pitch_elements
    assert contour.targets == (PitchTarget(0.0, semitones=3), PitchTarget(1.0, shift_hz=-10))
    assert style == Style(pitch_elements=(contour,))  # contour takes the place of pitch and range
    nested = only('<prosody pitch="+2st"><prosody pitch="220Hz"><prosody pitch="-1st">x</prosody></prosody></prosody>')
    assert [each.mean_hz for each in nested.style.pitch_elements] == [220]
    assert nested.style.pitch_shift_semitones == -1  # relative to 220 Hz, not to what is around that
    mixed = only('<prosody pitch="+2st"><prosody contour="(0%,220Hz) (100%,+10%)">x</prosody></prosody>').style
    [[first, last]] = [each.targets for each in mixed.pitch_elements]
    assert first == PitchTarget(0.0, hz=220) and mixed.pitch_shift_semitones == 0
    assert last.semitones == pytest.approx(2 + 12 * math.log2(1.1))
    twice = stretches('<speak><prosody pitch="220Hz">x</prosody> <prosody pitch="220Hz">x</prosody></speak>')
    assert len({each.style.pitch_elements for each in twice}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<speak>\nHello <b>you</b></speak>", "line 2, column 7: unknown element <b>"),
        ("<speak><emphasys>x</emphasys></speak>", "did you mean emphasis"),
        ("<speak>Hello", "line 1, column 13: not well-formed"),
        ("<speak>a &nbsp; b</speak>", "not well-formed: undefined entity"),
        ("<speak><p><speak/></p></speak>", "<speak> must be the outermost element"),
        ('<speak><prosody speed="2">x</prosody></speak>', "<prosody> has no attribute speed; known: rate, pitch"),
        ('<speak><prosody rate="-2">x</prosody></speak>', '<prosody rate="-2">: expected x-slow'),
        ('<speak><prosody rate="-100%">x</prosody></speak>', '<prosody rate="-100%">: expected'),
        ('<speak><prosody pitch="nan">x</prosody></speak>', '<prosody pitch="nan">: expected'),
        ('<speak><prosody pitch="5Hz">x</prosody></speak>', '<prosody pitch="5Hz">: expected x-low.*as in 220Hz'),
        ('<speak><prosody contour="">x</prosody></speak>', '<prosody contour="">: expected pairs'),
        ('<speak><prosody contour="(0%,+2st) 7">x</prosody></speak>', "expected pairs of a time in %"),
        ('<speak><prosody contour="(0%,2st)">x</prosody></speak>', 'contour="2st">: expected pairs'),
        ('<speak><prosody contour="(120%,+2st)">x</prosody></speak>', "expected pairs"),
        ('<speak><prosody volume="+99dB">x</prosody></speak>', "expected silent"),
        ('<speak><break time="-1s"/></speak>', '<break time="-1s">: expected up to a minute'),
        ('<speak><break time="61s"/></speak>', "expected up to a minute"),
        ('<speak><break time="1s">x</break></speak>', "<break> holds no text"),
        ('<speak><sub alias="x"><p/></sub></speak>', "<sub> holds no elements; found <p>"),
        ("<speak><phoneme>x</phoneme></speak>", "<phoneme> needs the attribute ph"),
        ('<speak><phoneme alphabet="sampa" ph="x">x</phoneme></speak>', "expected ipa, x-arpabet"),
        ('<speak><say-as interpret-as="expletive">x</say-as></speak>', "expected cardinal"),
        ("<speak><?php x?></speak>", "<\\?php\\?> is not read"),
        ("<speak>" + "<p>" * 10 + "x" + "</p>" * 10 + "</speak>", "<p> lies deeper than 10 levels"),
        ("<speak>" + "x" * 1_000_000 + "</speak>", "1,000,015 bytes of markup; at most 1,000,000"),
        ('<speak>Hello break time="1s"/> you</speak>', "a tag without its <"),
        ("\nHello <break/> you", "line 2, column 7: found the tag <break: SSML begins with <speak>"),
        ("It <p>is</p>", "found the tag <p>"),
        ("x [pause:long] y", "line 1, column 3: .pause:long.: expected a length"),
        ("a [word](//) b", "has no phones"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text, message):
    with pytest.raises(MarkupError, match=message) as refused:
        parts_of(text, "auto")
    assert re.match(r"line \d+, column \d+: ", str(refused.value))


def test_document_types_and_entities_are_refused_unread():
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    for inside in (
        f'<!DOCTYPE speak [<!ENTITY l0 "ha">{laughs}]><speak>&l9;</speak>',
        '<!DOCTYPE speak SYSTEM "http://localhost/x.dtd"><speak/>',
        '<!DOCTYPE speak [<!ENTITY x SYSTEM "file:///etc/passwd">]><speak>&x;</speak>',
    ):
        with pytest.raises(MarkupError, match="document types and entities are not read"):
            parts_of(inside, "ssml")


def test_plain_text_is_left_as_it_is():
    for text in ("", "x < y and y > z", "a<b", "I <3 you", "[[həˈloʊ]] {HH AH0}", "see [1](page)"):
        assert parts_of(text, "auto") == parts_of(text, "none") == [Stretch(text, Style())]
    assert parts_of("<speak>x</speak>", "none") == [Stretch("<speak>x</speak>", Style())]
    with pytest.raises(TextError, match="markup 'yes': expected auto, ssml, none"):
        parts_of("x", "yes")


def test_light_marks_are_pauses_and_phones():
    first, pause, second, third = parts_of("Wait[pause:0.5s] a [tomato](/təˈmɑtoʊ/)", "auto")
    assert (first.text, pause, second.text) == ("Wait", Break(500), " a ")
    assert (third.text, third.phones, third.column) == ("tomato", "təˈmɑtoʊ", 20)
    assert parts_of("[pause:250 ms]", "auto")[0] == Break(250)


def test_a_part_of_a_sentence_has_the_pauses_that_are_written():
    def words(text):
        return [Word(each, ((each,),)) for each in re.findall(r"[\w.]+", text)] + [Pause(".")]

    def found(text):
        return [each.text if isinstance(each, Word) else f"<{each.symbol}>" for each in tokens_of_stretch(text, words)]

    assert found("one two") == ["one", "two"] and found("one,") == ["one", "<.>"]
    assert found(", one") == ["<,>", "one"] and found(" ?!\n") == ["<?>"] and found(" ") == []
    assert found(".5 one") == [".5", "one"]


def damaged(document, rng):
    """Return a document with one to three characters or slices removed, inserted or repeated."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(document))
        end = min(at + rng.randint(1, 12), len(document))
        kind = rng.randrange(5)
        if kind == 0:
            document = document[:at] + document[at + 1 :]
        elif kind == 1:
            document = document[:at] + rng.choice("<>&/\"'=!?[]\x00\ud800") + document[at:]
        elif kind == 2:
            document = document[:end] + document[at:]
        elif kind == 3:
            document = document[:at] + document[end:]
        else:
            document = document[: max(at, 60)]
    return document


def test_no_damaged_document_crashes_or_speaks_a_tag():
    rng = random.Random(15)
    names = re.compile(r"<|/>|speak|prosody|emphasis|phoneme|interpret|alias|level|xml|rate=|pitch=|say-as")
    n_refused = 0
    body = DOCUMENT.partition("\n")[2]
    for _ in range(500):
        document = damaged(body, rng)
        for markup in ("auto", "ssml"):
            try:
                spoken = " ".join(part.text for part in stretches(document, markup))
            except MarkupError as error:
                assert re.match(r"line \d+, column \d+: ", str(error))
                n_refused += 1
            else:
                assert not names.search(spoken), (document, spoken)
    assert n_refused > 500
