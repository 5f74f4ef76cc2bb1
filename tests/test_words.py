"""The field's own words in docstrings, messages and names (`docs/glossary.md`)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from config.paths import REPOSITORY
from tests.support.sources import FLOORS

# Folders and files in which the words are checked; the aim is `DONE = FLOORS`.
DONE = FLOORS
ALLOWED = REPOSITORY / "tests" / "words_allowed.txt"

PERCEPTION = "hear|hears|heard|told|tell|tells|anew|whoever"
# Within a line of code, names in snake_case and CamelCase included: `heard_mel`, `HeardSpeaker`.
PERCEIVES = re.compile(rf"(?:(?<![A-Za-z])(?:{PERCEPTION})|{'|'.join(map(str.title, PERCEPTION.split('|')))})(?![a-z])")
# First words of docstrings. Ruff's D401 refuses "Returns" and "The"; these it takes for imperatives, or does not know.
NO_BEGINNING = re.compile(r"(?:Gives?|Says?|Lets?|Tells?|Told|What|Hears?|Brings?)\b")
FOR_PROPERTIES_ALONE = re.compile(r"(?:Whether|How|Which|Where|Who|When|Why|If|One|All|Some)\b")
NO_NOUN_PHRASE = re.compile(
    r"(?:What|How|Which|Where|Who|Whose|When|Why|Whether)\b|An? [\w-]+ (?:that|which|who|whose)\b"
)


class Documented(NamedTuple):
    """A docstring: where it stands, of what, and its text."""

    place: str
    node: ast.AST
    text: str

    @property
    def is_of_function(self) -> bool:
        return isinstance(self.node, ast.FunctionDef) and not any(
            "property" in ast.unparse(decorator) for decorator in self.node.decorator_list
        )


def sources(*folders: str) -> list[Path]:
    paths = (REPOSITORY / folder for folder in folders)
    found = (each for path in paths for each in (path.rglob("*.py") if path.is_dir() else [path]))
    return sorted(found)


@cache
def docstrings(*folders: str) -> list[Documented]:
    found = []
    for path in sources(*folders):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                place = f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 1)}"
                found.append(Documented(place, node, text))
    return found


def allowed() -> Iterator[tuple[str, str]]:
    """Yield file and text of each line of the list of exceptions."""
    for number, line in enumerate(ALLOWED.read_text(encoding="utf-8").splitlines(), start=1):
        if line and not line.startswith("#"):
            columns = [column.strip() for column in line.split(" | ")]
            assert len(columns) == 3 and all(columns), f"{ALLOWED}:{number}: wants `file | text | reason`"
            yield columns[0], columns[1]


def perceiving_lines(*folders: str) -> Iterator[tuple[str, int, str]]:
    for path in sources(*folders):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if PERCEIVES.search(line):
                yield str(path.relative_to(REPOSITORY)), number, line


def test_docstrings_begin_with_neither_give_nor_what():
    assert [f"{each.place}: {each.text[:60]}" for each in docstrings(*DONE) if NO_BEGINNING.match(each.text)] == []


def test_docstrings_of_functions_are_imperatives():
    assert [
        f"{each.place}: {each.text[:60]}"
        for each in docstrings(*DONE)
        if each.is_of_function and FOR_PROPERTIES_ALONE.match(each.text)
    ] == []


def test_docstrings_of_modules_are_noun_phrases():
    assert [
        f"{each.place}: {each.text[:60]}"
        for each in docstrings(*DONE)
        if isinstance(each.node, ast.Module) and NO_NOUN_PHRASE.match(each.text)
    ] == []


def test_words_of_perception_are_in_the_list():
    exceptions = list(allowed())
    assert [
        f"{file}:{number}: {line.strip()}"
        for file, number, line in perceiving_lines(*DONE)
        if not any(file == where and text in line for where, text in exceptions)
    ] == []


def test_every_exception_is_used():
    lines = list(perceiving_lines(*FLOORS))
    assert [
        entry for entry in allowed() if not any(entry[0] == file and entry[1] in line for file, _, line in lines)
    ] == []


@pytest.mark.parametrize("line", ["HeardSpeaker()", "x = heard_mel", 'f"it was told so"', "# Tell them", "b(told)"])
def test_words_of_perception_are_found_in_names_and_text(line):
    assert PERCEIVES.search(line)


@pytest.mark.parametrize("line", ["shear(x)", "hearty", "teller", "folder", "heart", "is_intelligible"])
def test_like_words_are_not(line):
    assert not PERCEIVES.search(line)
