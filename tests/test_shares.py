"""Several machines share stage 1: whoever dies, and whenever, the last makes of it what one alone would have made."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY

from processors.feature_store import FeatureStore
from processors.preparation.plan import Share
from processors.preparation.prepare import prepare, prepare_share
from processors.preparation.work import VOCODER_FEATURES
from tests.small_corpus import load, make_corpus, write_config
from utils.lock import InUseError, joint_user, sole_user


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, 48)
    (folder / "wavs" / "clip_005.wav").write_bytes(b"damaged")
    return folder


def everything(processed: Path) -> dict[str, bytes]:
    store = FeatureStore.open(processed / "toy")
    made = {
        f"{id_} {feature}": store.read(id_, feature).tobytes()
        for feature in store.features
        for id_ in store.ids(feature)
    }
    for path in [*processed.glob("*.json"), *processed.glob("toy/*.jsonl"), processed / "toy" / "report.md"]:
        made[path.name] = path.read_bytes().replace(str(processed).encode(), b"")
    return made


def test_every_utterance_belongs_to_one_share():
    for count in (1, 3, 8):
        shares = [Share(number, count) for number in range(1, count + 1)]
        held = [[share.has(f"clip_{i}") for share in shares] for i in range(400)]
        assert all(sum(row) == 1 for row in held)
        assert all(sum(column) > 200 / count for column in zip(*held, strict=True))


def test_the_last_share_finishes_the_whole(tmp_path, corpus):
    alone = load(write_config(tmp_path / "alone", corpus, num_workers=1))
    prepare(alone)
    shared = load(write_config(tmp_path / "shared", corpus, num_workers=1))
    assert prepare_share(shared, Share(2, 2)) is None
    assert not (tmp_path / "shared" / "processed" / "statistics.json").exists()
    summary = prepare_share(shared, Share(1, 2))
    assert summary is not None and (summary.good, summary.bad) == (47, 1)
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    settings = "settings.json"  # names its own folder
    assert {name: made for name, made in ours.items() if name != settings} == {
        name: made for name, made in theirs.items() if name != settings
    }


def test_nobody_finishes_while_others_are_at_work(tmp_path, corpus, capsys):
    settings = load(write_config(tmp_path, corpus, num_workers=1))
    holder = [
        sys.executable,
        "-c",
        "import sys, time; from utils.lock import joint_user\n"
        "with joint_user(sys.argv[1]): print('in', flush=True); time.sleep(60)",
        str(tmp_path / "processed"),
    ]
    with subprocess.Popen(holder, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(InUseError):
            prepare(settings, features=VOCODER_FEATURES)
        assert prepare_share(settings, Share(1, 1), features=VOCODER_FEATURES) is None
        assert "another machine is finishing the whole" in capsys.readouterr().out
        other.kill()
    summary = prepare_share(settings, Share(1, 1), features=VOCODER_FEATURES)
    assert summary is not None and summary.made == 0


def test_who_wants_to_be_alone_waits_for_those_who_share(tmp_path):
    code = "import sys; from utils.lock import {0}\nwith {0}(sys.argv[1]): pass"

    def enters(kind: str) -> bool:
        command = [sys.executable, "-c", code.format(kind), str(tmp_path)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == 0

    with joint_user(tmp_path):
        assert enters("joint_user") and not enters("sole_user")
    with sole_user(tmp_path):
        assert not enters("joint_user") and not enters("sole_user")
    assert enters("sole_user")


@pytest.mark.slow
def test_machines_killed_at_random_lose_nothing(tmp_path, corpus):
    prepare(load(write_config(tmp_path / "alone", corpus, num_workers=1)))
    config = write_config(tmp_path / "shared", corpus, num_workers=1)
    chance = random.Random(0)
    deaths = 0

    def begin(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "bins.preprocess", "--config", str(config), "--shard", f"{number}/3"],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    machines = {number: begin(number) for number in (1, 2, 3)}
    ends = time.monotonic() + 300
    while machines and time.monotonic() < ends:
        time.sleep(chance.uniform(0.2, 1.5))
        number = chance.choice(list(machines))
        if deaths < 8 and machines[number].poll() is None:
            os.killpg(machines[number].pid, signal.SIGKILL)
            machines[number].wait()
            deaths += 1
            machines[number] = begin(number)
        for other, machine in list(machines.items()):
            if machine.poll() is not None:
                assert machine.returncode == 0
                del machines[other]
    assert not machines and deaths >= 4
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    del ours["settings.json"], theirs["settings.json"]
    assert ours == theirs
    assert not list((tmp_path / "shared").rglob("*.partial"))


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_an_impossible_share_is_wrong_usage(tmp_path, corpus, shard):
    config = write_config(tmp_path, corpus)
    command = [sys.executable, "-m", "bins.preprocess", "--config", str(config), f"--shard={shard}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2 and "--shard" in done.stderr
