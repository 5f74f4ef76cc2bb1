"""bins.doctor: ten planted faults are named, each with a command; a healthy experiment has none, and a next step."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from config.load import write_settings
from config.paths import REPOSITORY
from models.bundle import VERSION_FILE
from models.doctor import checks, installation
from models.doctor.checks import CHECKS, Check, examine
from models.doctor.disk_space import free_space
from models.doctor.finding import Finding, Subject
from models.doctor.needs import bytes_per_second
from models.doctor.report import as_json, lines, next_step
from models.registry import make_task
from processors.preparation.prepare import prepare
from processors.utterance import SPLITS, read_manifest
from tests.support.small_corpus import load, make_corpus, write_config
from utils.checkpoint import CheckpointFolder

TINY = {
    "model": {
        "hidden_size": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "conv_filter_size": 16,
        "predictor_filter_size": 16,
        "n_bins": 8,
        "postnet_layers": 0,
    },
    "train": {"max_steps": 20, "keep_last": 2, "precision": "fp32"},
}


class Experiment:
    """An experiment of the small corpus that has been prepared, trained for two steps, and saved."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        make_corpus(self.corpus, 9)
        self.config = write_config(folder, self.corpus, num_workers=1)
        self.config.write_text(
            json.dumps(json.loads(self.config.read_text()) | TINY | {"log_dir": str(folder / "log")})
        )
        settings = load(self.config)
        prepare(settings)
        self.store = settings.preprocess.processed_path / "toy"
        self.log = folder / "log" / "anna"
        task = make_task(settings)
        task.bundle(self.log / "bundle")
        write_settings(self.log / "settings.json", settings)
        weights = {name: module.state_dict() for name, module in task.modules.items()}
        for step in (1, 2):
            CheckpointFolder(self.log / "checkpoint").save(step, weights=weights, training_state={}, metadata={})

    def subject(self, *overrides: str, name: str = "anna", **more: str) -> Subject:
        return Subject(config=str(self.config), overrides=overrides, name=name, **more)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    with pytest.MonkeyPatch.context() as patch:  # pictures take most of the time of stage 1
        patch.setattr("processors.preparation.report.png", lambda figure: b"")
        return Experiment(tmp_path_factory.mktemp("doctor"))


def faults(subject: Subject) -> list[Finding]:
    return [each.finding for each in examine(subject) if each.finding.is_fault]


@contextlib.contextmanager
def moved(path: Path):
    aside = path.with_name(f"{path.name} moved")
    path.rename(aside)
    yield
    aside.rename(path)


@contextlib.contextmanager
def changed(path: Path, content: bytes):
    before = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(before)


@contextlib.contextmanager
def held(folder: Path):
    code = "import sys; from utils.lock import sole_user\nwith sole_user(sys.argv[1]): print(flush=True); input()"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield
        process.communicate(b"\n")


def without_json5(patch, experiment):
    import importlib.metadata

    find = importlib.metadata.version

    def version(name):
        if name == "json5":
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    patch.setattr(importlib.metadata, "version", version)
    return contextlib.nullcontext()


def full_disk(patch, experiment):
    usage = shutil.disk_usage

    def disk_usage(path):
        found = usage(path)
        return found._replace(free=2**20) if experiment.folder in (path, *Path(path).parents) else found

    patch.setattr(shutil, "disk_usage", disk_usage)
    return contextlib.nullcontext()


def python_3_8(patch, experiment):
    patch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    return contextlib.nullcontext()


def no_gpu(patch, experiment):
    patch.setattr(torch.cuda, "is_available", lambda: False)
    return contextlib.nullcontext()


def damaged_checkpoint(patch, experiment):
    path = experiment.log / "checkpoint" / "step-00000002" / "network.safetensors"
    return changed(path, path.read_bytes()[:-8])


def half_written_store(patch, experiment):
    shards = sorted((experiment.store / "features").glob("*.safetensors"))
    assert len(shards) > 1
    return moved(shards[-1])


def later_bundle(patch, experiment):
    return changed(experiment.log / "bundle" / VERSION_FILE, b'{"recital": "9.0.0"}')


TEN = {
    "missing package": (without_json5, {}, "missing from this Python: json5", "pip install"),
    "full disk": (full_disk, {}, "the disk is too full", "df -h"),
    "wrong Python": (python_3_8, {}, "Recital needs 3.10 or newer", "sh env.sh"),
    "corpus moved": (
        lambda patch, experiment: moved(experiment.corpus),
        {},
        "corpus: no such folder",
        "--set dataset_path.toy=FOLDER",
    ),
    "bundle of another version": (later_bundle, {}, "was written by Recital 9.0.0", "git pull"),
    "GPU where none is": (
        no_gpu,
        {"overrides": ["train.precision=fp16"]},
        "train.precision: fp16 needs a GPU",
        "--set train.precision=fp32",
    ),
    "damaged checkpoint": (damaged_checkpoint, {}, "is damaged: network.safetensors has", "bins.train"),
    "features of other settings": (
        lambda patch, experiment: contextlib.nullcontext(),
        {"overrides": ["preprocess.fmax=7000"], "name": ""},
        "made with other settings: fmax 8000.0 (now 7000.0)",
        "bins.preprocess --config {config} --set preprocess.fmax=7000 --overwrite",
    ),
    "two runs at once": (
        lambda patch, experiment: held(experiment.log),
        {},
        "another run is using this folder",
        "ps -",
    ),
    "store half written": (half_written_store, {}, "of 9 recordings are missing (clip_", "bins.preprocess"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TEN)
def test_a_planted_fault_is_named_with_the_command_that_comes_next(experiment, case):
    plant, more, text, command = TEN[case]
    more = dict(more)
    with pytest.MonkeyPatch.context() as patch, plant(patch, experiment):
        patch.setattr(checks, "CHECKS", [each for each in CHECKS if each.function != "shipped_models"])
        found = faults(experiment.subject(*more.pop("overrides", ()), **more))
    assert found and {text in each.text for each in found} == {True}, found
    assert {command.format(config=experiment.config) in each.command for each in found} == {True}


@pytest.mark.slow
def test_a_healthy_experiment_has_no_fault_and_a_next_step_and_nothing_is_changed(experiment):
    before = {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("*")}
    subject = experiment.subject()
    found = examine(subject)
    assert [each for each in found if each.finding.is_fault] == []
    assert {check.topic for check in CHECKS} - {each.topic for each in found} == set()
    assert any("2 checkpoints, the newest of step 2" in each.finding.text for each in found)
    text = "\n".join(lines(found, subject))
    assert "nothing is wrong" in text and text.endswith(f"bins.train --config {experiment.config} --name anna")
    tree = json.loads(as_json(found, subject))
    assert tree["is_healthy"] and tree["next"] in text and len(tree["findings"]) == len(found)
    assert {path: path.stat().st_mtime_ns for path in experiment.folder.rglob("*")} == before
    with moved(experiment.log / "checkpoint"):
        assert "bins.train" in next_step(subject)
    recording = next(experiment.corpus.rglob("*.wav"))
    os.utime(recording, (1, 1))
    [changed_since] = faults(subject)
    assert "1 of 9 recordings have features of former files" in changed_since.text
    os.utime(recording, ns=(before[recording], before[recording]))
    with changed(experiment.log / "bundle" / "model.safetensors", b"x"):
        [damaged] = faults(experiment.subject("train.max_steps=2"))
    assert damaged.command.endswith("--name anna --set train.max_steps=3")  # one more step writes it again
    alone = Subject(model=str(experiment.log))
    assert next_step(alone) == f"python -m bins.synthesize --infer_expt_dir {experiment.log} --infer_text Hello."
    subject.settings = load(experiment.config, "train.max_steps=2")
    assert next_step(subject).endswith(f"bins.synthesize --config {subject.config} --name anna --infer_text Hello.")
    begun = experiment.log.with_name("zoe") / "checkpoint"  # beside anna, which has ended
    begun.mkdir(parents=True)
    subject.name = ""
    assert next_step(subject).endswith(f"bins.train --config {subject.config} --name zoe")
    shutil.rmtree(begun.parent)


@pytest.mark.slow
def test_disk_and_memory_that_an_experiment_needs_are_computed(experiment):
    settings = load(experiment.config)
    shards = sum(path.stat().st_size for path in (experiment.store / "features").glob("*"))
    manifests = [experiment.store / f"{split}.jsonl" for split in SPLITS]
    seconds = sum(each.frames for path in manifests for each in read_manifest(path)) * 128 / 16000
    assert 0.9 < shards / (seconds * bytes_per_second(settings)) < 1.3


def test_a_full_disk_and_a_file_in_place_of_a_folder_are_shown_by_commands_for_any_path(tmp_path):
    file = tmp_path / "my file"
    file.touch()
    assert [each.command for each in free_space(file / "log", 2**80)] == [f"df -h '{file}'", f"ls -ld '{file}'"]


def test_a_python_without_packages_is_examined_and_the_missing_ones_named():
    # -S: without site-packages. The doctor itself must not need what it finds missing.
    command = [sys.executable, "-S", "-m", "bins.doctor", "--json", "--config", "egs/tts/FastSpeech2/exp_config.json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    tree = json.loads(done.stdout)
    wrong = [each for each in tree["findings"] if each["is_fault"]]
    assert done.returncode == 1 and not tree["is_healthy"] and done.stderr == ""
    assert [each["topic"] for each in wrong] == ["versions", "versions"]
    assert "torch" in wrong[0]["text"] and "requirements/base.txt" in wrong[0]["next"]
    assert any("not checked (settings): needs the package" in each["text"] for each in tree["findings"])


def test_files_that_are_imported_first_can_be_parsed_by_python_3_8():
    code = (
        "import sys, bins.doctor, models.doctor.checks, models.doctor.report, models.doctor.installation\n"
        "print(*(each.__file__ for each in sys.modules.values() if getattr(each, '__file__', None)), sep='\\n')"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", code], cwd=REPOSITORY, capture_output=True, text=True).stdout
    own = [Path(line) for line in loaded.splitlines() if Path(line).is_relative_to(REPOSITORY)]
    assert {"doctor.py", "command.py", "checks.py", "installation.py"} <= {path.name for path in own}
    for path in own:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def test_a_check_that_fails_itself_is_a_fault_and_the_others_go_on(monkeypatch):
    def fails(subject):
        raise KeyError("odd")

    monkeypatch.setattr(installation, "extras", fails)
    monkeypatch.setattr(checks, "CHECKS", (Check("a", "installation", "extras"), Check("b", "installation", "python")))
    broken, sound = examine(Subject())
    assert broken.finding.text == "the check extras ended early: KeyError: 'odd'"
    assert broken.finding.command == "python -m bins.doctor --debug" and not sound.finding.is_fault
    with pytest.raises(KeyError):
        examine(Subject(), raises=True)


def test_settings_are_checked_and_what_they_need_is_named(monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", [each for each in CHECKS if each.topic == "settings"])
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])
    config = str(REPOSITORY / "egs/tts/FastSpeech2/exp_config.json")

    def commands(*overrides: str, config: str = config) -> list[str]:
        return [each.command for each in faults(Subject(config=config, overrides=overrides))]

    assert commands() == []
    assert commands('train.trackers=["wandb"]') == ["pip install wandb"]
    [command] = commands("preprocess.phone_extractor=espeak", 'dataset_language={LJSpeech: "xx"}')
    assert command.startswith("python -m bins.pronounce ")
    assert commands("train.bacth_size=3") == [f"python -m bins.settings --config {config}"]
    assert commands(config=f"{config}.json") == [f"ls {REPOSITORY / 'egs/tts/FastSpeech2'}"]
