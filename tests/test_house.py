"""The size of the house: its lines of code, and how many of them are written twice."""

from __future__ import annotations

from tests.support.count_lines import code_lines, lines_of_code, repeated_lines
from tests.support.sources import FLOORS, sources

# Before models had contracts and rooms of their own, and what has come since, as found by the commits that brought it.
# What brings a feature adds its lines here by name; whatever else is written must fit.
BEFORE = 17_341
SINCE = {
    "features of single utterances listed, shown, exported and replaced": 276,
    "training that fails ends with code 1 and one sentence": 113,
    "names of speakers and symbols compared on resuming": 67,
    "version of the front end in bundles and stores": 67,
    "JSON schema of the settings": 60,
    "settings that a running experiment may change": 53,
    "speech planned first, and as a stream": 51,
    "missing GPUs in one sentence": 49,
    "features, controls and reference by model, behind one contract per kind": 49,
    "speed of aligners": 45,
    "version of Recital in bundles": 39,
    "threads of an experiment, and how they wait": 31,
    "speakers and symbols kept of every set of corpora": 25,
    "types checked strictly": 24,
    "other advice and alarms of training": 63,
    "imports that the README promises": 15,
    "imports and signatures of long files that were cut": 120,
}
MOST_LINES = BEFORE + sum(SINCE.values())


def texts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sources(*FLOORS)]


def test_lines_of_code_do_not_grow():
    assert sum(map(code_lines, texts())) <= MOST_LINES


def test_less_than_one_line_in_a_hundred_stands_in_six_equal_ones():
    assert repeated_lines(texts(), 6) < 0.01 * sum(map(code_lines, texts()))


def test_code_is_what_is_no_comment_no_docstring_and_no_blank_line():
    source = '"""Doc."""\n\n# comment\nx = """a\nb"""  # comment\n\n\ndef f():\n    """Doc."""\n    return 1\n'
    assert lines_of_code(source) == ['x = """a', 'b"""  # comment', "def f():", "return 1"]


def test_repeated_lines_are_counted_wherever_they_stand():
    lines = [f"x = {number}" for number in range(8)]
    assert repeated_lines(["\n".join([*lines, "y = 0"]), "import z\n" + "\n".join(lines[:7])], 6) == 14
    assert repeated_lines(["\n".join(lines), "\n".join(lines[:5])], 6) == 0
