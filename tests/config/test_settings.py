"""Settings: merging of layers, and errors that list every problem."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from config import other_toolkits
from config.load import (
    SettingsError,
    describe,
    differing_settings,
    load_settings,
    nearest,
    read_settings,
    write_settings,
)
from config.paths import REPOSITORY
from config.schema import Contradiction, ExperimentSettings, Settings, TrainSettings, setting
from models.registry import MODELS, settings_class
from tests.support.commands import call
from utils.errors import RecitalError


class ToyModel(Settings):
    upsample_rates: tuple[int, ...] = setting("factors", min_length=1)
    dropout: float = setting("share of units dropped", ge=0, lt=1)


class ToyTrain(TrainSettings):
    learning_rate: float = setting("peak learning rate", gt=0)


class ToySettings(ExperimentSettings):
    model: ToyModel = setting("the network")
    train: ToyTrain = setting("training")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        product = 1
        for rate in self.model.upsample_rates:
            product *= rate
        if product != self.preprocess.hop_size:
            yield Contradiction(("model.upsample_rates", "preprocess.hop_size"), f"multiply to {product}")


def schema_of(model_type: str) -> type[ExperimentSettings]:
    if model_type != "Toy":
        raise RecitalError(f"{model_type} is unknown; known: Toy")
    return ToySettings


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "exp_config.json"

    def write(**changes):
        content = {
            "base_config": "config/base.json",
            "model_type": "Toy",
            "dataset": ["mine"],
            "dataset_path": {"mine": "somewhere"},
            "model": {"upsample_rates": [8, 8, 4], "dropout": 0.5},
            "train": {"max_steps": 5, "learning_rate": 0.001},
        }
        for name, value in changes.items():
            content[name] = {**content[name], **value} if isinstance(content.get(name), dict) else value
        path.write_text("// a comment\n" + json.dumps(content))
        return path

    return write


def problems(path, *overrides, schema_of=schema_of):
    with pytest.raises(SettingsError) as caught:
        load_settings(path, overrides, schema_of)
    return str(caught.value)


def test_objects_merge_lists_are_replaced_and_set_overrides(config):
    resolved = load_settings(config(), ["train.batch_size=8", "preprocess.alignment=textgrid"], schema_of)
    assert resolved.settings.preprocess.n_fft == 1024
    assert resolved.settings.train.batch_size == 8
    assert resolved.settings.preprocess.alignment == "textgrid"
    assert resolved.settings.model.upsample_rates == (8, 8, 4)
    assert resolved.sources["preprocess.n_fft"] == "config/base.json"
    assert resolved.sources["train.batch_size"] == "--set train.batch_size=8"
    assert resolved.sources["model.dropout"].endswith("exp_config.json")


def test_settings_are_frozen(config):
    settings = load_settings(config(), [], schema_of).settings
    with pytest.raises(ValueError):
        settings.train.batch_size = 3


def test_every_problem_is_listed_with_file_name_value_and_suggestion(config):
    message = problems(
        config(
            train={"max_steps": 5, "learning_rate": 0.001, "batchsize": 8, "seed": "7"},
            preprocess={"fmax": 20000, "pitch_extractor": "parselmuth"},
            dataset_path={"mine": ""},
        ),
        "train.log_every_steps=0",
        "train.hop_size=3",
    )
    assert "6 problems" in message or "7 problems" in message
    for expected in (
        "did you mean train.batch_size?",
        'exp_config.json: train.seed: found "7"',
        "preprocess.fmax: 20000 Hz is above half of sample_rate",
        "did you mean parselmouth?",
        "--set train.log_every_steps=0: train.log_every_steps: found 0",
        "did you mean preprocess.hop_size?",
    ):
        assert expected in message, message


def test_contradicting_settings_are_refused(config):
    assert "model.upsample_rates: multiply to 128" in problems(config(model={"upsample_rates": [8, 8, 2]}))
    assert "training would never end" in problems(config(train={"max_steps": 0, "learning_rate": 0.1}))
    assert 'no folder for the dataset "LJSpeech"' in problems(config(dataset=["LJSpeech"]))


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".."])
def test_a_dataset_whose_name_cannot_be_a_folder_is_refused(config, name):
    assert "cannot be the name of a folder" in problems(config(dataset=[name], dataset_path={name: "x"}))


def test_a_dataset_does_not_share_the_aligners_folder(config):
    assert "rename the corpus" in problems(config(dataset=["aligner"], dataset_path={"aligner": "x"}))


def test_mfa_is_refused_for_letters(config):
    wishes = {"alignment": "mfa", "mfa_dictionary": "x", "mfa_acoustic_model": "x", "phone_extractor": "char"}
    assert "choose learned" in problems(config(), *(f"preprocess.{name}={value}" for name, value in wishes.items()))


def test_a_misspelt_corpus_gets_a_suggestion(config):
    assert "did you mean mine?" in problems(config(dataset=["mien"]))
    for name in ("dataset_weight", "dataset_subset"):
        value = 2.0 if name == "dataset_weight" else ["a"]
        assert "does not name mien; did you mean mine?" in problems(config(**{name: {"mien": value}}))
    both = {"mine": "data/mine", "yours": "data/yours"}
    load_settings(
        config(dataset_path=both, dataset_weight={"yours": 2.0}, dataset_subset={"yours": ["a"]}), [], schema_of
    )
    assert 'must be a list, as ["mine"] is' in problems(config(), "dataset=mine")


def test_a_bool_or_text_is_not_taken_for_a_number(config):
    assert "train.batch_size: found true" in problems(config(), "train.batch_size=true")
    assert "train.batch_size: found 1.5" in problems(config(), "train.batch_size=1.5")


def test_missing_settings_are_named_with_their_meaning(config):
    path = config()
    path.write_text(path.read_text().replace('"learning_rate": 0.001', '"max_epochs": 3'))
    assert "train.learning_rate: is missing: peak learning rate" in problems(path)


def test_files_that_cannot_be_read_are_named(config, tmp_path):
    assert "no such config file" in problems(tmp_path / "nowhere.json")
    assert "base_config: there is no file" in problems(config(base_config="config/bsae.json"))
    broken = tmp_path / "broken.json"
    broken.write_text("{ dataset: [ }")
    assert "broken.json: is not JSON5" in problems(broken)
    broken.write_text("[1]")
    assert "must hold an object" in problems(broken)
    broken.write_text('{model_type: "Toy", model_type: "Toy"}')
    assert "model_type" in problems(broken)


def test_names_of_other_toolkits_are_answered_all_at_once(config):
    path = config(
        base_config="config/fs2.json",
        preprocess={"use_mel": True, "extract_duration": True},
        train={"max_epoch": 100, "gradient_accumulation_step": 2, "adamw": {"lr": 0.1}, "save_step": 5},
    )
    message = problems(path)
    for expected in (
        "base_config: config/fs2.json is config/fastspeech2.json here",
        "preprocess.use_mel: is not needed",
        "preprocess.extract_duration: is not needed",
        "train.max_epoch: is train.max_epochs here",
        "train.gradient_accumulation_step: is train.gradient_accumulation_steps here",
        "train.adamw: is train.learning_rate, train.adam_betas and train.adam_eps here",
        "train.save_step: is train.save_every_steps here",
    ):
        assert expected in message, message


AMPHION = {
    "base_config": "egs/vocoder/gan/exp_config_base.json",
    "model_type": "GANVocoder",
    "task_type": "vocoder",
    "preprocess": {
        **dict.fromkeys(("extract_mel", "extract_audio", "extract_pitch", "use_mel", "use_audio", "use_uv"), True),
        "pitch_extractor": "pyworld",
        "mel_dir": "mels",
        "trim_top_db": 30,
        "cut_mel_frame": 32,
        "normalizers": "rules",
    },
    "model": {"generator": "hifigan", "hifigan": {"resblock": "2"}},
    "train": {"adamw": {"lr": 2e-4}, "criterions": ["mel"], "keep_last": [3]},
}


def test_a_whole_file_of_another_toolkit_is_answered_at_once(tmp_path):
    path = tmp_path / "exp_config.json"
    path.write_text(json.dumps(AMPHION | {"dataset": ["a"], "dataset_path": {"a": "b"}}))
    found = problems(path, schema_of=settings_class)
    for expected in (
        "base_config: egs/vocoder/gan/exp_config_base.json is config/hifigan_v1.json here",
        "model_type: GANVocoder is HiFiGAN here",
        "preprocess.extract_mel, preprocess.extract_audio, preprocess.extract_pitch, preprocess.use_mel, "
        "preprocess.use_audio, preprocess.use_uv: is not needed",
        "'dio', 'harvest' or 'pyin'; pyworld's are dio and harvest",
        "preprocess.mel_dir: is not needed: stage 1",
        "preprocess.trim_top_db: is preprocess.trim_silence",
        "preprocess.normalizers: there is no such setting; did you mean preprocess.normalizer?",
        "model.hifigan: is no section",
        "train.criterions: is not needed",
        "train.keep_last: found [3]: must be a valid integer",
    ):
        assert expected in found, found
    assert found.startswith(f"{found.count(chr(10))} problems in the settings:\n")


def test_values_are_suggested_in_any_case():
    config = REPOSITORY / "egs/tts/FastSpeech2/exp_config.json"
    assert problems(config, "train.optimizer=AdamW", schema_of=settings_class).endswith("; did you mean adamw?")


def test_names_here_that_answers_give_exist():
    """Whatever an answer calls a setting, some model has."""
    known = {name for model in MODELS for name, _ in describe(settings_class(model))}
    for name, answer in other_toolkits._NAMES.items():
        section = name.partition(".")[0]
        for named in re.findall(r"(?:train|model|preprocess)\.\w+", answer):
            assert named in known, (name, named)
        assert name not in known or section == name
    for file in other_toolkits._FILES.values():
        assert (REPOSITORY / file).is_file()


def test_a_fragment_is_told_what_to_refine(tmp_path):
    path = tmp_path / "part.json"
    path.write_text('{dataset: ["a"]}')
    assert 'as in base_config: "config/fastspeech2.json"' in problems(path)
    path.write_text('{model_type: "HiFiGAN", dataset: ["a"], train: {batch_size: 4}}')
    found = problems(path, schema_of=settings_class)
    assert "base_config: is missing; preprocess, model and other settings" in found
    assert found.endswith('as in base_config: "config/fastspeech2.json"')


def test_base_config_in_a_circle_is_refused(config, tmp_path):
    path = config(base_config=str(tmp_path / "exp_config.json"))
    assert "goes in a circle" in problems(path)


def test_a_list_of_bases_is_merged_in_order_each_file_once(config, tmp_path):
    """Both bases refine config/base.json, which does not undo what the first has set."""
    files = {"one.json": {"hop_size": 128, "n_mel": 40}, "two.json": {"hop_size": 512}, "three.json": {"fmax": 7000}}
    bases = {"one.json": "config/base.json", "two.json": ["config/base.json"], "three.json": []}
    for name, preprocess in files.items():
        (tmp_path / name).write_text(json.dumps({"base_config": bases[name], "preprocess": preprocess}))
    named = [str(tmp_path / name) for name in files]
    path = config(base_config=named, model={"upsample_rates": [8, 8, 8]}, preprocess={"win_size": 1000})
    resolved = load_settings(path, [], schema_of)
    preprocess = resolved.settings.preprocess
    assert (preprocess.hop_size, preprocess.n_mel, preprocess.fmax, preprocess.win_size) == (512, 40, 7000, 1000)
    assert resolved.sources["preprocess.hop_size"] == named[1] and resolved.settings.base_config == tuple(named)
    write_settings(tmp_path / "saved.json", resolved.settings)
    assert read_settings(tmp_path / "saved.json", schema_of) == resolved.settings
    for wrong in (5, [5], {"a": "b"}):
        assert "base_config: must be a path or a list of paths, found" in problems(config(base_config=wrong))
    assert "base_config: there is no file" in problems(config(base_config=["config/base.json", "config/bsae.json"]))
    assert "goes in a circle" in problems(config(base_config=["config/base.json", str(tmp_path / "exp_config.json")]))
    message = problems(config(base_config=["config/base.json", "config/fs2.json"]))
    assert "base_config: config/fs2.json is config/fastspeech2.json here" in message


def test_a_value_can_depend_on_the_hop(config):
    table = {"by_hop_size": {"256": [8, 8, 4], "300": [10, 6, 5]}}
    path = config(model={"upsample_rates": table}, train={"batch_size": {"by_hop_size": {"300": 5, "otherwise": 7}}})

    def chosen(*overrides):
        resolved = load_settings(path, overrides, schema_of)
        return resolved.settings.model.upsample_rates, resolved.settings.train.batch_size, resolved.sources

    rates, batch_size, sources = chosen()
    assert (rates, batch_size) == ((8, 8, 4), 7)
    assert sources["model.upsample_rates"] == sources["train.batch_size"] == f"{path}, by hop_size"
    assert not any("by_hop_size" in name for name in sources)
    hop = ("preprocess.hop_size=300", "preprocess.n_fft=1200", "preprocess.win_size=1200")
    assert chosen(*hop)[:2] == ((10, 6, 5), 5)
    rates, batch_size, sources = chosen("preprocess.hop_size=4", "model.upsample_rates=[4]", "train.batch_size=3")
    assert (rates, batch_size) == ((4,), 3) and sources["model.upsample_rates"] == "--set model.upsample_rates=[4]"
    message = problems(path, "preprocess.hop_size=4")
    assert "model.upsample_rates: has a value for hop_size 256, 300 alone; set one for yours" in message
    assert "problem" not in message  # it is the only one


def test_an_unknown_model_type_lists_the_known(config):
    assert "model_type: Tacotron is unknown; known: Toy" in problems(config(model_type="Tacotron"))


def test_a_broken_override_says_what_is_expected(config):
    assert "expected dotted.name=value" in problems(config(), "train.batch_size")


def test_base_config_is_refused_on_the_command_line(config):
    assert "pass another --config" in problems(config(), "base_config=x.json")


def test_resolved_settings_come_back_equal(config, tmp_path):
    settings = load_settings(config(), [], schema_of).settings
    write_settings(tmp_path / "out" / "settings.json", settings)
    assert read_settings(tmp_path / "out" / "settings.json", schema_of) == settings


def test_differing_settings_are_listed(config):
    ours = load_settings(config(), [], schema_of).settings.model_dump()
    theirs = load_settings(config(), ["preprocess.hop_size=256", "train.batch_size=4"], schema_of).settings.model_dump()
    assert differing_settings(ours, theirs) == ["train.batch_size: 4 -> 16"]


def test_every_setting_has_a_description():
    for name, meaning in describe(ToySettings):
        assert meaning, name


def test_nearest_prefers_the_same_name_in_another_section():
    assert nearest("model.batch_size", ["train.batch_size", "model.size"]) == "train.batch_size"
    assert nearest("train.zzz", ["model.dropout"]) is None


def run_settings(*arguments):
    return call("bins.settings", *arguments)


def test_the_command_shows_value_source_and_meaning():
    shown = run_settings("--config", "egs/tts/FastSpeech2/exp_config.json", "train.batch_size")
    assert shown.returncode == 0, shown.stderr
    assert "train.batch_size = 16" in shown.stdout
    assert "from egs/tts/FastSpeech2/exp_config.json" in shown.stdout
    assert "utterances per batch" in shown.stdout


def test_the_command_names_the_nearest_setting():
    shown = run_settings("--config", "egs/tts/FastSpeech2/exp_config.json", "train.batchsize")
    assert shown.returncode == 1
    assert "did you mean train.batch_size?" in shown.stderr


def test_corpora_and_preprocessing_can_come_from_another_models_file(config, tmp_path):
    other = tmp_path / "other.json"
    tree = {"base_config": "config/base.json", "dataset": ["its"], "dataset_path": {"its": "here"}}
    other.write_text(
        json.dumps(tree | {"model_type": "Other", "preprocess": {"f0_max": 321}, "train": {"max_steps": 9}})
    )
    resolved = load_settings(config(), ["preprocess.f0_min=77"], schema_of, data_path=other)
    settings = resolved.settings
    assert (settings.model_type, list(settings.dataset), settings.train.max_steps) == ("Toy", ["its"], 5)
    assert (settings.preprocess.f0_min, settings.preprocess.f0_max) == (77, 321)
    assert resolved.sources["preprocess.f0_max"].endswith("other.json")
