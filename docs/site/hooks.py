"""Events of mkdocs: the pages of the site, their order, and Markdown as GitHub reads it.

The site mirrors the repository: a page lies where its file does, so that a link leads to the same page in both. What a
link names besides pages, such as a source file or a folder, becomes a page of its own.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `mkdocs` without `python -m`

from config.paths import REPOSITORY
from docs.site.contents import LINK, contents, pages, without_code
from docs.site.generated import SOUNDS, generated_pages, shown_folder, shown_source

_TABLE_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_PIPED_CODE = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
_ASSETS = ("docs/site/style.css", "docs/site/mermaid/mermaid.tiny.js")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the pages of the repository and those generated, and set the navigation."""
    made = generated_pages()
    reference = list(made)
    for path in shown():
        made[f"{path}.md"] = shown_folder(path) if (REPOSITORY / path).is_dir() else shown_source(path)
    sounds = [file for path in shown() for file in sorted((REPOSITORY / path).glob("*")) if file.suffix in SOUNDS]
    copied = [*pages(), *_ASSETS, *(file.relative_to(REPOSITORY).as_posix() for file in sounds)]
    here = [File.generated(config, path, abs_src_path=str(REPOSITORY / path)) for path in copied]
    modules = [path for path in reference if "/modules/" in path]
    others = [path for path in reference if path not in modules]
    config.nav = [*contents(), {"Reference": [*others, {"Modules": modules}]}]
    theirs = [file for file in files if file.generated_by or file.src_dir != config.docs_dir]
    return Files([*theirs, *here, *(File.generated(config, path, content=text) for path, text in made.items())])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page's text with links to what `shown` has, and with lists as Python-Markdown reads them."""
    folder = (REPOSITORY / page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        target = _target(folder, link[1])
        if target in shown():
            return link[0].replace(link[1], f"{link[1]}.md")
        if target and (REPOSITORY / target / "README.md").is_file():
            return link[0].replace(link[1], f"{link[1]}/README.md")
        return link[0]

    return as_python_markdown(LINK.sub(moved, markdown))


def _as_html(code: re.Match[str]) -> str:
    """Return a span of code as HTML, where Python-Markdown would show the backslash before a bar of a table."""
    shown = html.escape(code[1]).replace("\\|", "&#124;")
    return f"<code>{shown}</code>"


@cache
def shown() -> list[str]:
    """Return the source files and folders that links of the pages name, from the root of the repository."""
    found = set()
    for path in pages():
        for link in LINK.findall(without_code((REPOSITORY / path).read_text(encoding="utf-8"))):
            target = _target((REPOSITORY / path).parent, link)
            if target and not (REPOSITORY / target / "README.md").is_file():
                found.add(target)
    return sorted(found)


def _target(folder: Path, link: str) -> str | None:
    """Return the file or folder that a link leads to, from the root of the repository; None for pages and addresses."""
    if "://" in link or link.endswith(".md"):
        return None
    path = (folder / link).resolve()
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) and path.exists() else None


def as_python_markdown(markdown: str) -> str:
    """Return GitHub's Markdown for Python-Markdown.

    Its lists continue at columns 4, 8, ..., and begin after a blank line; bars in code of tables need no backslash.
    """
    rows = _TABLE_ROW.sub(lambda row: _PIPED_CODE.sub(_as_html, row[0]), markdown)
    return "\n".join(_reindented(rows.split("\n")))


def _reindented(lines: list[str]) -> Iterator[str]:
    columns: list[int] = []  # where the content of each open item begins
    fence = previous = ""
    for line in lines:
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        within = bool(columns)
        if text and not fence:
            while columns and indent < columns[-1] and (previous == "" or re.match(r"[-*] |\d+\. ", text)):
                columns.pop()
        depth = min(len(columns), sum(column <= indent for column in columns))
        shift = (4 * depth - columns[depth - 1]) if depth else 0
        item = None if fence else re.match(r"(?:[-*]|\d+\.) +", text)
        if item and indent < (columns[-1] if columns else 0) + 4:
            if previous and not within:
                yield ""
            columns = [*columns[:depth], indent + len(item[0])]
            text = f"{item[0].rstrip():<4}{text[len(item[0]) :]}"
        if match := re.match(r"```+", text):
            fence = "" if fence else match[0]
        yield f"{' ' * (indent + shift)}{text}" if text else ""
        previous = text
