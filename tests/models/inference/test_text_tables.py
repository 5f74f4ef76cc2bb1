"""Files of texts are read by their content, and no column is spoken that is no text."""

from __future__ import annotations

import json
import random

import pytest

from models.inference.text_tables import TextRow, TextTableError, read_texts

SENTENCES = ["The train was late again.", "Do you like music?", "Stop the car!", "We have enough time, he said."]


@pytest.fixture
def read(tmp_path):
    def read(content: str) -> list[TextRow]:
        path = tmp_path / "texts.txt"
        path.write_text(content, encoding="utf-8")
        return read_texts(path)

    return read


def lines(*columns: list[str]) -> str:
    return "".join("|".join(cells) + "\n" for cells in zip(*columns, strict=True))


def spoken(rows: list[TextRow]) -> list[tuple[str, str, str | None]]:
    return [(row.name, row.text, row.speaker) for row in rows]


IDS = ["a1", "a2", "a3", "a4"]
PATHS = [f"wavs/{id_}.wav" for id_ in IDS]
SPEAKERS = ["anna", "bob", "anna", "bob"]


@pytest.mark.parametrize(
    ("content", "names", "speakers"),
    [
        (lines(SENTENCES), [f"line_{n:04d}" for n in range(1, 5)], [None] * 4),
        (lines(IDS, SENTENCES), IDS, [None] * 4),
        (lines(PATHS, SENTENCES), [f"wavs/{id_}" for id_ in IDS], [None] * 4),
        (lines(PATHS, SENTENCES, SPEAKERS), [f"wavs/{id_}" for id_ in IDS], SPEAKERS),
        (lines(IDS, SENTENCES, SPEAKERS), IDS, SPEAKERS),
        (lines(IDS, SPEAKERS, SENTENCES), IDS, SPEAKERS),
        (lines(SPEAKERS, PATHS, SENTENCES), [f"wavs/{id_}" for id_ in IDS], SPEAKERS),
        (lines(IDS, [each.upper() for each in SENTENCES], SENTENCES), IDS, [None] * 4),
        (lines(IDS, SENTENCES).replace("|", "\t"), IDS, [None] * 4),
    ],
)
def test_columns_are_known_by_their_content(read, content, names, speakers):
    assert spoken(read(content)) == list(zip(names, SENTENCES, speakers, strict=True))


def test_a_header_names_the_columns_of_tsv_csv_and_bars(read, capsys):
    nvidia = "mel\toutput\ttext\n" + "".join(
        f"mels/{id_}.pt\t{id_}.wav\t{text}\n" for id_, text in zip(IDS, SENTENCES, strict=True)
    )
    assert spoken(read(nvidia)) == [(id_, text, None) for id_, text in zip(IDS, SENTENCES, strict=True)]
    assert "read as TSV with the columns mel, output, text; not read: mel\n" in capsys.readouterr().out
    table = 'text,speaker,pitch_control\n"Well, yes.",anna,1.2\nNo.,bob,\n'
    first, second = read(table)
    assert (first.text, first.speaker, first.factors) == ("Well, yes.", "anna", (("pitch", 1.2),))
    assert (second.name, second.text, second.factors) == ("line_0003", "No.", ())
    [bars] = read("id|text|speaker\nx|Hello there.|anna\n")
    assert (bars.name, bars.text, bars.speaker) == ("x", "Hello there.", "anna")


def test_json_lines_are_read(read):
    rows = [
        {"text": "Hello.", "output": "in/a.wav", "language": "de", "duration_control": 1.5},
        {"audio_filepath": "/data/b.flac", "text": "Bye.", "duration": 3.2, "speaker": 7},
    ]
    first, second = read("".join(json.dumps(row) + "\n" for row in rows))
    assert first == TextRow("in/a", "Hello.", None, "de", (("duration", 1.5),))
    assert second == TextRow("b", "Bye.", "7", None, ())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("mel\toutput\ttext\tpitch\nm.pt\ta.wav\tHi.\tp/a.pt\n", ":2: the column pitch: per-symbol pitch from files"),
        (lines(IDS, PATHS, SPEAKERS), "none of its 3 columns is a text: a1"),
        ("text,speaker\nHi.\n", ":2: has 1 columns, the header 2"),
        ("a|wavs/b.wav\n", ":1: 'wavs/b.wav' is a file's name, not a text"),
        ('{"text": "Hi."}\n[1]\n', ":2: is no JSON object"),
        ('{"text": "Hi."\n', ":1: is no JSON object"),
        ('{"output": "a"}\n', ":1: a has no text"),
        ("text,energy_control\nHi.,loud\n", ":2: energy_control: found 'loud'; expected a number"),
        ("../a|Hi.\n", ":1: the name '../a' begins with a dot"),
        ("x/../../a|Hi.\n", "begins with a dot"),
        ("text\tname\n", "holds no text below its header"),
    ],
)
def test_what_cannot_be_spoken_is_refused_with_its_line(read, content, reason):
    with pytest.raises(TextTableError) as caught:
        read(content)
    assert reason in str(caught.value)


def test_a_text_may_hold_bars_and_tabs_where_the_others_do_not(read):
    assert [row.text for row in read("a|One | two.\nb|Three.\n")] == ["One | two.", "Three."]
    assert [row.text for row in read("One\ttwo.\nThree.\n")] == ["One\ttwo.", "Three."]


def test_damaged_tables_are_read_or_refused_and_never_speak_a_path(read):
    """300 tables made from five good ones, by cutting, doubling, swapping and replacing characters and lines."""
    good = [
        lines(IDS, SENTENCES),
        lines(PATHS, SENTENCES, SPEAKERS),
        lines(IDS, [each.upper() for each in SENTENCES], SENTENCES),
        "mel\toutput\ttext\n" + "".join(f"m/{i}.pt\t{i}.wav\t{t}\n" for i, t in zip(IDS, SENTENCES, strict=True)),
        "".join(json.dumps({"text": t, "output": p}) + "\n" for p, t in zip(PATHS, SENTENCES, strict=True)),
    ]
    draw = random.Random(0)
    n_read = 0
    for number in range(300):
        content = good[number % 5]
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(content) + 1)
            kind = draw.choice(("cut", "double", "insert", "drop a line", "double a line", "swap"))
            rows = content.split("\n")
            row = draw.randrange(len(rows))
            if kind == "cut":
                content = content[:place]
            elif kind == "double":
                content = content[:place] + content[max(0, place - 9) :]
            elif kind == "insert":
                content = content[:place] + draw.choice('|\t,"{}\\/.\u2028\x00\ufeff é') + content[place:]
            elif kind == "drop a line":
                content = "\n".join(rows[:row] + rows[row + 1 :])
            elif kind == "double a line":
                content = "\n".join(rows[: row + 1] + rows[row:])
            else:
                content = "\n".join(rows[row:] + rows[:row])
        try:
            rows_read = read(content)
        except ValueError as error:
            assert "texts.txt" in str(error), (number, error)
            continue
        n_read += 1
        for each in rows_read:
            assert each.text.strip() and ".." not in each.name.split("/") and not each.name.startswith("/")
            assert not each.text.endswith((".wav", ".pt")), (number, each)
    assert 100 < n_read < 300
