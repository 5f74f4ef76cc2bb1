"""The commands in the pages: flags and settings exist, and what stands in fenced blocks of sh runs as it is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import json5
import pytest

from bins.command import _with_underscores
from config.load import describe, load_settings
from config.paths import REPOSITORY
from docs.site.commands import parser_of
from docs.site.contents import pages
from models.registry import MODELS, settings_class
from tests.support.commands import call

OURS = re.compile(r"(?:python -m bins\.|sh egs/|sh env\.sh|sh tests/run\.sh|make )")
LAUNCHER = re.compile(r"^(?:[A-Z_0-9]+=\S+ )+(?=sh |python )|^(?:srun |torchrun |accelerate launch ).*? -m bins\.")
CORPUS = ('dataset=["corpus"]', 'dataset_path={corpus: "none"}')
OF_OTHERS = ("egs/vocoder/gan/", "--resume true")  # Amphion's own lines, in docs/coming_from.md


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def fenced(page: str, language: str) -> list[str]:
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text_of(page), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def commands_in(text: str) -> list[str]:
    """Return the lines of a block that are commands of ours, those that continue after a backslash as one."""
    lines = (LAUNCHER.sub(_without_launcher, line.strip()) for line in re.sub(r"\\\n\s*", "", text).splitlines())
    return [line for line in lines if OURS.match(line)]


def _without_launcher(prefix: re.Match[str]) -> str:
    return "python -m bins." if prefix[0].endswith("bins.") else ""


def all_commands() -> dict[str, tuple[str, bool]]:
    """Return the commands of all pages, each with a page that has it, and whether it is in a block, hence whole."""
    found: dict[str, tuple[str, bool]] = {}
    for page in pages():
        text = text_of(page)
        blocks = "\n".join([*fenced(page, "(?:sh)?"), *re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)])
        spans = re.findall(rf"`({OURS.pattern}[^`]*)`", text)
        for command in commands_in(blocks):
            found[command] = page, True
        for span in spans:
            found.setdefault(re.sub(r"\s+", " ", span).replace("\\|", "|"), (page, False))
    return {line: where for line, where in found.items() if not any(other in line for other in OF_OTHERS)}


@cache
def flags_of(recipe: str) -> dict[str, bool]:
    """Return the flags of a recipe, and whether each takes a value, by its help."""
    variables = os.environ | {"PYTHON": "false"}  # the help is the shell's own: nothing is installed for it
    help_ = subprocess.run(
        ["sh", recipe, "--help"], cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=True
    ).stdout
    return {flag: bool(value) for flag, value in re.findall(r"^  --(\w+)(,?.*)$", help_, re.MULTILINE)}


def check_recipe(recipe: str, words: list[str]) -> list[str]:
    """Return the settings that a line of a recipe overrides; refuse flags that it does not have."""
    flags, values = flags_of(recipe), iter(_with_underscores(words))
    sets = []
    for word in values:
        flag, equals, value = ("--stage" if word == "-s" else word).removeprefix("--").partition("=")
        assert flag in flags, f"{recipe} has no --{flag}"
        if flags[flag] and flag != "help" and not equals:
            value = next(values)
        sets += [value] if flag == "set" else []
    return sets


def check_settings(config: str, sets: list[str]) -> None:
    own = [each for each in sets if not each.startswith(("sharpen.", "vocoder."))]
    if (REPOSITORY / config).is_file() and own:
        load_settings(REPOSITORY / config, [*CORPUS, *own], settings_class)


def check_module(name: str, words: list[str], is_whole: bool) -> None:
    parser, conflicts = parser_of(name)
    arguments = parser.parse_args(_with_underscores(words))
    if is_whole and conflicts is not None:
        conflicts(parser, arguments)
    check_settings(getattr(arguments, "config", None) or "", getattr(arguments, "set", []))


def check(line: str, is_whole: bool) -> None:
    """Refuse a command whose program, flags or settings do not exist."""
    line = re.sub(r" \.\.\.(?= |$)| > \S+", "", line).replace("--format FORMAT", "--format bundle")
    program, what, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{what}:", text_of("Makefile"), re.MULTILINE)
    elif what == "env.sh":
        assert all(word in ("EXTRA", "judge", "&&", ".", ".venv/bin/activate") or
                   (REPOSITORY / "requirements" / f"{word}.txt").is_file() for word in words)  # fmt: skip
    elif program == "sh" and what.startswith("egs/"):
        assert (REPOSITORY / what).is_file()
        if alone := re.search(r'-m bins\.(\w+) "\$@"', text_of(what)):  # a recipe without stages
            check_module(alone[1], words, is_whole)
        else:
            check_settings(f"{Path(what).parent}/exp_config.json", check_recipe(what, words))
    elif program == "python" and len(words) > 1 and words[1:] != ["--help"]:
        check_module(words[0].removeprefix("bins."), words[1:], is_whole)


@pytest.mark.slow
def test_flags_and_settings_of_every_command_exist():
    lines = all_commands()
    assert len(lines) > 120
    wrong = {}
    for line, (page, is_whole) in lines.items():
        try:
            check(line, is_whole)
        except (SystemExit, Exception) as error:  # argparse exits
            wrong[f"{page}: {line}"] = error
    assert wrong == {}


def test_settings_in_blocks_of_json5_exist_and_whole_files_load(tmp_path):
    known = {name for model in MODELS for name, _ in describe(settings_class(model))} | {"base_config", "$schema"}
    objects = {name for name in known if name.startswith(("dataset_", "train.lr_groups"))}

    def names(tree: dict, prefix: str = "") -> list[str]:
        found = []
        for name, value in tree.items():
            nested = isinstance(value, dict) and f"{prefix}{name}" not in objects
            found += names(value, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]
        return found

    blocks = [(page, block) for page in pages() for block in fenced(page, "json5")]
    assert len(blocks) > 5
    for page, block in blocks:
        tree = json5.loads(block if block.lstrip().startswith(("{", "//")) else f"{{{block}}}")
        assert set(names(tree)) - known == set(), page
        if block.startswith("{"):  # a whole file
            (tmp_path / "whole.json").write_text(block, encoding="utf-8")
            assert load_settings(tmp_path / "whole.json", [], settings_class).settings.dataset


def test_every_trouble_has_a_command_that_shows_it():
    """The flags of ours are checked with those of all pages."""
    page = text_of("docs/troubleshooting.md")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    troubles = [cells for cells in rows if cells[0] != "symptom"]
    assert page.index("`python -m bins.doctor`") < page.index("\n## ") and len(troubles) > 40
    programs = (OURS.pattern, "tensorboard --logdir ", "ls ")
    assert [cells for cells in troubles if not re.fullmatch(rf"`(?:{'|'.join(programs)})[^`]*`", cells[1])] == []


@pytest.mark.slow
def test_commands_in_fenced_blocks_run_as_they_stand(tmp_path):
    blocks = [(page, block) for page in pages() for block in fenced(page, "sh") if not block.startswith("#!")]
    lines = {line: page for page, block in blocks for line in commands_in(block)}  # a script is for elsewhere
    assert len(lines) > 8
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    # The shell expands the line, and the words that reach Python are what runs, without the seconds of another Python.
    variables = os.environ | {"PYTHON": str(stub), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for line, page in lines.items():
        shown = subprocess.run(
            ["sh", "-c", line.partition(" > ")[0]], cwd=REPOSITORY, env=variables, capture_output=True, text=True
        )
        assert shown.returncode == 0, (page, line, shown.stderr)
        _, module, *arguments = shown.stdout.splitlines()
        if module == "bins.synthesize" and "--infer_output_dir" not in arguments:
            arguments += ["--infer_output_dir", "result"]
        done = call(module, *(elsewhere(word, tmp_path) for word in arguments))
        assert done.returncode == 0 and done.stdout, (page, line, done.stderr)


def elsewhere(word: str, folder: Path) -> str:
    """Return an argument with the file or folder that a command is to write put into a folder for it."""
    is_output = word in (".", "result") or re.fullmatch(r"\w+\.(wav|srt|vtt|json|jsonl)", word)
    return str(folder / word) if is_output and not (REPOSITORY / word).is_file() else word
