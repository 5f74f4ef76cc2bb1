"""The page of a training: during it, after it, after a kill, and of nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import bins.watch
from config.paths import REPOSITORY, SHIPPED_VOICE
from models.runs import training_record
from models.runs.next_step import Call, next_steps
from models.runs.training_page import PageOptions, training_page
from models.runs.training_record import NoExperimentError, experiment_folder, newest_experiment, read_record
from models.runs.watch import Watch, WatchError, handler, serve_page
from models.runs.watched_samples import SampleReader, Samples
from processors.reports.line_chart import Line, line_chart, short
from tests.support.browser import WHY_NOT, browser
from tests.support.local_server import LocalServer
from utils.lock import is_in_use
from utils.logbook import Logbook
from utils.sample_folder import SampleFolder, file_stem
from utils.task import Samples as Logged

VALID = {"loss": 3.0, "mel": 1.0, "pitch": 2.0, "free_mel": 0.7}


def experiment(folder, steps=6, *, valid_falls_until=3, max_steps=20, model_type="FastSpeech2"):
    """Write what a training of so many steps leaves, with a validation at each."""
    folder.mkdir(parents=True)
    train = {"max_steps": max_steps, "max_epochs": 0}
    settings = {"model_type": model_type, "dataset": ["<tiny>"], "train": train}
    (folder / "settings.json").write_text(json.dumps(settings))
    with Logbook(folder) as logbook:
        for step in range(1, steps + 1):
            losses = {f"train/network/{name}": 5.0 / step for name in ("loss", "mel", "pitch")}
            speed = {"speed/steps_per_second": 9.0, "speed/elapsed_s": 2.0 * step}
            logbook.scalars(step, losses | speed | {"learning_rate/network": 1e-4}, epoch=step // 3)
            valid = {f"valid/{name}": value / min(step, valid_falls_until) for name, value in VALID.items()}
            logbook.scalars(step, valid, epoch=step // 3)
        sounds = {name: np.zeros(40) for name in ("text <1>/recorded", "text <1>/free")}
        logbook.samples(steps, Logged({"text <1>/mel": np.zeros((3, 4, 3), np.uint8)}, sounds, 8000))
        logbook.scalars(4, {"evaluation/distillmos": 3.25})  # late
        logbook.scalars(2, {"evaluation/distillmos": 2.5})
    (folder / "bundle").mkdir()
    (folder / "checkpoint" / "step-00000005").mkdir(parents=True)
    return folder


def page_of(folder, patience=10, samples=None, **call):
    page = training_page(read_record(folder), samples or Samples(), PageOptions(Call(**call), patience))
    return re.sub("</?i>", "", page)  # around flags, which are not to be broken


@pytest.mark.slow
def test_the_page_shows_losses_in_one_chart_per_term_speech_time_left_and_the_next_command(tmp_path, monkeypatch):
    folder = experiment(tmp_path / "my & voice")
    monkeypatch.setattr(training_record, "is_in_use", lambda folder: True)
    record = read_record(folder)
    assert (record.state, record.step, record.last_step, record.steps_per_s) == ("running", 6, 20, 0.5)
    assert record.left_s == pytest.approx(28, abs=5) and record.trained_s == 12
    page = page_of(folder, samples=SampleReader(folder).read())
    charts = {chart.split("<small>")[0].rpartition("<h3>")[2].strip(): chart for chart in page.split("<figure")[1:]}
    assert list(charts)[:4] == ["total loss", "mel", "pitch", "distillmos"]
    assert 'class="line train"' in charts["mel"] and 'class="line valid"' in charts["mel"]
    assert '"line train"' not in charts["free mel"] and {"learning rate", "speed"} <= set(charts)
    assert re.findall(r',(\d+,"[\d.]+")', charts["distillmos"]) == ['2,"2.5"', '4,"3.25"']
    assert page.count('class="play"') == 2 and "data:audio/wav;base64," in page and "data:image/png;base64," in page
    assert "my &amp; voice" in page and "on &lt;tiny&gt;" in page and "<tiny>" not in page and "text &lt;1&gt;" in page
    assert "28 s left" in page or "27 s left" in page
    assert "bins.synthesize --infer_expt_dir" in page and "No term of the validation loss" not in page
    long_ago = time.time() - 3600
    os.utime(folder / "logbook.jsonl", (long_ago, long_ago))
    assert read_record(folder).left_s is None and "No new line in the logbook for 1 h 00 min" in page_of(folder)
    assert "http" not in page.replace("location.protocol", "").replace('startsWith("http")', "")


def test_a_warning_comes_when_no_term_of_the_validation_has_improved(tmp_path):
    """Each term counts, and measures that are not in the loss do not."""
    folder = experiment(tmp_path / "x", steps=9, valid_falls_until=4)
    assert [(each.term, each.best_step, each.n_since) for each in read_record(folder).improvements()] == [
        ("mel", 4, 5),
        ("pitch", 4, 5),
    ]
    warning = "No term of the validation loss (mel, pitch) has improved for 5 validations, since step 4"
    assert warning in page_of(folder, patience=5) and warning not in page_of(folder, patience=6)
    with (folder / "logbook.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": 10, "epoch": 3, "valid/mel": 9.0, "valid/pitch": 0.4}) + "\n")
    assert "No term" not in page_of(folder, patience=5)


def test_a_killed_an_empty_and_a_damaged_logbook_have_a_page(tmp_path):
    folder = experiment(tmp_path / "x")
    with (folder / "logbook.jsonl").open("a") as lines:
        # Leftovers of a run that had gone back to step 3, NaN, and a line that a kill cut.
        lines.write(
            json.dumps({"step": 4, "epoch": 1, "train/network/loss": None, "valid/mel": 0.5}) + '\n{"step": 5, "tr'
        )
    record = read_record(folder)
    assert record.series["train/network/loss"].steps == record.series["valid/mel"].steps == [1, 2, 3, 4]
    assert (record.state, record.resumes_from) == ("stopped", 5)
    page = page_of(folder)
    assert "train/network/loss was NaN or infinite at step 4" in page
    assert (
        "resume from step 5" in page
        and "--resume_type resume" in page
        and "The newest checkpoint is of step 5:" not in page
    )
    for content in ("", "\x00\x00{]", '{"step": "1"}\n[]\n'):
        (folder / "logbook.jsonl").write_text(content)
        assert "no line yet" in page_of(folder, samples=SampleReader(tmp_path / "nothing").read())
    (folder / "settings.json").write_text("{")
    assert "no line yet" in page_of(folder)
    (folder / "logbook.jsonl").unlink()
    (folder / "settings.json").unlink()
    with pytest.raises(NoExperimentError, match=r"x: is no experiment: it has neither logbook.jsonl nor settings.json"):
        experiment_folder(folder)


def test_the_next_command_is_the_recipes_where_its_settings_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    call = Call("egs/tts/FastSpeech2/exp_config.json", ("train.seed=1",))
    recipe = "sh egs/tts/FastSpeech2/run.sh --stage"
    folder = experiment(tmp_path / "mine")
    resume, speak = next_steps(read_record(folder), call)
    assert resume.command == f"{recipe} 2 --name mine --set train.seed=1"
    assert speak.command.startswith(f"{recipe} 3 --name mine --infer_text 'Hello")
    finished = experiment(tmp_path / "done", steps=3, max_steps=3)
    commands = [each.command for each in next_steps(read_record(finished), call)]
    assert commands[1] == f"{recipe} 4 --name done --set train.seed=1" and "bins.export --bundle" in commands[2]
    other = next_steps(read_record(folder), Call("config/base.json"))[0].command
    assert other == "python -m bins.train --config config/base.json --name mine"
    vocoder = next_steps(read_record(experiment(tmp_path / "v", model_type="HiFiGAN")), Call())[1].command
    assert "bins.vocode --config" in vocoder and vocoder.endswith(f"--infer_expt_dir {tmp_path / 'v'}")


def test_a_checkpoint_that_a_resumed_run_set_aside_is_not_offered(tmp_path):
    folder = experiment(tmp_path / "x")
    losses = {"step-00000003": 0.5, "step-00000004.superseded": 0.1, "step-00000005": 0.7}
    for name, loss in losses.items():
        (folder / "checkpoint" / name).mkdir(exist_ok=True)
        (folder / "checkpoint" / name / "checkpoint.json").write_text(json.dumps({"valid_loss": loss}))
    *_, best = next_steps(read_record(folder), Call())
    assert "lowest validation loss" in best.purpose and "step-00000003 " in best.command


def test_the_same_sentences_of_every_checkpoint_stand_in_a_row(tmp_path):
    folder = SampleFolder(experiment(tmp_path / "x"))
    for step in (1, 2, 3, 10):
        for stem in ("b", "a"):
            path = folder.of_step(step) / f"{stem}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"sound")
    folder.recorded.mkdir()
    (folder.recorded / "a.flac").write_bytes(b"person")
    folder.write_sentences({"a": ("a", "A sentence."), "b": ("", "A <text>.")})
    folder.prune(3)
    assert folder.steps() == [1, 3, 10]
    folder.drop_after(3)
    assert folder.steps() == [1, 3]
    alone = SampleFolder(tmp_path / "alone")
    for step in (1, 2, 4):
        alone.of_step(step).mkdir(parents=True)
    alone.prune(1)
    assert alone.steps() == [4] and alone.sentences() == {}
    first, second = SampleReader(folder.path.parent).read().sentences
    assert (first.name, first.text, first.recording.content, set(first.by_step)) == (
        "a",
        "A sentence.",
        b"person",
        {1, 3},
    )
    assert (second.name, second.text, second.recording) == ("", "A <text>.", None)
    page = page_of(folder.path.parent, samples=SampleReader(folder.path.parent).read())
    assert page.count('class="play"') == 5 and "A &lt;text&gt;." in page and "not in the corpus" in page
    assert file_stem("a_1.b") == "a_1.b" and file_stem("x/y") != file_stem("x_y")


def test_charts_have_gaps_log_scales_and_few_points():
    assert line_chart("none", [Line("x", [1], [float("nan")], "c0"), Line("y", [], [], "c1")]) == ""
    gap = line_chart("a & b", [Line("x", [1, 2, 3, 4], [1.0, float("nan"), 2.0, 3.0], "valid")])
    assert gap.count('class="line valid"') == 2 and "a &amp; b" in gap and "log scale" not in gap and "nan" not in gap
    assert "log scale" in line_chart("l", [Line("x", [1, 2], [1e-5, 1.0], "train")])
    assert line_chart("one", [Line("x", [0], [0.0], "train")]).count("<path") > 1
    many = line_chart("many", [Line("x", range(100_000), np.ones(100_000), "train")])
    assert len(many) < 20_000 and '99999,"1"' in many
    assert [short(value) for value in (0, 1234.5, 1e-5, 0.12345, 2e7, float("nan"))] == [
        *("0", "1,234", "1e-5", "0.123", "2e7", "–")
    ]


def test_the_page_is_served_and_has_another_version_when_the_logbook_grows(tmp_path):
    folder = experiment(tmp_path / "x")
    watch = Watch(folder / "bundle", PageOptions(Call(), 10, 5.0))
    with LocalServer(handler(watch)) as server:

        def get(path):
            with urllib.request.urlopen(f"{server.url}/{path}", timeout=30) as answer:
                return answer.read().decode()

        page, version = get(""), get("version")
        assert f'data-version="{version}"' in page and 'data-refresh="5.0"' in page and page == get("?again")
        (folder / "checkpoint" / "step-00000020").mkdir()
        assert get("version") != version and ">finished<" in get("")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get("settings.json")
        with pytest.raises(WatchError, match="cannot be used"):
            serve_page(watch, int(server.url.rpartition(":")[2]))


@pytest.mark.slow
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_a_browser_reads_out_points_and_loads_the_page_anew_when_the_logbook_grows(tmp_path):
    folder = experiment(tmp_path / "x")
    watch = Watch(folder, PageOptions(Call(), 10, 0.5))
    with LocalServer(handler(watch)) as server, browser(tmp_path / "profile") as window:
        window.open(server.url)
        hover = """const svg = document.querySelectorAll(".chart svg")[1], box = svg.getBoundingClientRect();
            svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.right - 9, clientY: box.top + 20}));
            return svg.parentElement.querySelector(".tip").innerText;"""
        assert window.run(hover).split("\n") == ["step 6", "train 0.833", "valid 0.333"]
        with (folder / "logbook.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": 7, "epoch": 2, "train/network/mel": 0.5}) + "\n")
        window.wait_for('document.querySelector(".facts").innerText.startsWith("step 7")')
        assert window.run(hover).split("\n") == ["step 7", "train 0.5"]
        assert window.messages() == []


@pytest.mark.slow
def test_the_command_writes_a_page_and_names_what_is_missing(tmp_path, command):
    folder = experiment(tmp_path / "x")
    code, printed, _ = command(bins.watch, "--infer_expt_dir", str(folder), "--once")
    assert code == 0 and f"wrote {folder / 'watch.html'}: open it in a browser" in printed
    assert 'data-refresh="0.0"' in (folder / "watch.html").read_text()
    finished = experiment(tmp_path / "done", steps=3, max_steps=3)
    output = tmp_path / "pages" / "page.html"
    code, printed, _ = command(bins.watch, "--infer_expt_dir", str(finished), "--output", str(output))
    assert code == 0 and "the training has finished" in printed and output.is_file()
    os.utime(finished / "logbook.jsonl", (0, 0))
    assert newest_experiment(tmp_path) == folder
    config = ("--config", str(REPOSITORY / "egs/tts/FastSpeech2/exp_config.json"))
    for arguments, refusal in (
        (("--infer_expt_dir", str(tmp_path / "nothing")), "there is no such folder or file"),
        (("--infer_expt_dir", str(tmp_path / "pages")), "is no experiment"),
        ((*config, "--name", "no such name"), "--name"),
        ((*config, "--set", f"log_dir={tmp_path / 'pages'}"), "has no experiment yet"),
        (("--infer_expt_dir", str(SHIPPED_VOICE)), "is no experiment"),
    ):
        code, _, errors = command(bins.watch, *arguments, "--once")
        assert code == 1 and refusal in errors and errors.count("\n") == 1


def test_a_lock_of_another_process_is_seen_without_taking_it(tmp_path):
    holds = f"from utils.lock import sole_user\nwith sole_user({str(tmp_path)!r}):\n    print(1, flush=True); input()"
    assert not is_in_use(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", holds], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"1\n"
        assert is_in_use(tmp_path) and is_in_use(tmp_path)
        process.communicate(b"\n")
    deadline = time.monotonic() + 10
    while is_in_use(tmp_path):
        assert time.monotonic() < deadline
