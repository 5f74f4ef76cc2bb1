"""Pages of the repository and their order: the table of `docs/README.md`."""

from __future__ import annotations

import re
from functools import cache

from config.paths import REPOSITORY

CONTENTS = "docs/README.md"
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
_AT_ROOT = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")


@cache
def pages() -> list[str]:
    """Return the Markdown files of the site, from the root of the repository."""
    found = [
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "egs").rglob("*.md"),
        *(REPOSITORY / "ckpts").glob("README.md"),
    ]
    found += [path for name in _shipped() for path in (REPOSITORY / name).glob("README.md")]
    return [*_AT_ROOT, *sorted(path.relative_to(REPOSITORY).as_posix() for path in found)]


def _shipped() -> list[str]:
    """Return the folders of the bundles that come with the project, by the page of `ckpts`."""
    links = LINK.findall((REPOSITORY / "ckpts" / "README.md").read_text(encoding="utf-8"))
    return [f"ckpts/{link.removesuffix('/README.md')}" for link in links if link.endswith("/README.md")]


def contents() -> list[dict[str, list[str | dict[str, str]]]]:
    """Return the navigation as `mkdocs.yml` could hold it: groups of pages, with a title where the table gives one."""
    groups: list[dict[str, list[str | dict[str, str]]]] = []
    for row in re.findall(r"^\| (.*?) \| .*\|$", (REPOSITORY / CONTENTS).read_text(encoding="utf-8"), re.MULTILINE):
        if group := re.fullmatch(r"\*\*(.*)\*\*", row):
            groups.append({group[1]: []})
            continue
        for title, link in re.findall(r"\[([^\]]*)\]\(([^)]*)\)", row):
            path = (REPOSITORY / "docs" / link).resolve().relative_to(REPOSITORY).as_posix()
            (listed,) = groups[-1].values()
            page = path if path.endswith(".md") else f"{path}.md"  # of a notebook
            is_file_name = title.endswith(".md") or title.isupper()
            listed.append(page if is_file_name else {f"{title[0].upper()}{title[1:]}": page})
    return groups


def without_code(markdown: str) -> str:
    """Return the prose of a page: without blocks and spans of code."""
    return re.sub(r"^( *)```.*?^\1```|^(?: {4}|\t).*?$|`[^`\n]+`", "", markdown, flags=re.MULTILINE | re.DOTALL)
