"""Bundles: complete for inference, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import bins.export
from config.load import SettingsError
from models.bundle import Bundle, BundleError
from models.bundles.locate import find_bundle, open_bundle
from models.bundles.sharing import for_others
from models.registry import open_network
from processors.speakers.sources import Source, SourcesError
from processors.text.front_end_version import FRONT_END_VERSION, FrontEndVersion
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.version import VERSION, release


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment") / "bundle"
    tiny_bundle().save(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "bundle")


def test_a_bundle_is_read_back_unchanged(saved):
    original, opened = tiny_bundle(), open_bundle(saved)
    assert opened.settings == original.settings
    assert opened.symbols == original.symbols
    assert opened.statistics == original.statistics
    assert opened.speakers == original.speakers
    assert all(torch.equal(opened.weights[name], tensor) for name, tensor in original.weights.items())


def test_a_bundle_names_the_version_that_wrote_it(copied):
    assert open_bundle(copied).version == VERSION
    (copied / "version.json").unlink()  # as bundles were before they carried one
    opened = open_bundle(copied)
    assert opened.version == ""
    opened.save(copied)
    assert open_bundle(copied).version == VERSION


def test_a_bundle_keeps_the_version_of_its_front_end(copied):
    bundle = open_bundle(copied)
    assert bundle.front_end == FRONT_END_VERSION
    replace(bundle, front_end=FrontEndVersion(lexicon=3)).save(copied)
    assert open_bundle(copied).front_end == FrontEndVersion(normaliser=1, lexicon=3, tones=1, pauses=1)
    write_version(copied, VERSION)  # as bundles were before they kept it
    assert open_bundle(copied).front_end == FrontEndVersion(1, 1, 1, 1)
    (copied / "version.json").unlink()
    assert open_bundle(copied).front_end == FrontEndVersion(1, 1, 1, 1)


def test_a_bundle_of_a_vocoder_names_no_front_end(tmp_path):
    tiny_vocoder_bundle().save(tmp_path)
    assert json.loads((tmp_path / "version.json").read_text()) == {"recital": VERSION}


def test_a_bundle_passed_on_names_its_teachers(tmp_path, command):
    teachers = (Source("a teacher", "Apache-2.0"), Source("another", "MIT"))
    replace(tiny_bundle(), sources=teachers).save(tmp_path / "bundle")
    arguments = ("--bundle", tmp_path / "bundle", "--format", "bundle", "--output_dir", tmp_path / "for_others")
    code, printed, _ = command(bins.export, *arguments)
    assert code == 0 and "speech of a teacher (Apache-2.0): keep to this licence" in printed
    assert open_bundle(tmp_path / "for_others").sources == teachers
    (tmp_path / "for_others" / "sources.json").write_text('{"sources": [{"name": "a teacher"}]}')
    with pytest.raises(SourcesError, match=r"sources.json: is damaged \(KeyError\('licence'\)\)"):
        open_bundle(tmp_path / "for_others")


def write_version(folder, version):
    (folder / "version.json").write_text(json.dumps({"recital": version}))


def test_a_bundle_of_a_later_major_version_is_refused_by_its_version(copied):
    major, minor, patch = release(VERSION)
    write_version(copied, f"{major + 1}.0.0")
    with pytest.raises(BundleError, match=rf"written by Recital {major + 1}\.0\.0, .*update Recital"):
        open_bundle(copied)
    write_version(copied, f"{major}.{minor + 1}.{patch}")
    assert open_bundle(copied).version == f"{major}.{minor + 1}.{patch}"


def test_settings_of_a_later_minor_version_are_refused_with_that_version(copied):
    settings = json.loads((copied / "settings.json").read_text())
    (copied / "settings.json").write_text(json.dumps(settings | {"of_tomorrow": 1}))
    with pytest.raises(SettingsError, match=r"of_tomorrow: there is no such setting$"):
        open_bundle(copied)
    major, minor, patch = release(VERSION)
    write_version(copied, f"{major}.{minor + 1}.{patch}")
    with pytest.raises(BundleError, match=rf"of_tomorrow.*\n.*written by Recital {major}\.{minor + 1}\."):
        open_bundle(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recital": "new"}', '{"recital": 1}'])
def test_a_damaged_version_is_named(copied, content):
    (copied / "version.json").write_text(content)
    with pytest.raises(BundleError, match=r"version\.json: is damaged"):
        open_bundle(copied)


def test_a_user_may_point_at_experiment_checkpoint_or_bundle(copied):
    experiment = copied.parent
    checkpoint = experiment / "checkpoint" / "step-00000010"
    checkpoint.mkdir(parents=True)
    changed = {name: tensor + 1 for name, tensor in open_bundle(copied).weights.items()}
    save_file(changed, checkpoint / "network.safetensors")
    save_file({"other": torch.zeros(1)}, checkpoint / "discriminator.safetensors")
    name = next(iter(changed))
    assert torch.equal(find_bundle(experiment).weights[name], changed[name] - 1)
    assert torch.equal(find_bundle(copied).weights[name], changed[name] - 1)
    assert torch.equal(find_bundle(checkpoint).weights[name], changed[name])
    assert torch.equal(find_bundle(checkpoint.parent).weights[name], changed[name])
    assert torch.equal(find_bundle(copied / "model.safetensors").weights[name], changed[name] - 1)


def test_a_path_without_a_voice_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(BundleError, match="there is no such folder"):
        find_bundle(tmp_path / "nowhere")
    (tmp_path / "my_voice").mkdir()
    with pytest.raises(BundleError, match=r"there is no such folder.*; did you mean .*my_voice\?"):
        find_bundle(tmp_path / "my_voise")
    with pytest.raises(BundleError, match="neither an experiment"):
        find_bundle(tmp_path)
    (tmp_path / "voice.dat").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"voice\.dat: is a file of a kind that is not read; read are .*HiFiGAN's"):
        find_bundle(tmp_path / "voice.dat")


def test_a_checkpoint_of_another_network_is_refused(copied):
    checkpoint = copied.parent / "checkpoint" / "step-00000010"
    checkpoint.mkdir(parents=True)
    save_file({"other": torch.zeros(1)}, checkpoint / "network.safetensors")
    with pytest.raises(BundleError, match="holds no network with the parameters"):
        find_bundle(checkpoint)


def test_damaged_weights_are_named(copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"model\.safetensors: the weights are damaged"):
        open_bundle(copied)
    weights.unlink()
    with pytest.raises(BundleError, match="there are no weights"):
        open_bundle(copied)


def test_weights_that_do_not_fit_are_named_tensor_by_tensor(copied):
    bundle = open_bundle(copied)
    weights = dict(bundle.weights)
    first, second, *_ = weights
    weights["stranger"] = weights.pop(first)
    weights[second] = torch.zeros(3)
    with pytest.raises(BundleError) as caught:
        open_network(Bundle(bundle.settings, weights, bundle.symbols, bundle.statistics, bundle.speakers))
    assert f"{first} is missing" in str(caught.value)
    assert "stranger is unknown" in str(caught.value)
    assert f"{second} has shape (3,)" in str(caught.value)


@pytest.mark.parametrize("content", ["[1]", "{", json.dumps({"anna": 1}), json.dumps({"anna": 0, "bob": 0})])
def test_a_damaged_speaker_table_is_named(copied, content):
    (copied / "speakers.json").write_text(content)
    with pytest.raises(BundleError, match=r"speakers\.json"):
        open_bundle(copied)


@pytest.mark.parametrize("name", ["symbols.json", "statistics.json", "speakers.json"])
def test_a_bundle_that_lacks_a_part_is_refused(copied, name):
    (copied / name).unlink()
    with pytest.raises(BundleError, match="lacks"):
        open_network(open_bundle(copied))


def test_the_users_lexicon_is_in_the_bundle(tmp_path):
    lexicon = tmp_path / "mine.txt"
    lexicon.write_text("zyx Z IH1 K S\n")
    tiny_bundle(f"preprocess.lexicon_path={lexicon}").save(tmp_path / "bundle")
    lexicon.unlink()
    opened = open_bundle(tmp_path / "bundle")
    assert opened.lexicon_path is not None
    assert opened.lexicon_path.read_text() == "zyx Z IH1 K S\n"
    opened.save(tmp_path / "copy")
    assert open_bundle(tmp_path / "copy").lexicon_path.read_text() == "zyx Z IH1 K S\n"


# To be passed on


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_an_exported_bundle_is_smaller_and_holds_no_paths_of_this_machine(tmp_path, command, precision, dtype):
    corpus, lexicon = tmp_path / "private" / "LJSpeech", tmp_path / "mine.txt"
    lexicon.write_text("zyx Z IH1 K S\n")
    places = (
        f"dataset_path={{LJSpeech: '{corpus}'}}",
        f"preprocess.lexicon_path={lexicon}",
        "preprocess.processed_dir=../elsewhere/features",
        f"log_dir={tmp_path}/ckpts",
        f"train.evaluate_vocoder={tmp_path}/vocoder",
        "preprocess.mfa_dictionary=~/dictionary.txt",
    )
    original = tiny_bundle(*places)
    settings = original.settings.model_copy(update={"base_config": str(tmp_path / "base.json")})
    original = replace(original, settings=settings)
    original.save(tmp_path / "bundle")
    arguments = ("--bundle", tmp_path / "bundle", "--format", "bundle", "--precision", precision)
    code, printed, _ = command(bins.export, *arguments, "--output_dir", tmp_path / "for_others")
    assert code == 0 and "model.safetensors" in printed
    settings_text = (tmp_path / "for_others" / "settings.json").read_text()
    assert str(tmp_path) not in settings_text and ".." not in settings_text and "~" not in settings_text
    opened = open_bundle(tmp_path / "for_others")
    assert opened.settings.dataset_path == {"LJSpeech": "LJSpeech"}
    assert opened.settings.preprocess.processed_dir == "features"
    assert opened.lexicon_path is not None and opened.lexicon_path.read_text() == "zyx Z IH1 K S\n"
    for name, tensor in original.weights.items():
        if tensor.is_floating_point():
            assert opened.weights[name].dtype == dtype
            torch.testing.assert_close(opened.weights[name].float(), tensor, rtol=torch.finfo(dtype).eps, atol=1e-7)
        else:
            assert torch.equal(opened.weights[name], tensor)
    open_network(opened)
    code, _, errors = command(bins.export, *arguments, "--output_dir", tmp_path / "for_others")
    assert code == 1 and "--overwrite" in errors


def test_weights_that_a_precision_cannot_hold_are_named():
    bundle = tiny_bundle()
    name = next(name for name, tensor in bundle.weights.items() if tensor.is_floating_point())
    bundle.weights[name].fill_(1e6)
    with pytest.raises(BundleError, match=rf"{name}: reaches 1e\+06, which torch.float16 cannot hold"):
        for_others(bundle, torch.float16)
    for_others(bundle, torch.bfloat16)


def test_only_a_bundle_is_written_in_another_precision(tmp_path, command):
    arguments = ("--format", "hifigan", "--precision", "fp16", "--output_dir", tmp_path / "original")
    code, _, errors = command(bins.export, "--bundle", tmp_path, *arguments)
    assert code == 2 and "--precision needs --format bundle" in errors


@pytest.fixture
def voice_and_vocoder(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    tiny_vocoder_bundle().save(tmp_path / "vocoders" / "mine")
    return tmp_path / "voice", tmp_path / "vocoders" / "mine"


def exported(command, voice, folder, *more):
    flags = ("--format", "bundle", "--precision", "fp16", "--output_dir", folder, *more)
    return command(bins.export, "--bundle", voice, *flags)


@pytest.mark.slow
def test_an_exported_voice_brings_its_vocoder(voice_and_vocoder, tmp_path, command):
    voice, vocoder = voice_and_vocoder
    code, printed, errors = exported(command, voice, tmp_path / "one", "--vocoder_dir", vocoder)
    assert code == 0 and "vocoder/model.safetensors" in printed, errors
    within = open_bundle(tmp_path / "one").vocoder_folder
    assert within == tmp_path / "one" / "vocoder"
    assert {weight.dtype for weight in open_bundle(within).weights.values()} == {torch.float16}
    code, _, errors = exported(command, tmp_path / "one", tmp_path / "two")
    assert code == 0 and (tmp_path / "two" / "vocoder" / "model.safetensors").is_file(), errors


@pytest.mark.slow
def test_an_exported_voice_names_a_vocoder_in_ckpts(voice_and_vocoder, tmp_path, command, monkeypatch):
    voice, vocoder = voice_and_vocoder
    for module in ("bins.command", "models.bundle", "models.bundles.export"):
        monkeypatch.setattr(f"{module}.VOCODERS", vocoder.parent)
    code, _, errors = exported(command, voice, tmp_path / "one", "--vocoder_dir", "mine")
    assert code == 0 and not (tmp_path / "one" / "vocoder").exists(), errors
    assert open_bundle(tmp_path / "one").vocoder_folder == vocoder
    code, _, errors = exported(command, tmp_path / "one", tmp_path / "two")
    assert code == 0 and open_bundle(tmp_path / "two").vocoder_name == "mine", errors


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("voice", "holds a FastSpeech2, which is not a vocoder"),
        ("other", "trained on other mels: fmax"),
        ("no", "no such"),
    ],
)
def test_a_voice_is_not_exported_with_what_is_no_vocoder_for_it(voice_and_vocoder, tmp_path, command, named, message):
    tiny_vocoder_bundle("preprocess.fmax=4000").save(tmp_path / "other")
    code, _, errors = exported(command, voice_and_vocoder[0], tmp_path / "one", "--vocoder_dir", tmp_path / named)
    assert code == 1 and message in errors and not (tmp_path / "one").exists()


def test_a_vocoder_is_exported_without_a_vocoder(voice_and_vocoder, tmp_path, command):
    _, vocoder = voice_and_vocoder
    code, _, errors = exported(command, vocoder, tmp_path / "one", "--vocoder_dir", vocoder)
    assert code == 1 and "a HiFiGAN needs no vocoder" in errors


def test_a_bundle_has_the_permissions_of_new_files(tmp_path, saved):
    (tmp_path / "new").touch()
    rights = (tmp_path / "new").stat().st_mode
    assert {path.stat().st_mode for path in saved.iterdir()} == {rights}
