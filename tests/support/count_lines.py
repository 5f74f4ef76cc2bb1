"""Lines of code, without blank lines, comments and docstrings, and those among them that are repeated."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterable

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> list[str]:
    """Return the lines of a Python source that hold code; a string that stands alone is a docstring."""
    documented = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    coded = {line for token in tokens if token.type not in _NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    lines = source.splitlines()
    return [lines[line - 1].strip() for line in sorted(coded - documented)]


def code_lines(source: str) -> int:
    """Return the number of lines of a Python source that hold code."""
    return len(lines_of_code(source))


def repeated_lines(sources: Iterable[str], group: int) -> int:
    """Count the lines that stand in groups of so many equal lines that stand elsewhere as well, imports aside."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, source in enumerate(sources):
        lines = [line for line in lines_of_code(source) if not line.startswith(("import ", "from "))]
        for start in range(len(lines) - group + 1):
            places[tuple(lines[start : start + group])].append((number, start))
    repeated = [place for found in places.values() if len(found) > 1 for place in found]
    return len({(number, start + offset) for number, start in repeated for offset in range(group)})
