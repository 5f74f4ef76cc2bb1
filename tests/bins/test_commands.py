"""Commands: `--help`, `--version`, wrong usage, devices."""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bins.command import INPUTS, choose_gpus, make_parser, make_visible, results_folder, run, say_next
from bins.speech_flags import device_name
from config.paths import REPOSITORY
from tests.support import commands
from utils.errors import RecitalError
from utils.version import VERSION

COMMANDS = sorted(
    path.stem for path in (REPOSITORY / "bins").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


def call(command: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a command; return its result and the processor seconds it took."""
    # Compiled files are what a user has from the second call on, and here the first call makes them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", f"bins.{command}", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("path", sorted((REPOSITORY / "bins").glob("*.py")), ids=lambda path: path.stem)
def test_a_command_parses_loads_and_calls_one_thing(path):
    """More lines, and what two commands share, belong in a folder below."""
    source = path.read_text(encoding="utf-8")
    imported = re.findall(r"^ *(?:from|import) (bins[\w.]*)", source, re.MULTILINE)
    shared = {"bins.command", "bins.speech_flags"}
    assert set(imported) <= shared
    assert f"bins.{path.stem}" in shared or source.count("\n") < 130


@pytest.mark.parametrize("command", COMMANDS)
def test_help_comes_within_a_second(command):
    seconds: list[float] = []
    while len(seconds) < 5 and min(seconds, default=9.0) >= 1:  # the best of several: a machine may be busy
        done, spent = call(command, "--help")
        seconds.append(spent)
        assert done.returncode == 0, done.stderr
        assert f"python -m bins.{command}" in done.stdout
    assert min(seconds) < 1, f"--help of bins.{command} took {seconds} s"


def test_the_version_is_printed():
    done, _ = call("settings", "--version")
    assert (done.returncode, done.stdout) == (0, f"Recital {VERSION}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_wrong_usage(command):
    done, _ = call(command, "--no_such_flag")
    assert done.returncode == 2
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_may_be_written_with_dashes():
    from bins.command import _with_underscores

    given = ["--infer-text", "a-b", "--set", "a=b-c", "--vocoder-dir=x-y", "-s", "--"]
    assert _with_underscores(given) == ["--infer_text", "a-b", "--set", "a=b-c", "--vocoder_dir=x-y", "-s", "--"]


def test_a_former_name_of_a_command_names_the_new_one():
    done, _ = call("judge", "--reference_dir", "a")
    assert done.returncode == 2
    assert "bins.evaluate" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "refusal"),
    [
        (("--output", "x", "--gpu", "1"), "--gpu is for a model"),
        (("--output", "x", "--infer_testing_set", "valid"), "--infer_testing_set is for a model"),
        (("--dump_folder", "README.md"), "--dump_folder README.md: is a file"),
    ],
)
def test_an_evaluation_refuses_flags_that_it_would_ignore_and_a_file_as_folder(flags, refusal):
    done, _ = call("evaluate", "--generated_folder", "ckpts", *flags)
    assert done.returncode == 2 and refusal in done.stderr


# Written, or read before torch is imported anyway; --input is infer_text.
OUTPUTS = {
    "config",
    "configs",
    "data_config",
    "dump_folder",
    "output",
    "output_file",
    "output_dir",
    "infer_output_dir",
    "times",
    "to_jsonl",
    "input",
    "json",
    "page",
}


@pytest.mark.slow
def test_every_path_that_a_command_reads_is_among_the_inputs():
    named = set()
    for command in COMMANDS:
        named |= set(re.findall(r"--(\w+) (?:DIR|FILE)(?![\w|])", call(command, "--help")[0].stdout))
    aliases = {"fastpitch", "hifigan", "waveglow", "reference_dir", "made_dir", "compare_dir"}
    without_dashes, with_brackets = "folder", "pitch_transform_custom"
    assert named - OUTPUTS - aliases == set(INPUTS) - {without_dashes, with_brackets}


TYPO, CONFIG = "ckpts/tts/kathlen", "egs/tts/FastSpeech2/exp_config.json"
MISTYPED = [
    ("synthesize", ["--infer_text", "x", "--infer_expt_dir", TYPO], "--infer_expt_dir"),
    ("synthesize", ["--infer_text", "x", "--infer_expt_dir", "ckpts", "--vocoder_dir", TYPO], "--vocoder_dir"),
    ("synthesize", ["--infer_mode", "batch", "--infer_text", TYPO, "--infer_expt_dir", "ckpts"], "--infer_text"),
    ("synthesize", ["--infer_text", "x", "--name", "kathlen", "--config", CONFIG], "--name"),
    ("vocode", ["--infer_expt_dir", TYPO], "--infer_expt_dir"),
    ("train", ["--name", "x", "--config", "y", "--resume_type", "finetune", "--checkpoint", TYPO], "--checkpoint"),
    ("export", ["--bundle", TYPO, "--output_dir", "x", "--format", "bundle"], "--bundle"),
    ("evaluate", ["--made_dir", TYPO, "--output", "x"], "--generated_folder"),
    ("compare", ["--system", "x=ckpts", "--dump_folder", "x", "--speaker_encoder", TYPO], "--speaker_encoder"),
    ("features", [TYPO, "--list"], "folder"),
    (
        "synthesize",
        ["--infer_text", "x", "--infer_expt_dir", "ckpts", "--pitch_function", f"{TYPO}:f"],
        "--pitch_function",
    ),
    ("serve", ["--voice", f"anna={TYPO}"], "--voice anna:"),
]


@pytest.mark.parametrize(
    ("command", "arguments", "flag"),
    [*MISTYPED[:2], *(pytest.param(*case, marks=pytest.mark.slow) for case in MISTYPED[2:])],
)
def test_a_mistyped_path_is_named_before_torch_is_imported(tmp_path, monkeypatch, command, arguments, flag):
    (tmp_path / "torch.py").write_text("raise ImportError('too early')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused, _ = call(command, *arguments)
    assert refused.returncode == 1 and refused.stderr.startswith(f"error: {flag}")
    assert refused.stderr.count("\n") == 1 and "kathlen: there is no such folder or file" in refused.stderr
    assert f"did you mean {'/' if flag == '--name' else 'ckpts/tts/kathleen'}" in refused.stderr


def test_a_python_without_the_packages_is_named_without_a_traceback(tmp_path, monkeypatch):
    (tmp_path / "pydantic.py").write_text("raise ModuleNotFoundError(\"No module named 'pydantic'\", name='pydantic')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused, _ = call("settings", "--config", CONFIG)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(f"error: {sys.executable} has no pydantic; ") and "env.sh" in refused.stderr
    assert "Traceback" in call("settings", "--config", CONFIG, "--debug")[0].stderr


def test_a_python_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(SystemExit, match=r"^error: .* is Python .*, and Recital needs 3\.10 or newer: sh env\.sh "):
        run(lambda arguments: 0, make_parser("bins.x", "Do nothing.", with_config=False))


@pytest.mark.parametrize("command", ["train", "synthesize", "vocode"])
def test_missing_gpus_are_an_error(command):
    import torch

    asked = ",".join(str(number) for number in range(max(torch.cuda.device_count(), 1) + 1))
    config = ["--config", "egs/tts/FastSpeech2/exp_config.json", "--name", "x"]
    extra = ["--infer_text", "x"] if command == "synthesize" else []
    refused = commands.call(f"bins.{command}", *config, "--gpu", asked, *extra)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: --gpu {asked}: asks for") and refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "advice"),
    [
        (None, "next: python -m bins.train --config 'a b.json' --name x --set a=b\n"),
        ("sh run.sh", "next: sh run.sh --stage 2 --name x --set a=b\n"),
        ("", ""),
    ],
)
def test_the_next_stage_is_advised_in_the_form_of_this_call(monkeypatch, capsys, recipe, advice):
    monkeypatch.delenv("RECITAL_RUN", raising=False)
    if recipe is not None:
        monkeypatch.setenv("RECITAL_RUN", recipe)
    say_next(argparse.Namespace(config="a b.json", set=["a=b"]), "bins.train", 2, "--name", "x")
    assert capsys.readouterr().out == advice


def test_results_lie_in_the_folder_of_the_model_or_beside_its_file(tmp_path):
    (tmp_path / "model.pt").touch()
    nothing, given = argparse.Namespace(infer_output_dir=None), argparse.Namespace(infer_output_dir="out")
    assert results_folder(nothing, tmp_path) == results_folder(nothing, tmp_path / "model.pt") == tmp_path / "result"
    assert results_folder(given, tmp_path) == Path("out")


def test_first_gpu_may_be_missing(monkeypatch, capsys):
    import torch

    monkeypatch.setattr(os, "environ", os.environ.copy())
    for found, warned in ((0, "warning: --gpu 0: torch finds no GPU; using the CPU\n"), (1, "")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda found=found: found)
        choose_gpus("0")
        assert capsys.readouterr().err == warned
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(RecitalError, match="--gpu 1: asks for 1 GPU, torch finds 0"):
        choose_gpus("1")


def test_a_device_is_the_only_one_that_torch_sees(monkeypatch):
    import torch

    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device, visible in ((None, None), ("cuda", None), ("cuda:1", "1"), ("cpu", "")):
        make_visible(device)
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
        assert device is None or device_name(device) == device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecitalError, match="--device cuda:3: torch finds no such GPU; --device cpu uses the CPU"):
        make_visible("cuda:3")
    for wrong in ("gpu", "cuda:", "cuda:x", "cpu:0", "cuda\n", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected cpu, cuda"):
            device_name(wrong)


def test_more_processes_than_gpus_are_an_error(monkeypatch):
    import torch

    from utils.gpus import GpuError, require_gpu_per_process

    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for found in (0, 2):
        monkeypatch.setattr(torch.cuda, "device_count", lambda found=found: found)
        require_gpu_per_process()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(GpuError, match="2 processes were launched on a machine where torch finds 1 GPU; launch 1"):
        require_gpu_per_process()
