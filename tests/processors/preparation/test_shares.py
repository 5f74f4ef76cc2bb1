"""Stage 1 shared by several machines: whichever is killed, the result is that of one machine."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from pathlib import Path

import pytest

from config.paths import REPOSITORY
from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.audio.audio_file import write_wav
from processors.corpora.load import read_dataset
from processors.feature_store import FeatureStore
from processors.features import VOCODER_FEATURES
from processors.preparation.prepare import prepare, prepare_share
from tests.support.commands import call, start
from tests.support.small_corpus import (
    RATE,
    everything,
    load,
    make_corpus,
    texts,
    waveform_of,
    write_config,
    write_metadata,
)
from utils.lock import InUseError, joint_user, require_free, sole_user
from utils.share import Share


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, 48)
    (folder / "wavs" / "clip_005.wav").write_bytes(b"damaged")
    return folder


def test_every_utterance_belongs_to_one_share():
    for count in (1, 3, 8):
        shares = [Share(number, count) for number in range(1, count + 1)]
        held = [[share.has(f"clip_{i}") for share in shares] for i in range(400)]
        assert all(sum(row) == 1 for row in held)
        assert all(sum(column) > 200 / count for column in zip(*held, strict=True))


@pytest.mark.slow
def test_the_last_share_finishes_the_whole(tmp_path, corpus):
    alone = load(write_config(tmp_path / "alone", corpus, num_workers=1))
    prepare(alone)
    shared = load(write_config(tmp_path / "shared", corpus, num_workers=1))
    assert prepare_share(shared, Share(2, 2)) is None
    assert not (tmp_path / "shared" / "processed" / "statistics.json").exists()
    left_by_a_kill = tmp_path / "shared" / "processed" / ".symbols.json.0123.partial"
    left_by_a_kill.touch()
    summary = prepare_share(shared, Share(1, 2))
    assert summary is not None and (summary.usable, summary.rejected) == (47, 1)
    assert not left_by_a_kill.exists()
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    settings = "settings.json"  # names its own folder
    assert {name: made for name, made in ours.items() if name != settings} == {
        name: made for name, made in theirs.items() if name != settings
    }


@pytest.mark.slow
def test_shares_number_collected_letters_alike(tmp_path):
    corpus = tmp_path / "corpus"
    of_id = {name: text if i else f"Zoé! {text}" for i, (name, text) in enumerate(texts(16).items())}
    for name, text in of_id.items():
        write_wav(corpus / "wavs" / f"{name}.wav", waveform_of("See my new tea so."), RATE)
        write_textgrid(corpus / "TextGrid" / f"{name}.TextGrid", spelled(text, 1.6))
    write_metadata(corpus, of_id)
    extra = {"num_workers": 1, "phone_extractor": "char"}
    alone = load(write_config(tmp_path / "alone", corpus, **extra))
    assert prepare(alone).rejected == 0
    shared = load(write_config(tmp_path / "shared", corpus, **extra))
    finished = [prepare_share(shared, Share(number, 3)) for number in (3, 1, 2)]
    assert finished[:2] == [None, None] and finished[2] is not None
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    del ours["settings.json"], theirs["settings.json"]
    assert ours == theirs and b"\xc3\xa9" in ours["symbols.json"]


def spelled(text: str, end_s: float) -> Alignment:
    """Return an alignment in which all letters of a text have the same duration."""
    words = "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").split()
    letter_s, at = (end_s - 0.2) / sum(map(len, words)), 0.1
    word_tier, phone_tier = [Interval(0.0, at, "")], [Interval(0.0, at, "")]
    for word in words:
        start = at
        for letter in word:
            phone_tier.append(Interval(at, at + letter_s, letter))
            at += letter_s
        word_tier.append(Interval(start, at, word))
    return Alignment((*word_tier, Interval(at, end_s, "")), (*phone_tier, Interval(at, end_s, "")))


@pytest.mark.slow
def test_one_machine_trains_the_aligner_for_all(tmp_path):
    corpus = tmp_path / "corpus"
    make_corpus(corpus, 16)
    steps = {"max_steps": 6, "warmup_steps": 2, "decay_steps": 6, "binarize_from_step": 4, "save_every_steps": 2}
    train = {"batch_size": 4, "precision": "fp32", "num_workers": 0} | steps
    aligner = {"base_config": "config/aligner.json", "model": {"hidden_size": 16, "space_size": 8}, "train": train}
    (tmp_path / "aligner.json").write_text(json.dumps(aligner))
    extra = {"textgrid_dir": "", "alignment": "learned", "aligner_config": str(tmp_path / "aligner.json")}
    configs = {name: write_config(tmp_path / name, corpus, num_workers=1, **extra) for name in ("alone", "shared")}
    commands = [("alone",), ("shared", "--shard", "1/2"), ("shared", "--shard", "2/2")]
    machines = [
        start("bins.preprocess", "--config", configs[name], *flags, start_method="") for name, *flags in commands
    ]
    outputs = [machine.communicate(timeout=200) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0, 0], outputs
    assert any("training the aligner" in printed for printed, _ in outputs[1:])
    assert call("bins.preprocess", "--config", configs["shared"]).returncode == 0
    ours, theirs = (
        # but for settings.json, which names its own folder, and the times at which TextGrids were written
        {
            name: made
            for name, made in everything(tmp_path / folder / "processed").items()
            if not name.endswith("source")
        }
        for folder in ("shared", "alone")
    )
    del ours["settings.json"], theirs["settings.json"]
    assert ours == theirs


@pytest.mark.slow
def test_a_share_may_be_empty(tmp_path, corpus, capsys):
    shutil.copytree(corpus / "TextGrid", tmp_path / "processed" / "toy" / "TextGrid")
    settings = load(write_config(tmp_path, corpus, num_workers=1, textgrid_dir="", alignment="textgrid"))
    ids = [utterance.id for utterance in read_dataset(settings, "toy").utterances]
    empty = next(share for n in range(1, 1000) if not any((share := Share(n, 1000)).has(id_) for id_ in ids))
    assert prepare_share(settings, empty) is None
    printed = capsys.readouterr().out
    assert "up to date" not in printed and "48 utterances are left for other machines" in printed
    summary = prepare_share(settings, Share(1, 1))
    assert summary is not None and summary.usable == 47


@pytest.mark.slow
def test_a_share_does_not_finish_the_whole_while_another_works(tmp_path, corpus, capsys):
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
        assert "another machine is still working" in capsys.readouterr().out
        other.kill()
    summary = prepare_share(settings, Share(1, 1), features=VOCODER_FEATURES)
    assert summary is not None and summary.prepared == 0


@pytest.mark.slow
def test_a_share_waits_while_another_machine_finishes_the_whole(tmp_path, corpus, capsys):
    settings = load(write_config(tmp_path, corpus, num_workers=1))
    code = (
        "import sys, time; from utils.lock import sole_user\n"
        "with sole_user(sys.argv[1]): print('in', flush=True); sys.stdin.read()"
    )
    holder = [sys.executable, "-c", code, str(tmp_path / "processed")]
    with (
        subprocess.Popen(holder, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        late = pool.submit(prepare_share, settings, Share(1, 1), features=VOCODER_FEATURES)
        with pytest.raises(NotYetError):
            late.result(timeout=1)
        assert other.stdin is not None
        other.stdin.close()
        assert late.result(timeout=100) is not None
    assert "waiting" in capsys.readouterr().out


@pytest.mark.slow
def test_the_last_share_finishes_although_another_still_counts_what_is_left(tmp_path, corpus):
    config = write_config(tmp_path, corpus, num_workers=1)
    slow = start("tests.support.share_machine", config, "1", "2", tmp_path)
    while slow.poll() is None and not (tmp_path / "has looked").exists():
        time.sleep(0.01)
    last = start("tests.support.share_machine", config, "2", "2")
    store = tmp_path / "processed" / "toy"
    while last.poll() is None and len(FeatureStore.open(store).ids("mel")) < 47:
        time.sleep(0.01)
    time.sleep(1.0)  # in which it finds that the slow one is still there
    (tmp_path / "go on").touch()
    outputs = [machine.communicate(timeout=100)[0].splitlines()[-1] for machine in (slow, last)]
    assert outputs == ["left the whole", "finished the whole"]


def test_exclusive_and_shared_locks_exclude_each_other(tmp_path):
    code = "import sys; from utils.lock import {0}\nwith {0}(sys.argv[1]): pass"

    def enters(kind: str) -> bool:
        command = [sys.executable, "-c", code.format(kind), str(tmp_path)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == 0

    require_free(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with joint_user(tmp_path):
        assert enters("joint_user") and not enters("sole_user")
        asked = [sys.executable, "-c", "import sys; from utils.lock import *; require_free(sys.argv[1])", str(tmp_path)]
        refused = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True)
        assert "InUseError" in refused.stderr and "another run is using this folder" in refused.stderr
        assert sys.platform != "linux" or f"(process {os.getpid()})" in refused.stderr
    with sole_user(tmp_path):
        assert not enters("joint_user") and not enters("sole_user")
    assert enters("sole_user")


def test_removing_an_empty_folder_keeps_its_lock_exclusive(tmp_path):
    folder = tmp_path / "made" / "here"
    code = (
        "import sys; from utils.lock import sole_user\nprint('comes', flush=True)\n"
        "with sole_user(sys.argv[1], waits=True): print('in', flush=True); sys.stdin.read()"
    )
    with sole_user(folder):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "comes\n"
        time.sleep(0.5)
    assert other.stdout.readline() == "in\n"
    with pytest.raises(InUseError), sole_user(folder):
        pass
    other.stdin.close()
    assert other.wait(20) == 0
    assert not folder.exists()
    with sole_user(folder):
        (folder / "written").touch()
    (tmp_path / "empty").mkdir()
    with sole_user(tmp_path / "empty"):
        pass
    assert (folder / "written").exists() and (tmp_path / "empty").exists()


@pytest.mark.slow
def test_machines_killed_at_random_lose_nothing(tmp_path, corpus):
    alone, shared = (write_config(tmp_path / name, corpus, num_workers=1) for name in ("alone", "shared"))
    rng = random.Random(0)
    deaths = 0

    def begin(number: int):
        return start("bins.preprocess", "--config", shared, "--shard", f"{number}/3")

    began = time.monotonic()
    assert call("bins.preprocess", "--config", alone).returncode == 0
    takes_s = time.monotonic() - began  # a slow machine is killed as rarely as its work is slow
    machines = {number: begin(number) for number in (1, 2, 3)}
    ends = time.monotonic() + 300
    while machines and time.monotonic() < ends:
        time.sleep(rng.uniform(0.03, 0.4) * takes_s)
        number = rng.choice(list(machines))
        if deaths < 8:  # who has finished begins again, too
            if machines[number].poll() is None:
                os.killpg(machines[number].pid, signal.SIGKILL)
                deaths += 1
            else:
                takes_s *= 0.7  # it has less to do, or more of the cores, than alone
            assert machines[number].wait() in (0, -signal.SIGKILL)
            machines[number] = begin(number)
            continue
        for other, machine in list(machines.items()):
            if machine.poll() is not None:
                assert machine.returncode == 0
                del machines[other]
    assert not machines and deaths == 8
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    del ours["settings.json"], theirs["settings.json"]
    assert ours == theirs
    assert not list((tmp_path / "shared").rglob("*.partial"))


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_an_impossible_share_is_wrong_usage(tmp_path, corpus, shard):
    config = write_config(tmp_path, corpus)
    done = call("bins.preprocess", "--config", config, f"--shard={shard}")
    assert done.returncode == 2 and "--shard" in done.stderr
