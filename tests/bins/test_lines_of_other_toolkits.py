"""Lines of commands as other toolkits' READMEs have them, typed as they stand."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bins.command import _with_underscores
from config.load import load_settings
from config.other_toolkits import NVIDIA_FLAGS as FLAGS
from config.other_toolkits import NVIDIA_SWITCHES as SWITCHES
from config.paths import REPOSITORY
from models.bundle import Bundle
from models.bundles.formats import layout_of_format
from models.bundles.layouts import find_foreign
from models.contracts import Prosody
from models.fastpitch.network import FastPitch
from models.hifigan.network import Generator
from models.registry import settings_class
from models.waveglow.network import WaveGlow
from processors.speakers.statistics import SpeakerStatistics, Spread
from processors.text.mixed_symbols import MIXED_INVENTORY
from processors.text.symbols import SymbolTable
from processors.utterance import read_manifest, write_manifest
from tests.support.commands import call
from tests.support.tiny_models import SMALL, TinyModel

DEVSET = "mel\toutput\ttext\nmels/a.pt\twavs/one.wav\tThis is a clip.\nmels/b.pt\ttwo.wav\tAnother one.\n"


def settings_of(config: str, model_type: str, *overrides: str):
    corpus = ("dataset=['tiny']", "dataset_path={tiny: 'none'}")
    layers = [*SMALL[model_type], *corpus, *overrides]
    return load_settings(REPOSITORY / config, layers, settings_class).settings


def write_fastpitch(folder: Path) -> None:
    overrides = ("phone_extractor=mixed", "pitch_scale=hz", "pitch_statistics=corpus", "alignment=textgrid")
    settings = settings_of(
        "config/fastpitch.json", "FastPitch", *(f"preprocess.{each}" for each in overrides),
        "model.durations=stored", "model.speaker_conditioning=none",
    )  # fmt: skip
    spread = Spread(200.0, 50.0, 50.0, 500.0, 100)
    statistics, speakers = {"speaker0": SpeakerStatistics(spread, spread, "hz")}, {"speaker0": 0}
    symbols = SymbolTable(MIXED_INVENTORY)
    network = FastPitch.untrained(settings, symbols, speakers, statistics)
    bundle = Bundle(settings, network.state_dict(), symbols, statistics, speakers)
    layout_of_format("fastpitch").write_published(folder, bundle, None)


def write_waveglow(folder: Path) -> None:
    settings = settings_of("config/waveglow_256.json", "WaveGlow", "model.upsample_kernel_size=512")
    network = WaveGlow.from_settings(settings)
    layout_of_format("waveglow").write_published(folder, Bundle(settings, network.state_dict()), None)


@pytest.fixture(scope="module")
def nvidia(tmp_path_factory):
    """A folder with `output/`, `pretrained_models/` and `phrases/`, as a user of NVIDIA's FastPitch has it."""
    folder = tmp_path_factory.mktemp("nvidia")
    torch.manual_seed(0)
    for path in ("output", "pretrained_models/waveglow", "phrases"):
        (folder / path).mkdir(parents=True)
    write_fastpitch(folder / "output")
    write_waveglow(folder / "pretrained_models" / "waveglow")
    (folder / "phrases" / "devset10.tsv").write_text(DEVSET)
    return folder


def synthesize(folder: Path, line: str):
    words = line.split()
    return call("bins.synthesize", *(folder / word if "/" in word else word for word in words))


@pytest.fixture(scope="module")
def amphion(tmp_path_factory):
    """A trained experiment `ckpts/tts/X`, and a vocoder of Amphion's `ckpts/vocoder/hifigan_ljspeech`."""
    folder = tmp_path_factory.mktemp("amphion")
    tiny = TinyModel("FastSpeech2", folder)
    tiny.train("ckpts/tts/X", 1)
    [first, *_] = read_manifest(tiny.processed_dir / "tiny" / "valid.jsonl")
    for split in ("test", "golden_test"):
        write_manifest(tiny.processed_dir / "tiny" / f"{split}.jsonl", [replace(first, text="This is a clip.")])
    settings = TinyModel("HiFiGAN", folder).settings()
    vocoder = folder / "ckpts" / "vocoder" / "hifigan_ljspeech"
    step = vocoder / "checkpoints" / "epoch-0001_step-0000010_loss-1.5"
    step.mkdir(parents=True)
    torch.save(Generator(settings.model, settings.preprocess.n_mel).state_dict(), step / "pytorch_model.bin")
    values = settings.model_dump(mode="json")
    arguments = {"preprocess": values["preprocess"], "model": {"hifigan": values["model"]}}
    (vocoder / "args.json").write_text(json.dumps(arguments))
    return tiny


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('--infer_mode "batch" --infer_dataset "tiny" --infer_testing_set "test" --vocoder_dir V/checkpoints', ""),
        ('--infer_mode "batch" --infer_dataset "tiny" --infer_testing_set "golden_test" --vocoder_dir V', ""),
        ('--infer_mode "single" --infer_text "This is a clip." --vocoder_dir V', "this_is_a_clip"),
    ],
)
def test_amphions_lines_speak(amphion, tmp_path, line, name):
    vocoder = amphion.folder / "ckpts" / "vocoder" / "hifigan_ljspeech"
    experiment = amphion.folder / "ckpts" / "tts" / "X"
    words = [word.replace("V", str(vocoder)) for word in shlex.split(line)]
    speaker = ["--infer_speaker_name", "a"]  # of the two
    places = ["--infer_expt_dir", experiment, "--infer_output_dir", tmp_path]
    spoken = call("bins.synthesize", *amphion.flags(), *places, *words, *speaker)
    assert spoken.returncode == 0, spoken.stderr
    [made] = tmp_path.glob("*.wav")
    assert made.stem.startswith(name or "utterance") and "Griffin-Lim" not in spoken.stdout


@pytest.mark.slow
def test_nvidias_line_speaks(nvidia):
    line = (
        "--cuda --wn-channels 256 --amp-run --fastpitch output/ --waveglow pretrained_models/waveglow/ "
        "-i phrases/devset10.tsv -o output/wavs_devset10"
    )
    spoken = synthesize(nvidia, line)
    assert spoken.returncode == 0, spoken.stderr
    answers = spoken.stdout.splitlines()[:3]
    assert [answer.partition(":")[0] for answer in answers] == ["--cuda", "--wn-channels", "--amp-run"]
    assert "Griffin-Lim" not in spoken.stdout
    made = nvidia / "output" / "wavs_devset10"
    assert spoken.stdout.endswith(f"wrote 2 recordings with pictures and TextGrids to {made}\n")
    assert (made / "wavs" / "one.wav").is_file() and (made / "two.wav").is_file()


def test_pace_is_nvidias_factor_on_the_speed():
    from bins.speech_flags import prosody_of
    from bins.synthesize import _parser
    from models.inference.symbol_prosody import SynthesisError

    def prosody(*flags):
        return prosody_of(_parser().parse_args(list(flags)))

    assert prosody("--pace", "1.25").pace == 1.25
    assert prosody("--duration_control", "0.8").duration == 0.8
    assert prosody() == Prosody()
    for pace in ("0", "-1", "nan"):
        with pytest.raises(SynthesisError, match="pace"):
            prosody("--pace", pace)
    with pytest.raises(SystemExit) as refused:
        prosody("--pace", "fast")
    assert refused.value.code == 2


def test_flags_without_effect_say_what_replaces_them(capsys):
    from bins.synthesize import _parser

    flags = [f"--{flag}" for flag in SWITCHES] + [part for flag in FLAGS for part in (f"--{flag}", "1")]
    given = _parser().parse_args(["--infer_text", "x", *flags])
    assert given.infer_text == "x" and not {*SWITCHES, *FLAGS} & vars(given).keys()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SWITCHES) + len(FLAGS)
    assert all(line.partition(": ")[2] in {*SWITCHES.values(), *FLAGS.values()} for line in lines)
    assert not {*SWITCHES, *FLAGS} & set(_parser().format_help().split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--infer_text", "x"], "name the model, --infer_expt_dir, or a recipe's --config"),
        (["--infer_text", "x", "--fastpitch", "y", "--name", "z"], "--name needs --config"),
        (["--infer_text", "x", "--fastpitch", "y", "--set", "a=b"], "--set needs --config"),
    ],
)
def test_only_a_model_stands_in_place_of_a_config(arguments, message):
    refused = call("bins.synthesize", *arguments)
    assert refused.returncode == 2 and message in refused.stderr


def test_of_a_folder_the_newest_file_of_a_published_model_counts(nvidia, tmp_path):
    [file] = (nvidia / "pretrained_models" / "waveglow").glob("*.pt")
    for name in ("waveglow_9.pt", "waveglow_10.pt", "waveglow_0.pt"):
        (tmp_path / name).symlink_to(file)
    (tmp_path / "other_11.pt").write_bytes(b"no model")
    assert find_foreign(tmp_path).evidence.file == tmp_path / "waveglow_10.pt"
    (tmp_path / "experiment" / "checkpoints").mkdir(parents=True)
    (tmp_path / "experiment" / "checkpoints" / "waveglow_3.pt").symlink_to(file)
    assert find_foreign(tmp_path / "experiment").evidence.file.name == "waveglow_3.pt"
    (tmp_path / "empty").mkdir()
    assert find_foreign(tmp_path / "empty") is None


def lines_here() -> list[str]:
    """Return the command lines of docs/coming_from.md that are ours: those in the second columns of its tables."""
    page = (REPOSITORY / "docs" / "coming_from.md").read_text(encoding="utf-8")
    cells = [re.split(r"(?<!\\)\|", row)[2] for row in re.findall(r"^\|.*\|.*\|$", page, re.MULTILINE)]
    same = [re.split(r"(?<!\\)\|", row)[1] for row in re.findall(r"^\|.*\| the same \|$", page, re.MULTILINE)]
    return [line for cell in cells + same for line in re.findall(r"`((?:sh egs/|python -m bins\.)[^`]*)`", cell)]


@pytest.mark.slow
def test_the_lines_here_of_those_who_come_from_elsewhere_are_understood(tmp_path):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    lines = lines_here()
    assert len(lines) > 25
    for line in lines:
        program, *words = shlex.split(line)
        if program == "sh":
            done = subprocess.run(
                ["sh", *words], cwd=REPOSITORY, env=os.environ | {"PYTHON": str(stub)}, capture_output=True, text=True
            )
            assert done.returncode == 0, (line, done.stderr)
            calls = [call.split() for call in done.stdout.splitlines() if call.startswith("-m bins.")]
            assert calls, line
        else:
            module = importlib.import_module(words[1])
            module._parser().parse_args(_with_underscores(words[2:]))
