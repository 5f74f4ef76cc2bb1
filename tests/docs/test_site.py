"""The site of the documentation: it builds without a broken link, and its table of contents is whole."""

from __future__ import annotations

import logging
import re

import pytest

from config.paths import REPOSITORY
from docs.site.contents import contents, pages
from docs.site.hooks import as_python_markdown
from docs.site.matrix import matrix


def test_every_page_of_docs_is_in_the_table_of_contents():
    entries = [entry for group in contents() for entry in next(iter(group.values()))]
    listed = [entry if isinstance(entry, str) else next(iter(entry.values())) for entry in entries]
    ours = {page for page in pages() if page.startswith(("docs/", "egs/"))} - {"docs/README.md"}
    assert len(listed) == len(set(listed)) and sorted(ours - set(listed)) == []


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_loads_nothing_from_elsewhere(tmp_path, monkeypatch, caplog):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(REPOSITORY)
    with caplog.at_level(logging.WARNING):
        build(load_config("mkdocs.yml", site_dir=str(tmp_path), strict=False))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")] == []
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "docs/site/mermaid/mermaid.tiny.js" in home
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|link|img|audio)[^>]*(?:src|href)=\"(https?:[^\"]*)", text) == [], page
    samples = tmp_path / "ckpts/tts/kathleen/samples"
    players = re.findall(r'<audio[^>]* src="([^"]*)"', (samples / "index.html").read_text(encoding="utf-8"))
    assert len(players) == 16 and all((samples / player).is_file() for player in players)
    assert "train.batch_size" in (tmp_path / "reference/settings/index.html").read_text(encoding="utf-8")


def test_bars_in_code_of_tables_lose_their_backslash():
    row = "| `id\\|a < b` | `x` |\n\n`a\\|b`\n"
    assert as_python_markdown(row) == "| <code>id&#124;a &lt; b</code> | `x` |\n\n`a\\|b`\n"


def test_lists_and_code_in_them_are_indented_as_python_markdown_reads_them():
    github = "Words:\n- one\n  more\n\n      code\n  1. inner\n     ```sh\n     x\n     ```\n- two\n\nEnd - of it\n"
    assert as_python_markdown(github).split("\n") == [
        "Words:", "", "-   one", "    more", "", "        code", "    1.  inner", "        ```sh", "        x",
        "        ```", "-   two", "", "End - of it", "",
    ]  # fmt: skip


def test_the_feature_matrix_is_that_of_the_registry():
    page = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    assert matrix() in page, "python -m docs.site.matrix prints the table"
