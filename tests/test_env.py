"""env.sh: the environment is made once, whole, and the user's own is left alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.paths import REPOSITORY

# Stands for python3 and for the Python of the environment it makes: notes the calls, installs nothing.
STUB = f"""#!/bin/sh
printf '%s\\n' "$*" >>"$STUB_CALLS"
case "$*" in
    -V) echo "Python ${{STUB_VERSION:-3.11.7}}" ;;
    "-c import sys; "*) [ -z "${{STUB_VERSION:-}}" ] ;;
    -c*) exec {sys.executable} "$@" ;;
    "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip --version") ;;
    "-m pip install"*) sleep "${{STUB_SECONDS:-0}}"; exit "${{STUB_PIP:-0}}" ;;
    "-m compileall "*) exit 1 ;; # as for a package that holds a template
    *) exit 9 ;;
esac
"""


class House:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "a house"
        self.root.mkdir()
        shutil.copy(REPOSITORY / "env.sh", self.root)
        shutil.copytree(REPOSITORY / "requirements", self.root / "requirements")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_path = folder / "calls"
        (self.bin / "python3").write_text(STUB)
        (self.bin / "python3").chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        own = {"PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"}
        kept = {name: value for name, value in os.environ.items() if name not in own}
        path = f"{self.bin}{os.pathsep}{kept['PATH']}"
        return {**kept, "PATH": path, "STUB_CALLS": str(self.calls_path), **variables}

    def start(self, *extras: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", str(self.root / "env.sh"), *extras],
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *extras: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*extras, **variables)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    @property
    def python(self) -> str:
        return f"{self.root}/.venv/bin/python\n"

    @property
    def installations(self) -> list[str]:
        lines = self.calls_path.read_text().splitlines() if self.calls_path.exists() else []
        return [line for line in lines if line.startswith("-m pip install")]


@pytest.fixture
def house(tmp_path) -> House:
    return House(tmp_path)


def test_the_first_use_installs_from_the_lock(house):
    done = house.run()
    assert (done.returncode, done.stdout) == (0, house.python), done.stderr
    wanted, bare = house.installations
    assert "requirements/lock.txt" in wanted and "-r ./base.txt" in wanted and "dev.txt" not in wanted
    assert "--no-deps -r without_dependencies.txt" in bare
    assert "--no-compile" in wanted and "--no-compile" in bare
    assert house.calls_path.read_text().splitlines()[-1] == f"-m compileall -qq -j 0 {house.root}/.venv"


def test_the_second_use_installs_nothing(house):
    house.run("demo")
    house.calls_path.unlink()
    done = house.run("demo")
    assert (done.returncode, done.stdout, done.stderr) == (0, house.python, "")
    assert not house.calls_path.exists()


def test_an_extra_is_installed_when_first_asked_for(house):
    house.run()
    house.calls_path.unlink()
    assert house.run("dev").returncode == 0
    assert "-r ./dev.txt" in house.installations[0]
    assert "-r ./base.txt" not in house.installations[0]


def test_what_is_installed_without_dependencies_has_calls_of_its_own(house):
    """One of them has hashes, which pip then demands of every package of the call."""
    assert house.run("evaluate").returncode == 0
    locked, *bare = house.installations
    assert "-r ./evaluate.txt" in locked and "without_dependencies" not in locked
    ends = ["--no-deps -r without_dependencies.txt", "--no-deps -r evaluate_without_dependencies.txt"]
    assert len(bare) == 2 and all(call.endswith(end) for call, end in zip(bare, ends, strict=True))


@pytest.mark.parametrize("name", ["lock", "without_dependencies", "evaluate_without_dependencies"])
def test_a_list_that_is_no_extra_is_refused(house, name):
    done = house.run(name)
    assert done.returncode == 2
    assert f"unknown extra {name}" in done.stderr and "without_dependencies" not in done.stderr.split("known:")[1]


def test_a_changed_lock_is_installed(house):
    house.run()
    house.calls_path.unlink()
    with (house.root / "requirements" / "lock.txt").open("a") as lock:
        lock.write("another==1.0\n")
    house.run()
    assert len(house.installations) == 2


def test_a_failed_installation_is_reported_and_continued(house):
    done = house.run(STUB_PIP="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "run this again to continue" in done.stderr
    assert house.run().returncode == 0
    assert house.run().stderr == ""


def test_a_killed_installation_is_continued(house):
    process = house.start(STUB_SECONDS="30")
    deadline = time.monotonic() + 30
    while not house.installations and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()  # leaves its lock behind; the sleeping stub ends by itself
    process.wait()
    process.stdout.close()
    process.stderr.close()
    assert (house.root / ".venv.lock").exists()
    done = house.run()
    assert (done.returncode, done.stdout) == (0, house.python), done.stderr
    assert not (house.root / ".venv.lock").exists()


def test_a_partial_environment_is_made_again(house):
    (house.root / ".venv" / "bin").mkdir(parents=True)
    (house.root / ".venv" / "bin" / "python").symlink_to("/nowhere/python")
    done = house.run()
    assert (done.returncode, done.stdout) == (0, house.python), done.stderr


@pytest.mark.slow
def test_two_at_once_install_once(house):
    both = [house.start(STUB_SECONDS="0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [output for output, _ in outputs] == [house.python] * 2
    assert len(house.installations) == 2  # the lock's packages and those without dependencies, each once


def test_an_old_python_is_named(house):
    for name in ("python", "python3.10", "python3.11", "python3.12", "python3.13"):
        (house.bin / name).symlink_to("python3")
    done = house.run(STUB_VERSION="3.9.18")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Python 3.10 or newer is needed, found: Python 3.9.18" in done.stderr


def test_python_is_used_as_it_is(house):
    done = house.run("dev", PYTHON=sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{sys.executable}\n", "")
    assert not (house.root / ".venv").exists()


def test_a_python_that_is_not_there_is_named(house):
    done = house.run(PYTHON="/nowhere/python")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere/python" in done.stderr


def active(house, tmp_path) -> Path:
    """Return an environment of the user's whose Python is the stub, which has the packages of the tests' own."""
    mine = tmp_path / "mine"
    (mine / "bin").mkdir(parents=True)
    (mine / "bin" / "python").symlink_to(house.bin / "python3")
    return mine


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_active_environment_is_used_if_it_has_every_package(house, tmp_path, variable):
    mine = active(house, tmp_path)
    named = {variable: str(mine), "CONDA_DEFAULT_ENV": "voices"}
    done = house.run("dev", **named)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mine}/bin/python\n", "")
    assert not (house.root / ".venv").exists() and house.installations == []
    with (house.root / "requirements" / "base.txt").open("a") as base:
        base.write("no-such-package\n")
    done = house.run("dev", **named)
    assert (done.returncode, done.stdout) == (0, house.python)
    reason, *_ = done.stderr.splitlines()
    assert reason == f"using {house.root}/.venv, since the active environment {mine} lacks no-such-package"
    assert not list(mine.rglob("*.dist-info"))


def test_the_base_of_conda_and_broken_environments_are_passed_over(house, tmp_path):
    mine = active(house, tmp_path)
    done = house.run(CONDA_PREFIX=str(mine), CONDA_DEFAULT_ENV="base")
    assert (done.returncode, done.stdout) == (0, house.python) and f"{mine} is conda's base" in done.stderr
    (mine / "condabin").mkdir()
    assert "is conda's base" in house.run(CONDA_PREFIX=str(mine)).stderr
    assert house.run(VIRTUAL_ENV=str(mine), CONDA_PREFIX="/opt/conda", CONDA_DEFAULT_ENV="base").stdout != house.python
    done = house.run(VIRTUAL_ENV=str(tmp_path / "gone"))
    assert (done.returncode, done.stdout) == (0, house.python) and "gone has no Python" in done.stderr
    assert house.run(PYTHON=sys.executable, CONDA_PREFIX=str(mine)).stdout == f"{sys.executable}\n"


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root writes anywhere")
def test_a_place_that_cannot_be_written_to_is_named_at_once(house):
    as_anyone = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for folder in house.root.parents:
        if os.geteuid() == 0 and folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    house.root.chmod(0o555)
    command = [*as_anyone, "sh", str(house.root / "env.sh")]
    done = subprocess.run(command, env=house.environment(), capture_output=True, text=True, timeout=30, check=False)
    house.root.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{house.root} cannot be written to" in done.stderr and "Permission denied" not in done.stderr


def test_our_own_environment_may_be_active(house):
    done = house.run(VIRTUAL_ENV=str(house.root / ".venv"))
    assert (done.returncode, done.stdout) == (0, house.python), done.stderr
    assert len(house.installations) == 2


def test_an_unknown_extra_lists_the_known(house):
    done = house.run("dve")
    assert done.returncode == 2
    assert "cluster corpora demo dev docs espeak evaluate hub num2words onnx serve wetext" in done.stderr


def test_the_former_name_of_an_extra_names_the_new_one(house):
    done = house.run("judge")
    assert (done.returncode, done.stdout) == (2, "")
    assert "evaluate" in done.stderr


def lines_of(name: str) -> list[str]:
    text = (REPOSITORY / "requirements" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_lock_is_exact():
    assert [line for line in lines_of("lock.txt") if not re.match(r"[a-z0-9-]+==[0-9][\w.]*( ; .+)?$", line)] == []


def test_the_lock_takes_a_cpu_build_of_torch_where_one_is_at_hand():
    lines = lines_of("lock.txt")
    assert "torch==2.13.0" in lines
    assert [line for line in lines if line.startswith(("nvidia-", "cuda-", "triton"))] == []


def test_the_lock_holds_every_package_that_is_asked_for():
    locked = {re.split(r"==", line)[0] for line in lines_of("lock.txt")}
    asked = {
        re.split(r"[^\w.-]", line)[0].lower().replace("_", "-")
        for name in ("base.txt", "corpora.txt", "dev.txt", "demo.txt", "evaluate.txt", "wetext.txt")
        for line in lines_of(name)
        if not line.startswith("-r")
    }
    assert asked - locked == set()


def test_the_steps_of_the_dockerfile_work_in_an_empty_folder(house, tmp_path):
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    steps = [line.split(maxsplit=1) for line in text.replace("\\\n", "").splitlines() if line.strip()]
    assert [name for name, _ in steps] == ["ARG", "FROM", "WORKDIR", "COPY", "COPY", "ARG", "ARG", "RUN", "COPY", "CMD"]
    for extras in ("demo", "serve", "dev demo"):
        image = tmp_path / f"with {extras}"
        image.mkdir()
        variables = dict(value.partition("=")[::2] for name, value in steps if name == "ARG") | {"EXTRAS": extras}
        for name, value in steps:
            if name == "COPY" and value != ". .":
                source, target = value.split()
                subprocess.run(["cp", "-r", REPOSITORY / source, image / target], check=True)
            if name == "RUN":
                environment = house.environment(**variables)
                done = subprocess.run(["sh", "-c", value], cwd=image, env=environment, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                assert done.stdout == f"{image.resolve()}/.venv/bin/python\n"
        assert all((image / ".venv" / f"installed-{extra}").is_file() for extra in extras.split())
    [command] = [json.loads(value) for name, value in steps if name == "CMD"]
    assert (REPOSITORY / command[1]).is_file()


def test_what_the_image_takes_along_is_there():
    patterns = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert patterns[0] == ".git" and ".venv*" in patterns
    for pattern in patterns:
        assert not pattern.startswith("!") or list(REPOSITORY.glob(pattern[1:])), pattern
