"""The files that tools read: versions, packages and one-word commands agree with what they stand for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from config.paths import REPOSITORY
from utils.version import OLDEST_PYTHON, VERSION, release

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REQUIREMENTS = REPOSITORY / "requirements"
BARE = "without_dependencies"  # the end of the names of files installed with --no-deps
EXTRAS = sorted(
    path.stem
    for path in REQUIREMENTS.glob("*.txt")
    if path.stem not in ("base", "lock") and not path.stem.endswith(BARE)
)


def pyproject() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def required(name: str) -> list[str]:
    """What a file of requirements asks for, in its order; the files that it includes as one extra of the project."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line.split("#")[0].split(" --hash=")[0].strip() for line in text.splitlines()]
    included = [line.removeprefix("-r ").removesuffix(".txt") for line in lines if line.startswith("-r ")]
    included = [each for each in included if each != "base"]
    own = [line for line in lines if line and not line.startswith("-r ")]
    return ([f"recital[{','.join(included)}]"] if included else []) + own


def test_the_version_is_the_same_everywhere():
    assert pyproject()["project"]["version"] == VERSION
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))["version"] == VERSION
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert VERSION in headings or f"Leads to {VERSION}." in changelog


def test_the_oldest_python_is_the_same_everywhere():
    oldest = ".".join(map(str, OLDEST_PYTHON))
    assert pyproject()["project"]["requires-python"] == f">={oldest}"
    assert f"Python {oldest} or newer is needed" in (REPOSITORY / "env.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "numbers"), [("1.20.3", (1, 20, 3)), ("2.0.0.dev1", (2, 0, 0))])
def test_a_version_is_three_numbers(text, numbers):
    assert release(text) == numbers


@pytest.mark.parametrize("text", ["", "1.2", "1.x.3", "one"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(ValueError, match="is not a version"):
        release(text)


def test_the_project_asks_for_the_packages_of_the_requirements():
    project = pyproject()["project"]
    assert project["dependencies"] == [*required("base"), *required(BARE)]
    bare_too = {
        extra: required(f"{extra}_{BARE}") for extra in EXTRAS if (REQUIREMENTS / f"{extra}_{BARE}.txt").exists()
    }
    assert bare_too.keys() == {"evaluate"}
    assert project["optional-dependencies"] == {extra: required(extra) + bare_too.get(extra, []) for extra in EXTRAS}


def test_what_is_installed_without_dependencies_has_none_for_uv_either():
    bare = [line.split("==") for path in REQUIREMENTS.glob(f"*{BARE}.txt") for line in required(path.stem)]
    found = pyproject()["tool"]["uv"]["dependency-metadata"]
    assert {(each["name"], each["version"], len(each["requires-dist"])) for each in found} == {
        (name.replace("_", "-"), version, 0) for name, version in bare
    }
    assert len(found) == len(bare)


def test_what_an_extra_installs_without_dependencies_is_fixed_by_hashes():
    for path in REQUIREMENTS.glob(f"*_{BARE}.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert lines and all(re.match(r"[\w-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}\b", line) for line in lines)


def test_uv_takes_the_versions_of_the_lock():
    lock = (REQUIREMENTS / "lock.txt").read_text(encoding="utf-8").splitlines()
    uv = pyproject()["tool"]["uv"]
    assert uv["constraint-dependencies"] == [line for line in lock if not line.startswith("#")]
    assert uv["package"] is False


def words() -> list[str]:
    return re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_help_lists_every_word_and_each_calls_something_of_ours(tmp_path):
    shown = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[0] for line in shown.stdout.splitlines()] == words()
    assert all(len(line.split()) > 1 for line in shown.stdout.splitlines())
    for word in set(words()) - {"help"}:
        planned = subprocess.run(["make", "-n", word], cwd=REPOSITORY, capture_output=True, text=True)
        assert re.search(r"sh (env\.sh dev|tests/run\.sh)", planned.stdout), (word, planned.stderr)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_uses_the_python_of_env_sh_and_fails_with_it(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "called: $*"\nexit 3\n')
    python.chmod(0o755)
    called = subprocess.run(["make", "types", f"PYTHON={python}"], cwd=REPOSITORY, capture_output=True, text=True)
    assert called.stdout == "called: -m mypy\n"
    assert called.returncode != 0
    missing = subprocess.run(["make", "types", "PYTHON=/nowhere"], cwd=REPOSITORY, capture_output=True, text=True)
    assert missing.returncode != 0
    assert "PYTHON is set to /nowhere" in missing.stderr


def test_the_hooks_call_only_what_is_here():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (only,) = hooks["repos"]
    assert only["repo"] == "local"
    assert [hook["id"] for hook in only["hooks"]] == ["ruff", "ruff-format", "mypy"]
    assert all(hook["language"] == "system" and "sh env.sh dev" in hook["entry"] for hook in only["hooks"])


def test_the_workflow_runs_ci_on_every_python():
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
