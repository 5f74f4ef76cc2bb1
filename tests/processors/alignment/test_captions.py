"""Captions: where texts are cut into lines, and their files."""

from __future__ import annotations

from processors.alignment.captions import Caption, CaptionWord, caption_words, captions_of, srt, vtt


def words_of(text, pauses=(), each_s=0.3, start_s=0.0):
    """Words of a text, each as long as the other, with pauses of half a second after those of some numbers."""
    found = []
    for number, word in enumerate(text.split()):
        found.append(CaptionWord(word, start_s, start_s + each_s))
        start_s += each_s + 0.5 * (number in pauses)
    return found


def texts(captions):
    return [each.text for each in captions]


def test_sentences_are_captions_and_the_stop_of_an_abbreviation_ends_none():
    words = words_of("We met Dr. Smith at noon. Why does nobody ask?", pauses=(5,))
    assert texts(captions_of(words)) == ["We met Dr. Smith at noon.", "Why does nobody ask?"]
    short = words_of("No. We do not agree at all.", pauses=(0,))
    assert texts(captions_of(short)) == ["No. We do not agree at all."]
    apart = [*words_of("No."), *words_of("We do not agree at all.", start_s=1.2)]
    assert texts(captions_of(apart)) == ["No.", "We do not agree at all."]
    heading = [*words_of("Chapter two is called"), *words_of("It begins. Well.", start_s=2.0)]
    assert texts(captions_of(heading)) == ["Chapter two is called", "It begins. Well."]


def test_long_sentences_are_cut_at_marks_and_pauses_into_two_lines_at_most():
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness "
        "and nobody whom one asked had any idea of what would come after it."
    )
    captions = captions_of(words_of(text))
    assert " ".join(texts(captions)).replace("\n", " ") == text
    assert len(captions) > 2
    for each in captions:
        assert len(each.lines) <= 2 and max(map(len, each.text.split("\n"))) <= 42 and each.end_s - each.start_s <= 7
    assert captions[0].text.endswith(",")
    slow = captions_of(words_of("one two three four five six", each_s=2.0, pauses=(2,)))
    assert texts(slow) == ["one two three", "four five six"]
    assert texts(captions_of(words_of(f"see {'x' * 90} there"))) == ["see", "x" * 90, "there"]
    chinese = [CaptionWord("我有五个苹果，" * 2, at, at + 1.0, "") for at in range(3)]
    assert texts(captions_of(chinese)) == ["我有五个苹果，" * 2 + "\n" + "我有五个苹果，" * 2, "我有五个苹果，" * 2]


def test_spoken_words_that_are_written_as_one_are_one_and_what_is_not_spoken_stays():
    text = "“Hi” — $5\n & more… (!)"
    spans = [(0, 4), (7, 9), (7, 9), (11, 12), (13, 18)]
    found = caption_words(text, [(span, float(at), at + 1.0) for at, span in enumerate(spans)])
    assert [(each.text, each.start_s, each.end_s) for each in found] == [
        *(("“Hi” —", 0, 1), ("$5", 1, 3), ("&", 3, 4), ("more… (!)", 4, 5)),
    ]
    assert caption_words("...", []) == [] and captions_of([]) == []


def test_files_have_the_form_of_their_kind():
    a, b, c = CaptionWord("A<b>", 0.0, 0.0004), CaptionWord("-->", 0.0004, 1.0), CaptionWord("c", 3661.5, 3662.0)
    captions = [Caption(((a, b),)), Caption(((c,), (CaptionWord("d", 3661.75, 3663.0),)))]
    assert srt(captions) == ("1\n00:00:00,000 --> 00:00:01,000\nA<b> →\n\n2\n01:01:01,500 --> 01:01:03,000\nc\nd\n")
    assert vtt(captions) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nA&lt;b&gt; --&gt;\n\n01:01:01.500 --> 01:01:03.000\nc\nd\n"
    )
    timed = vtt(captions, with_words=True)
    assert "\nA&lt;b&gt; --&gt;\n" in timed  # two words at the same millisecond
    assert timed.endswith("\nc\n<01:01:01.750>d\n")
    assert (srt([]), vtt([])) == ("", "WEBVTT\n")
