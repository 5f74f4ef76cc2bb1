"""A recipe's run.sh: its flags, its stages, and texts that arrive whole, in every shell at hand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import REPOSITORY

SHELLS = [shell for shell in ("dash", "bash", "ksh", "zsh", "busybox") if shutil.which(shell)] or ["sh"]
# The first shell stands for all in fast runs; the whole suite takes every one.
SHELL_PARAMS = [pytest.param(shell, marks=[pytest.mark.slow] * (shell != SHELLS[0])) for shell in SHELLS]
RECIPE = Path("egs/tts/FastSpeech2")
VOCODER_RECIPE = Path("egs/vocoder/HiFiGAN")
LYRE_RECIPE = Path("egs/vocoder/Lyre")
UNIVNET_RECIPE = Path("egs/vocoder/UnivNet")
WAVEGLOW_RECIPE = Path("egs/vocoder/WaveGlow")
ALIGNER_RECIPE = Path("egs/align")
BASE_RECIPE = Path("egs/base")
VOICE_RECIPE = Path("egs/voice")

# Stands for Python: notes what it is called with, writes the files named by STUB_WRITES where stage 3 writes, and
# fails where the module named by STUB_FAILS is to run.
STUB = f"""#!{sys.executable}
import json, os, pathlib, sys
call = {{"arguments": sys.argv[1:], "directory": os.getcwd(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "own_call": os.environ.get("RECITAL_RUN")}}
with open(os.environ["STUB_CALLS"], "a") as calls:
    calls.write(json.dumps(call) + "\\n")
for name in os.environ.get("STUB_WRITES", "").split() if "--infer_output_dir" in sys.argv else []:
    path = pathlib.Path(sys.argv[sys.argv.index("--infer_output_dir") + 1], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
sys.exit(3 if os.environ.get("STUB_FAILS") in sys.argv else 0)
"""


class House:
    """A copy of the shell side of the project, in a folder whose name has a space."""

    def __init__(self, folder: Path, shell: str, recipe: Path = RECIPE) -> None:
        self.root = folder / "a house"
        self.shell = shell
        self.recipe = self.root / recipe
        shutil.copytree(REPOSITORY / "egs", self.root / "egs")
        shutil.copy(REPOSITORY / "env.sh", self.root)
        shutil.copytree(REPOSITORY / "requirements", self.root / "requirements")
        self.python = folder / "stub python"
        self.python.write_text(STUB)
        self.python.chmod(0o755)
        self.calls_path = folder / "calls.jsonl"

    def run(self, *arguments: str, where: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls_path.unlink(missing_ok=True)
        inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        shell = [self.shell, "sh"] if self.shell == "busybox" else [self.shell]
        return subprocess.run(
            [*shell, str(self.recipe / "run.sh"), *arguments],
            cwd=where or self.root,
            env={**inherited, "PYTHON": str(self.python), "STUB_CALLS": str(self.calls_path), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[dict]:
        import json

        lines = self.calls_path.read_text().splitlines() if self.calls_path.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def modules(self) -> list[str]:
        return [module for call in self.calls for module in call["arguments"] if module.startswith("bins.")]


@pytest.fixture(params=SHELL_PARAMS)
def house(request, tmp_path) -> House:
    return House(tmp_path, request.param)


@pytest.fixture(params=SHELL_PARAMS)
def vocoder_house(request, tmp_path) -> House:
    return House(tmp_path, request.param, VOCODER_RECIPE)


@pytest.fixture(
    params=[
        pytest.param((shell, recipe), marks=[pytest.mark.slow] * (shell != SHELLS[0]))
        for shell in SHELLS
        for recipe in (RECIPE, VOCODER_RECIPE, ALIGNER_RECIPE, BASE_RECIPE)
    ],
    ids=str,
)
def any_house(request, tmp_path) -> House:
    return House(tmp_path, *request.param)


def value_of(call: dict, flag: str) -> str:
    arguments = call["arguments"]
    return arguments[arguments.index(flag) + 1]


def flags_of(recipe: Path) -> list[str]:
    folder = REPOSITORY / recipe
    run = (folder / "run.sh").read_text()
    sourced = [folder / name for name in re.findall(r'^\. "\$recipe_dir/(\S+)"$', run, re.MULTILINE)]
    if "common_flags()" in run:  # in place of the driver's
        sourced = []
    source = "".join([run, *(script.read_text() for script in sourced)])
    flags = re.findall(r"^(\w+)\|[^|\n]+\|[^|\n]+\|", source, re.MULTILINE)
    others = ["mirror"] if "corpus_flags()" in run else []
    if "last_stage=3" in run:  # has nothing to evaluate
        others += ["dump_folder", "metrics", "whisper_model"]
    return [flag for flag in flags if flag not in others]


STAGES = {0: "bins.download", 1: "bins.preprocess", 2: "bins.train", 3: "bins.synthesize", 4: "bins.evaluate"}
STAGES_OF = {
    RECIPE: STAGES,
    VOCODER_RECIPE: {**STAGES, 3: "bins.vocode"},
    LYRE_RECIPE: {**STAGES, 3: "bins.vocode"},
    UNIVNET_RECIPE: {**STAGES, 3: "bins.vocode"},
    WAVEGLOW_RECIPE: {**STAGES, 3: "bins.vocode"},
    ALIGNER_RECIPE: {**{stage: STAGES[stage] for stage in range(3)}, 3: "bins.align"},
    BASE_RECIPE: {**STAGES, 0: "bins.make_teacher_corpus"},
}
DEMO_STAGES = {recipe: [stages[number] for number in (1, 2, 3)] for recipe, stages in STAGES_OF.items()}


@pytest.mark.parametrize(
    ("stages", "ran"),
    [
        ("0", [0]),
        ("1", [1]),
        ("2", [2]),
        ("3", [3]),
        ("0-3", [0, 1, 2, 3]),
        ("1-3", [1, 2, 3]),
        ("2-3", [2, 3]),
        ("2-2", [2]),
        ("3-4", [3, 4]),
        ("4", [4]),
        ("all", [0, 1, 2, 3, 4]),
    ],
)
def test_stages_run_in_order(house, stages, ran):
    done = house.run("--stage", stages, "--name", "voice", "--infer_text", "Hello.")
    assert done.returncode == 0, done.stderr
    assert house.modules == [STAGES[stage] for stage in ran]


def test_stage_has_a_short_flag(house):
    assert house.run("-s", "1").returncode == 0
    assert house.modules == ["bins.preprocess"]


@pytest.mark.parametrize("stages", ["9", "0-5", "5", "3-1", "1-", "-1", "1-9", "x", "", "1 2", "all-3", "11", "1-3-2"])
def test_an_impossible_stage_is_wrong_usage(house, stages):
    done = house.run("--stage", stages)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --stage")
    assert house.calls == []


@pytest.fixture(params=SHELL_PARAMS)
def base_house(request, tmp_path) -> House:
    return House(tmp_path, request.param, BASE_RECIPE)


def test_the_base_begins_with_a_teachers_corpus(base_house, tmp_path):
    (tmp_path / "texts.txt").touch()
    asked = ("--name", "base", "--texts", "texts.txt", "--infer_text", "Hello.")
    done = base_house.run("--stage", "all", *asked, where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert base_house.modules == [STAGES_OF[BASE_RECIPE][stage] for stage in range(5)]
    corpus = base_house.calls[0]
    assert value_of(corpus, "--texts") == str(tmp_path / "texts.txt")
    assert value_of(corpus, "--hours") == "7"
    python, option, script, table = shlex.split(value_of(corpus, "--teacher"))
    assert (python, option, table) == (str(base_house.python), "-c", "{table}")
    compile(script, "script", "exec")
    assert value_of(corpus, "--licence") == "Apache-2.0" and "Kokoro" in value_of(corpus, "--teacher_name")
    assert not {"--texts", "--teacher", "--hours"} & {
        part for call in base_house.calls[1:] for part in call["arguments"]
    }


@pytest.fixture(params=SHELL_PARAMS)
def voice_house(request, tmp_path) -> House:
    return House(tmp_path, request.param, VOICE_RECIPE)


def settings_of(call: dict) -> list[str]:
    arguments = call["arguments"]
    return [arguments[place + 1] for place, flag in enumerate(arguments) if flag == "--set"]


def test_a_voice_is_made_by_one_command(voice_house, tmp_path):
    (tmp_path / "mine.json").touch()
    values = ("train.max_steps=9", "vocoder.train.max_steps=7", "sharpen.train.max_steps=8", "preprocess.f0_max=400")
    chosen = [part for value in values for part in ("--set", value)]
    asked = ("--name", "my voice", "--config", "mine.json", "--voices_dir", "made", *chosen)
    done = voice_house.run("--stage", "all", *asked, where=tmp_path)
    assert done.returncode == 0, done.stderr
    acoustic = ["bins.preprocess", "bins.train", "bins.train", "bins.predict_mels"]
    speaking = ["bins.export", "bins.vocode", "bins.synthesize", "bins.evaluate"]
    assert voice_house.modules == ["bins.preprocess", *acoustic, "bins.train", *speaking]
    folder = f"log_dir={tmp_path / 'made' / 'my voice'}"
    features, vocoder_features, training, sharpening, predicting, vocoder_training, export, *_ = voice_house.calls
    for call in (features, training, predicting):
        assert value_of(call, "--config") == str(tmp_path / "mine.json") and "--data_config" not in call["arguments"]
        assert settings_of(call) == [folder, "train.max_steps=9", "preprocess.f0_max=400"]
    for call, name, steps in (
        (vocoder_features, "vocoder", 7),
        (sharpening, "sharpen", 8),
        (vocoder_training, "vocoder", 7),
    ):
        assert value_of(call, "--config") == str(voice_house.recipe / f"{name}.json")
        assert value_of(call, "--data_config") == str(tmp_path / "mine.json")
        assert settings_of(call) == [folder, f"train.max_steps={steps}", "preprocess.f0_max=400"]
    assert value_of(sharpening, "--checkpoint") == str(tmp_path / "made" / "my voice" / "smooth")
    assert (value_of(sharpening, "--name"), value_of(predicting, "--name")) == ("acoustic", "acoustic")
    assert value_of(training, "--checkpoint").endswith("ckpts/tts/english_base")
    assert value_of(vocoder_training, "--checkpoint").endswith("ckpts/vocoder/lyre")
    assert value_of(export, "--output_dir") == str(tmp_path / "made" / "my voice" / "bundle")
    assert [call["own_call"] for call in voice_house.calls[:-1]] == [""] * 9


def test_a_voice_that_has_begun_is_resumed_and_none_starts_from_nothing(voice_house):
    for name in ("smooth", "acoustic"):
        (voice_house.root / "ckpts/voices/a" / name / "checkpoint").mkdir(parents=True)
    for arguments in (("--name", "a"), ("--name", "b", "--base_dir", "none")):
        assert voice_house.run("-s", "2", *arguments).returncode == 0
        assert "--checkpoint" not in voice_house.calls[0]["arguments"]


def test_a_voice_speaks_one_text(voice_house):
    done = voice_house.run("-s", "5", "--name", "a", "--infer_mode", "single", "--infer_text", "Hello, it's me.")
    assert done.returncode == 0 and voice_house.modules == ["bins.export", "bins.synthesize"], done.stderr
    assert value_of(voice_house.calls[1], "--infer_text") == "Hello, it's me."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-s", "0", "--name", "a"), "--stage 0: the stages are 1 to 5"),
        (("-s", "3"), "stage 3 needs --name"),
        (("-s", "5", "--name", "a", "--infer_mode", "single"), "--infer_mode single needs --infer_text"),
        (("--demo",), "this recipe has no demo"),
        (("-s", "2", "--name", "a", "--checkpoint", "x"), "unknown flag --checkpoint"),
    ],
)
def test_a_voice_asked_for_wrongly_is_wrong_usage(voice_house, arguments, message):
    done = voice_house.run(*arguments)
    assert (done.returncode, voice_house.calls) == (2, []) and done.stderr.startswith(f"error: {message}")


def test_another_teacher_has_to_be_named_by_the_user(base_house):
    base_house.run("-s", "0", "--texts", "t", "--teacher", "say {output}", "--hours", "0.5")
    corpus = base_house.calls[0]
    assert (value_of(corpus, "--teacher"), value_of(corpus, "--hours")) == ("say {output}", "0.5")
    assert not {"--teacher_name", "--licence"} & set(corpus["arguments"])


def test_a_corpus_without_texts_is_wrong_usage(base_house):
    done = base_house.run("-s", "0")
    assert (done.returncode, base_house.calls) == (2, [])
    assert done.stderr.startswith("error: stage 0 needs --texts")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stage", "1", "--nmae", "x"],
        ["--stage", "1", "--nam=x"],
        ["--stage", "1", "x"],
        ["--stage", "1", "-x"],
        ["--stage", "1", "--"],
        ["--stage", "1", "--set|value", "x"],
        ["--stage", "1", "--.*", "x"],
        ["--stage", "1", "--name\nexit", "x"],
        ["--stage"],
        ["--stage", "1", "--name"],
        ["--stage", "2", "--name", "--gpu", "0"],
        ["--stage", "1", "--set"],
        ["--stage", "1", "--set", "train.batch_size"],
        ["--stage", "1", "--num_workers", "two"],
        ["--stage", "2", "--gpu", "0;1"],
        ["--stage", "2", "--gpu", "0,"],
        ["--stage", "2", "--resume_type", "again"],
        ["--stage", "3", "--infer_mode", "many"],
        ["--stage", "1-2", "--name", "voice", "--shard", "1/2"],
        ["--stage", "1-3", "--infer_text", "Hello."],  # would learn after stage 1 that stage 2 needs a name
        ["--stage", "1-3", "--name", "voice"],  # would have nothing to say at the end
        [],
    ],
)
def test_wrong_usage_ends_before_anything_runs(house, arguments):
    done = house.run(*arguments)
    assert done.returncode == 2
    assert re.match(r"error: .*--help\n\Z", done.stderr, re.DOTALL), done.stderr
    assert done.stdout == ""
    assert house.calls == []


def test_help_lists_every_flag_with_its_default(any_house):
    done = any_house.run("--help", PYTHON="/nowhere/python")  # and needs no environment
    assert (done.returncode, done.stderr) == (0, "")
    flags = flags_of(any_house.recipe.relative_to(any_house.root))
    assert len(flags) > 12
    for flag in flags:
        assert re.search(rf"^  --{flag} [A-Z].*\n .*\[default: .+\]$", done.stdout, re.MULTILINE), flag
    for switch in ("--overwrite", "--debug", "--demo", "--help"):
        assert f"  {switch}" in done.stdout
    assert any_house.run("-h").stdout == done.stdout


@pytest.mark.parametrize("recipe", [*STAGES_OF, VOICE_RECIPE], ids=str)
def test_the_readme_lists_the_same_flags(recipe):
    _, readme = (REPOSITORY / recipe / "README.md").read_text(encoding="utf-8").split("\n## Flags\n")
    listed = re.findall(r"^\| `--(\w+)", readme, re.MULTILINE)
    demo = ["demo"] if (REPOSITORY / recipe / "demo.json").is_file() else []
    assert sorted(listed) == sorted([*flags_of(recipe), *demo, "overwrite", "debug", "help"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--infer_mode", "single"],
        ["--infer_mode", "infer_from_audio"],
        ["--infer_mode", "infer_from_feature"],
        ["--infer_mode", "infer_from_audio", "--infer_audio_dir", "x", "--infer_testing_set", "test"],
        ["--infer_audio_dir", "x"],
        ["--precision", "fp8"],
        ["--infer_text", "x"],
    ],
)
def test_impossible_uses_of_the_vocoder_are_refused_before_training(vocoder_house, arguments):
    done = vocoder_house.run("--stage", "all", "--name", "voice", *arguments)
    assert done.returncode == 2
    assert re.match(r"error: .*--help\n\Z", done.stderr, re.DOTALL), done.stderr
    assert vocoder_house.calls == []


def test_the_vocoders_folders_are_looked_up_from_where_the_user_stands(vocoder_house, tmp_path):
    (tmp_path / "sounds").mkdir()
    flags = ["--infer_mode", "infer_from_audio", "--infer_audio_dir", "sounds", "--infer_output_dir", "out"]
    vocoder_house.run("-s", "3", "--name", "voice", *flags, where=tmp_path)
    assert value_of(vocoder_house.calls[0], "--infer_audio_dir") == str(tmp_path / "sounds")
    assert value_of(vocoder_house.calls[0], "--infer_output_dir") == str(tmp_path / "out")


def test_several_corpora_arrive_as_one_text(vocoder_house):
    vocoder_house.run("-s", "3", "--name", "voice", "--infer_datasets", "one two,three")
    assert value_of(vocoder_house.calls[0], "--infer_datasets") == "one two,three"


TEXTS = ["two words", 'it\'s "quoted"', "$HOME `date` $(date) \\n", "*", "first\nsecond\n", "", "-5", "{a,b}; true & |"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_arrive_whole(house, text):
    done = house.run("-s", "3", "--infer_text", text, "--set", f"dataset={text}", "--name", "a b")
    assert done.returncode == 0, done.stderr
    assert value_of(house.calls[0], "--infer_text") == text
    assert value_of(house.calls[0], "--set") == f"dataset={text}"


def test_a_value_may_begin_with_dashes_behind_an_equals_sign(house):
    house.run("-s", "3", "--infer_text=--hello = there")
    assert value_of(house.calls[0], "--infer_text") == "--hello = there"


def test_set_may_be_repeated_and_keeps_its_order(house):
    layers = [f"train.seed={i}" for i in range(12)]
    house.run("-s", "1", *(part for layer in layers for part in ("--set", layer)))
    arguments = house.calls[0]["arguments"]
    assert [arguments[i + 1] for i, part in enumerate(arguments) if part == "--set"] == layers


def test_a_flag_given_twice_takes_its_last_value(house):
    house.run("-s", "2", "--name", "first", "--name", "second")
    assert house.calls[0]["arguments"].count("--name") == 1
    assert value_of(house.calls[0], "--name") == "second"


def test_flags_that_were_not_given_are_not_passed_on(house):
    house.run(
        "-s", "3", "--infer_mode", "batch", flag_infer_text="from the environment", sets="3", debug="yes", demo="yes"
    )
    assert house.modules == ["bins.synthesize"]
    assert [part for part in house.calls[0]["arguments"] if part.startswith("--")] == ["--config", "--infer_mode"]


def test_runs_from_any_directory(house, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "mine.json").write_text("{}")
    done = house.run("-s", "1", "--config", "mine.json", where=elsewhere, CDPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert house.calls[0]["directory"] == str(house.root)
    assert value_of(house.calls[0], "--config") == str(elsewhere / "mine.json")


def test_a_relative_path_is_looked_up_here_and_then_from_the_root(house, tmp_path):
    (house.root / "ckpts" / "voice").mkdir(parents=True)
    house.run(
        "-s", "3", "--infer_text=x", "--infer_expt_dir", "ckpts/voice", "--infer_output_dir", "out", where=tmp_path
    )
    assert value_of(house.calls[0], "--infer_expt_dir") == str(house.root / "ckpts/voice")
    assert value_of(house.calls[0], "--infer_output_dir") == str(tmp_path / "out")


def test_the_recipes_own_settings_are_the_default(house):
    house.run("-s", "1", where=house.recipe)
    assert value_of(house.calls[0], "--config") == str(house.recipe / "exp_config.json")


def test_a_failing_stage_ends_the_run_with_its_code(house):
    done = house.run("--stage", "all", "--name", "voice", "--infer_text=x", STUB_FAILS="bins.train")
    assert done.returncode == 3
    assert house.modules == ["bins.download", "bins.preprocess", "bins.train"]
    assert "stage 2" in done.stderr


def test_gpus_decide_the_number_of_processes(house):
    house.run("-s", "2", "--name", "voice", "--gpu", "0,2", "--main_process_port", "29512")
    call = house.calls[0]
    assert call["gpus"] == "0,2"
    assert value_of(call, "--num_processes") == "2"
    assert value_of(call, "--main_process_port") == "29512"
    assert "--multi_gpu" in call["arguments"]


@pytest.mark.parametrize(("flags", "gpus"), [([], None), (["--gpu", "3"], "3"), (["--gpu", ""], "")])
def test_one_process_needs_no_launcher(house, flags, gpus):
    house.run("-s", "2", "--name", "voice", "--debug", *flags)
    assert house.calls[0]["gpus"] == gpus
    config = str(house.recipe / "exp_config.json")
    assert house.calls[0]["arguments"] == ["-m", "bins.train", "--config", config, "--name", "voice", *flags, "--debug"]


def test_the_flags_of_the_launcher_stand_before_the_command(house):
    house.run("-s", "2", "--gpu", "0,1", "--name", "voice")
    arguments = house.calls[0]["arguments"]
    assert arguments[:2] == ["-m", "utils.launch"]
    config = str(house.recipe / "exp_config.json")
    assert arguments[-8:] == ["-m", "bins.train", "--config", config, "--name", "voice", "--gpu", "0,1"]


@pytest.mark.parametrize(
    ("where", "flags", "own_call"),
    [
        ("", (), "sh egs/tts/FastSpeech2/run.sh"),
        ("egs/tts/FastSpeech2", (), "sh run.sh"),
        ("egs", ("--config", "x.json"), "sh tts/FastSpeech2/run.sh --config '{root}/egs/x.json'"),
        ("../", (), "sh 'a house/egs/tts/FastSpeech2/run.sh'"),
        ("egs/vocoder", (), "sh '{root}/egs/tts/FastSpeech2/run.sh'"),
    ],
)
def test_commands_advise_the_recipes_own_call_from_the_users_folder(house, where, flags, own_call):
    house.run("--stage", "1", *flags, where=(house.root / where).resolve())
    assert house.calls[0]["own_call"] == own_call.format(root=house.root)


def test_no_stage_is_advised_where_it_follows_by_itself(house):
    house.run("--stage", "1-2", "--name", "voice")
    assert [call["own_call"] for call in house.calls] == ["", "sh egs/tts/FastSpeech2/run.sh"]


def test_the_last_stage_takes_the_shells_place(house):
    # Else a signal for the run would end the shell and leave training behind.
    house.python.write_text(f"#!{sys.executable}\nimport os; print(os.getppid(), end='')\n")
    assert house.run("-s", "2", "--name", "voice").stdout == str(os.getpid())


def test_the_demo_makes_its_corpus_and_runs_every_stage(house, tmp_path):
    done = house.run("--demo", where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert house.modules == ["bins.synthesize", "bins.make_demo_corpus", *DEMO_STAGES[RECIPE]]
    demo = house.root / "data" / "demo"
    first, corpus, *stages = house.calls
    assert value_of(first, "--infer_expt_dir") == str(house.root / "ckpts" / "tts" / "kathleen")
    assert value_of(first, "--infer_output_dir") == str(demo / "FastSpeech2" / "first" / "result")
    assert value_of(corpus, "--output_dir") == str(demo / "corpus")
    for call in stages:
        assert value_of(call, "--config") == str(house.recipe / "demo.json")
    assert value_of(stages[2], "--infer_text")
    assert value_of(stages[2], "--infer_output_dir") == str(demo / "FastSpeech2" / "result")
    assert "egs/serve/run.sh' --voice demo=data/demo/FastSpeech2/demo\n" in done.stdout


def test_the_vocoders_demo_copies_the_test_set(vocoder_house, tmp_path):
    done = vocoder_house.run("--demo", where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert vocoder_house.modules == ["bins.make_demo_corpus", "bins.preprocess", "bins.train", "bins.vocode"]
    for call in vocoder_house.calls[1:]:
        assert value_of(call, "--config") == str(vocoder_house.recipe / "demo.json")
    assert "--infer_mode" not in vocoder_house.calls[3]["arguments"]


def test_the_demo_of_waveglow_states_what_speech_takes(tmp_path):
    done = House(tmp_path, SHELLS[0], WAVEGLOW_RECIPE).run("--demo")
    assert done.returncode == 0 and "makes noise. For speech it takes 580,000 steps" in done.stdout, done.stderr


@pytest.mark.slow
def test_demos_share_the_corpus_and_spare_each_others_results(house):
    assert house.run("--demo", STUB_WRITES="said.wav").returncode == 0
    demo = house.root / "data" / "demo"
    (demo / "corpus").mkdir()
    (demo / "corpus" / "metadata.csv").touch()
    house.recipe = house.root / VOCODER_RECIPE
    for corpus in ([], ["bins.make_demo_corpus"]):  # the second begins anew
        assert house.run("--demo", STUB_WRITES="pred/a.wav").returncode == 0
        assert house.modules == [*corpus, *DEMO_STAGES[VOCODER_RECIPE]]
    assert sorted(path.relative_to(demo).as_posix() for path in demo.rglob("*.wav")) == [
        "FastSpeech2/first/result/said.wav",
        "FastSpeech2/result/said.wav",
        "HiFiGAN/result/pred/a.wav",
    ]


def test_a_demo_continued_does_not_meet_its_own_results(vocoder_house):
    result = vocoder_house.root / "data" / "demo" / "HiFiGAN" / "result"
    result.mkdir(parents=True)
    (result / "half.wav").touch()
    assert vocoder_house.run("--demo").returncode == 0
    assert not (result / "half.wav").exists()


def test_the_demo_ends_by_naming_what_it_made(house):
    result = house.root / "data" / "demo" / "FastSpeech2" / "result"
    done = house.run("--demo", STUB_WRITES="said.wav said.png said.TextGrid")
    assert f"{result}/said.wav\n" in done.stdout
    assert f"{result}/said.png\n" in done.stdout


@pytest.mark.slow
def test_an_interrupted_demo_is_continued_and_a_finished_one_starts_over(house):
    corpus = house.root / "data" / "demo" / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "metadata.csv").touch()
    assert house.run("--demo", STUB_WRITES="said.wav", STUB_FAILS="bins.train").returncode == 3
    assert (corpus / "metadata.csv").exists()
    assert house.run("--demo").returncode == 0
    assert house.modules == DEMO_STAGES[RECIPE]
    house.run("--demo")
    assert house.modules == ["bins.synthesize", "bins.make_demo_corpus", *DEMO_STAGES[RECIPE]]


def test_dashes_in_flags_are_underscores(house):
    assert house.run("--stage", "3", "--infer-text", "a-b --c", "--vocoder-dir=x-y").returncode == 0
    [call] = house.calls
    assert value_of(call, "--infer_text") == "a-b --c"
    assert value_of(call, "--vocoder_dir").endswith("x-y")


def test_a_link_to_a_recipe_runs_it(tmp_path):
    (tmp_path / "speak.sh").symlink_to(REPOSITORY / RECIPE / "run.sh")
    (tmp_path / "again.sh").symlink_to("speak.sh")
    for shell in SHELLS:
        command = [shell, str(tmp_path / "again.sh"), "--help"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "--infer_text" in done.stdout


OF_A_DATASET = ["infer_datasets", "infer_testing_set", "infer_mel_source"]
OF_OTHER_MELS = ["infer_feature_dir", "infer_audio_dir", "mel_scale"]


@pytest.mark.parametrize(
    ("recipe", "stage", "mode", "others"),
    [
        *((RECIPE, stage, "batch", ["device"]) for stage in STAGES),
        (RECIPE, 3, "batch", ["gpu"]),
        (ALIGNER_RECIPE, 3, "", ["infer_mode"]),
        (VOCODER_RECIPE, 3, "infer_from_dataset", OF_OTHER_MELS),
        (VOCODER_RECIPE, 3, "infer_from_feature", [*OF_A_DATASET, "infer_audio_dir"]),
        (VOCODER_RECIPE, 3, "infer_from_audio", [*OF_A_DATASET, "infer_feature_dir", "mel_scale"]),
        (LYRE_RECIPE, 3, "infer_from_dataset", OF_OTHER_MELS),
    ],
)
def test_the_commands_know_every_flag_that_is_passed_on(tmp_path, recipe, stage, mode, others):
    house = House(tmp_path, SHELLS[0], recipe)
    given = {"stage": str(stage), "set": "a=b", "resume_type": "resume", "infer_mode": mode, "num_workers": "1"}
    given |= {
        "gpu": "0",
        "main_process_port": "1",
        "precision": "bf16",
        "infer_mel_source": "predicted",
        "mel_scale": "log10",
        "sigma": "0.6",
        "device": "cpu",
        "denoising_strength": "0.01",
    }
    flags = [flag for flag in flags_of(recipe) if flag not in others and (flag != "shard" or stage < 2)]
    house.run("--debug", "--overwrite", *(f"--{flag}={given.get(flag, 'x')}" for flag in flags))
    [call] = house.calls
    passed = [part for part in call["arguments"] if part.startswith("--")]
    command = [sys.executable, "-m", STAGES_OF[recipe][stage], "--help"]
    described = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    known = re.findall(r"(?<!\S)--\w+", described)
    assert len(passed) > 3
    assert sorted(set(passed) - set(known)) == []
