"""Stage 3 of a vocoder: mels of stores, files and recordings vocoded, bad ones listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from models.bundles.vocoder import VocoderError
from models.inference.output_files import OutputError
from models.inference.vocode import sources_from_audio, sources_from_dataset, sources_from_features, vocode_all
from models.inference.vocoder import NeuralVocoder
from processors.audio.audio_file import write_wav
from processors.audio.mel import MelSpectrogram
from processors.feature_store import FeatureStore
from processors.utterance import ManifestError, read_manifest, write_manifest
from tests.support.commands import call
from tests.support.tiny_features import HOP_SIZE, N_MEL, PREPROCESS, write_features
from tests.support.tiny_vocoder import tiny_vocoder_bundle

SAMPLE_RATE = 8000
OVERRIDES = (*PREPROCESS, "model.upsample_rates=[8, 8]", "model.upsample_kernel_sizes=[16, 16]")


@pytest.fixture(scope="module")
def vocoder():
    return NeuralVocoder(tiny_vocoder_bundle(*OVERRIDES))


@pytest.fixture(scope="module")
def mel(vocoder):
    return vocoder.settings.preprocess


@pytest.fixture(scope="module")
def processed_dir(tmp_path_factory):
    """Prepare two corpora, each with a test split of three."""
    folder = tmp_path_factory.mktemp("processed")
    for dataset in ("tiny", "other"):
        utterances = write_features(folder, dataset)
        write_manifest(folder / dataset / "test.jsonl", utterances[-3:])
    return folder


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n_samples).astype(np.float32)


def wavs_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))


def test_the_test_split_is_vocoded_beside_its_recordings(vocoder, mel, processed_dir, tmp_path):
    written = vocode_all(vocoder, sources_from_dataset(processed_dir, ["tiny"], "test", mel), tmp_path, mel.sample_rate)
    utterances = read_manifest(processed_dir / "tiny" / "test.jsonl")
    assert [path.name for path in written] == [f"{utterance.id}.wav" for utterance in utterances]
    assert wavs_in(tmp_path) == sorted(f"{kind}/{path.name}" for kind in ("gt", "pred") for path in written)
    store = FeatureStore.open(processed_dir / "tiny")
    for utterance in utterances:
        pred, rate = soundfile.read(tmp_path / "pred" / f"{utterance.id}.wav", dtype="float32")
        gt, _ = soundfile.read(tmp_path / "gt" / f"{utterance.id}.wav", dtype="int16")
        assert rate == SAMPLE_RATE
        assert np.array_equal(gt, store.read(utterance.id, "waveform"))
        assert len(pred) == len(gt)
        expected = vocoder.waveform(torch.from_numpy(store.read(utterance.id, "mel").T.copy()))
        np.testing.assert_allclose(pred, expected.clamp(-1, 1).numpy(), atol=1e-4)


def test_several_corpora_get_folders_of_their_own(vocoder, mel, processed_dir, tmp_path):
    sources = sources_from_dataset(processed_dir, ["tiny", "other"], "test", mel)
    written = vocode_all(vocoder, sources, tmp_path, mel.sample_rate)
    assert {path.parent.relative_to(tmp_path).as_posix() for path in written} == {"pred/tiny", "pred/other"}
    assert len(wavs_in(tmp_path)) == 12


def test_a_missing_split_is_refused(mel, processed_dir):
    with pytest.raises(ManifestError, match=r"golden_test\.jsonl: no such split; found: .*tiny/test"):
        sources_from_dataset(processed_dir, ["tiny"], "golden_test", mel)
    with pytest.raises(ManifestError, match="no such split"):
        sources_from_dataset(processed_dir, ["nobody"], "test", mel)


def test_mels_of_another_kind_are_refused(mel, processed_dir):
    other = mel.model_copy(update={"n_mel": 80, "fmax": 3000.0})
    for sources in (
        lambda: sources_from_dataset(processed_dir, ["tiny"], "test", other),
        lambda: sources_from_features(processed_dir / "tiny", other),
    ):
        with pytest.raises(VocoderError, match=r"n_mel 12 \(wanted: 80\), fmax 4000\.0 \(wanted: 3000\.0\)"):
            sources()


def test_all_mels_of_a_store_are_vocoded(vocoder, mel, processed_dir, tmp_path):
    vocode_all(vocoder, sources_from_features(processed_dir / "tiny", mel), tmp_path, mel.sample_rate)
    assert len(wavs_in(tmp_path / "pred")) == len(wavs_in(tmp_path / "gt")) == 13


def test_arrays_are_read_with_and_without_a_batch_of_one(vocoder, mel, tmp_path):
    values = np.random.default_rng(0).uniform(-11, 0, (N_MEL, 9)).astype(np.float32)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    np.save(tmp_path / "in" / "plain.npy", values)
    np.save(tmp_path / "in" / "sub" / "batch.npy", values[None].astype(np.float64))
    vocode_all(vocoder, sources_from_features(tmp_path / "in", mel), tmp_path / "out", mel.sample_rate)
    assert wavs_in(tmp_path / "out") == ["pred/plain.wav", "pred/sub/batch.wav"]
    plain, batch = ((tmp_path / "out" / "pred" / name).read_bytes() for name in ("plain.wav", "sub/batch.wav"))
    assert plain == batch


GOOD = np.linspace(-11.5, 0, N_MEL * 9, dtype=np.float32).reshape(N_MEL, 9)
BAD_MELS = {
    "bins": (np.full((80, 9), -6.0), r"found shape \(80, 9\); expected \(12, frames\) or \(frames, 12\)"),
    "flat": (GOOD[0], r"found shape \(9,\)"),
    "many": (np.stack([GOOD, GOOD]), r"found shape \(2, 12, 9\)"),
    "empty": (GOOD[:, :0], "has no frames"),
    "nan": (np.where(np.arange(9) == 4, np.nan, GOOD), "NaN or infinite"),
    "infinite": (np.where(np.arange(9) == 4, np.inf, GOOD), "NaN or infinite"),
    "whole": (GOOD.astype(np.int16), "in floating point, found int16"),
    "objects": (np.array([GOOD, None], dtype=object), "found Python objects"),
    "decibels": (GOOD * 10, r"values from -115 to 0; expected natural logarithms .*: decibels\?"),
    "log2": (GOOD / np.log(2), r": logarithms to base 2\? --mel_scale log10, log2, linear converts"),
}


@pytest.mark.parametrize("name", BAD_MELS)
def test_an_array_that_is_no_mel_is_named_and_does_not_end_the_run(vocoder, mel, tmp_path, name):
    values, reason = BAD_MELS[name]
    for file, content in (("a_good", GOOD), (name, values), ("z_good", GOOD)):
        np.save(tmp_path / f"{file}.npy", content, allow_pickle=True)
    with pytest.raises(VocoderError, match=rf"1 of 3 could not be vocoded, the others are in .*{name}.npy: .*{reason}"):
        vocode_all(vocoder, sources_from_features(tmp_path, mel), tmp_path / "out", mel.sample_rate)
    assert wavs_in(tmp_path / "out") == ["pred/a_good.wav", "pred/z_good.wav"]
    assert f"{name}.npy" in (tmp_path / "out" / "not_vocoded.txt").read_text()


def test_mels_are_read_whichever_axis_comes_first(vocoder, mel, tmp_path):
    for name, values in {"a": GOOD, "b": GOOD.T, "c": GOOD[None], "d": GOOD.T[None].astype(np.float16)}.items():
        np.save(tmp_path / f"{name}.npy", values)
    written = [source.read().mel for source in sources_from_features(tmp_path, mel)]
    for values in written:
        np.testing.assert_allclose(values, GOOD, atol=5e-3)


OTHER_SCALES = {
    "log10": (lambda mel: mel / np.log(10), "logarithms to base 10"),
    "linear": (np.exp, r"magnitudes \(linear\)"),
    "normalised": (lambda mel: (mel - mel.mean()) / mel.std(), "normalised, or scaled"),
    "to_4": (lambda mel: np.clip((mel + 5) * 0.8, -4, 4), "normalised, or scaled"),
    "to_1": (lambda mel: (mel + 11.6) / 12, "scaled to 0 to 1"),
}


@pytest.mark.parametrize("name", OTHER_SCALES)
def test_mels_of_another_scale_are_refused_or_converted(mel, tmp_path, name):
    change, guess = OTHER_SCALES[name]
    np.save(tmp_path / "a.npy", change(GOOD))
    np.save(tmp_path / "b.npy", change(GOOD[:, 3:]))
    with pytest.raises(VocoderError, match=f"expected natural logarithms .*{guess}.*--mel_scale natural takes"):
        sources_from_features(tmp_path, mel)
    if name in ("log10", "linear"):
        [first, _] = sources_from_features(tmp_path, mel, name)
        np.testing.assert_allclose(first.read().mel, GOOD, atol=1e-4)
    assert len(sources_from_features(tmp_path, mel, "natural")) == 2


def test_the_files_of_a_folder_are_judged_together(mel, tmp_path, capsys):
    """A clip without a pause is as good as another that has one."""
    np.save(tmp_path / "loud.npy", np.maximum(GOOD, -4))
    with pytest.raises(VocoderError, match="normalised, or scaled"):
        sources_from_features(tmp_path, mel)
    np.save(tmp_path / "middle.npy", np.maximum(GOOD, -7))
    assert len(sources_from_features(tmp_path, mel)) == 2
    assert "values from -7 to 0" in capsys.readouterr().err
    np.save(tmp_path / "whole.npy", GOOD)
    assert len(sources_from_features(tmp_path, mel)) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"no array at all", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"])
def test_a_damaged_array_is_named(vocoder, mel, tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(VocoderError, match=r"bad\.npy: "):
        vocode_all(vocoder, sources_from_features(tmp_path, mel), tmp_path / "out", mel.sample_rate)


def test_recordings_of_any_format_are_vocoded(vocoder, mel, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    write_wav(folder / "right.wav", noise(HOP_SIZE * 20 + 5), SAMPLE_RATE)
    soundfile.write(folder / "sub" / "stereo.flac", np.stack([noise(6000), noise(6000, 1)], axis=1), 16000)
    soundfile.write(folder / "sub" / "stereo.ogg", noise(6000), 16000)
    (folder / "notes.txt").write_text("no sound")
    (folder / "._right.wav").write_text("a shadow")
    vocode_all(vocoder, sources_from_audio(folder, mel), tmp_path / "out", mel.sample_rate)
    names = ["right.wav", "sub/stereo.flac.wav", "sub/stereo.ogg.wav"]
    assert wavs_in(tmp_path / "out") == [f"{kind}/{name}" for kind in ("gt", "pred") for name in names]
    gt, rate = soundfile.read(tmp_path / "out/gt/right.wav", dtype="float32")
    pred, _ = soundfile.read(tmp_path / "out/pred/right.wav", dtype="float32")
    assert rate == SAMPLE_RATE and len(gt) == len(pred) == HOP_SIZE * 20
    expected = vocoder.waveform(MelSpectrogram.from_settings(mel)(torch.from_numpy(gt)))
    np.testing.assert_allclose(pred, expected.clamp(-1, 1).numpy(), atol=1e-3)
    halved, _ = soundfile.read(tmp_path / "out/gt/sub/stereo.flac.wav")
    assert abs(len(halved) - 3000) < HOP_SIZE


def test_bad_recordings_are_listed_at_the_end(vocoder, mel, tmp_path):
    write_wav(tmp_path / "good.wav", noise(2000), SAMPLE_RATE)
    write_wav(tmp_path / "short.wav", noise(HOP_SIZE - 1), SAMPLE_RATE)
    write_wav(tmp_path / "silent.wav", np.zeros(2000), SAMPLE_RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:30])
    with pytest.raises(VocoderError, match=r"3 of 4 could not be vocoded.*cut\.wav: is cut short.*not_vocoded"):
        vocode_all(vocoder, sources_from_audio(tmp_path, mel), tmp_path / "out", mel.sample_rate)
    report = (tmp_path / "out" / "not_vocoded.txt").read_text()
    assert "short.wav: 63 samples are less than a frame" in report
    assert "silent.wav: is silent" in report
    assert wavs_in(tmp_path / "out") == ["gt/good.wav", "pred/good.wav"]


def test_folders_without_anything_to_read_are_refused(mel, tmp_path, processed_dir):
    for sources in (sources_from_audio, sources_from_features):
        with pytest.raises(VocoderError, match="there is no such folder"):
            sources(tmp_path / "nowhere", mel)
    with pytest.raises(VocoderError, match=r"holds no recording \(\.wav, \.flac"):
        sources_from_audio(tmp_path, mel)
    with pytest.raises(VocoderError, match=r"holds no \.npy file"):
        sources_from_features(tmp_path, mel)
    with pytest.raises(VocoderError, match="features of other, tiny: choose one of these"):
        sources_from_features(processed_dir, mel)


def test_existing_files_are_replaced_only_on_request(vocoder, mel, tmp_path):
    np.save(tmp_path / "a.npy", GOOD)
    sources = sources_from_features(tmp_path, mel)
    vocode_all(vocoder, sources, tmp_path / "out", mel.sample_rate)
    with pytest.raises(OutputError, match=r"pred/a\.wav exist already.*--overwrite"):
        vocode_all(vocoder, sources, tmp_path / "out", mel.sample_rate)
    vocode_all(vocoder, sources, tmp_path / "out", mel.sample_rate, overwrite=True)


# --- The command ---


@pytest.fixture(scope="module")
def recipe(processed_dir, tmp_path_factory):
    """Write an exp_config.json over the two corpora, and a bundle."""
    folder = tmp_path_factory.mktemp("recipe")
    tiny_vocoder_bundle(*OVERRIDES).save(folder / "ckpts" / "mine" / "bundle")
    config = {
        "base_config": "config/hifigan_v2.json",
        "dataset": ["tiny"],
        "dataset_path": {"tiny": "none"},
        "log_dir": str(folder / "ckpts"),
        "preprocess": {"processed_dir": str(processed_dir)},
    }
    (folder / "exp_config.json").write_text(json.dumps(config))
    return folder


def vocode(recipe, *arguments):
    return call("bins.vocode", "--config", recipe / "exp_config.json", *arguments)


def test_the_command_vocodes_the_test_split_of_the_settings(recipe, tmp_path):
    done = vocode(recipe, "--name", "mine", "--infer_output_dir", tmp_path, "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    assert f"wrote 3 WAV files to {tmp_path / 'pred'}" in done.stdout
    assert len(wavs_in(tmp_path)) == 6


def test_the_command_takes_comma_separated_corpora_and_a_split(recipe, tmp_path):
    flags = ["--infer_datasets", "tiny,other", "--infer_testing_set", "valid", "--infer_output_dir", tmp_path]
    done = vocode(recipe, *flags)
    assert done.returncode == 0, done.stderr
    assert len(wavs_in(tmp_path / "pred" / "other")) == 3


def test_the_command_exits_with_1_if_anything_failed(recipe, tmp_path):
    np.save(tmp_path / "a.npy", GOOD)
    np.save(tmp_path / "b.npy", GOOD[:3])
    done = vocode(recipe, "--infer_mode", "infer_from_feature", "--infer_feature_dir", tmp_path, "--overwrite")
    assert done.returncode == 1
    assert "error: 1 of 2 could not be vocoded" in done.stderr and "Traceback" not in done.stderr
    assert (recipe / "ckpts" / "mine" / "result" / "pred" / "a.wav").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--infer_mode", "infer_from_audio"], 2, "needs --infer_audio_dir"),
        (["--infer_mode", "infer_from_feature"], 2, "needs --infer_feature_dir"),
        (["--infer_audio_dir", "x"], 2, "--infer_audio_dir needs --infer_mode infer_from_audio"),
        (["--infer_mode", "infer_from_audio", "--infer_audio_dir", "x", "--infer_testing_set", "test"], 2, "needs"),
        (["--infer_mode", "infer_from_audio", "--infer_audio_dir", "x", "--infer_mel_source", "predicted"], 2, "needs"),
        (["--infer_mel_source", "predicted"], 1, "no predicted_mel"),
        (["--infer_datasets", " ,"], 2, "names no corpus"),
        (["--precision", "fp16", "--gpu", ""], 1, "precision fp16: needs a GPU"),
        (["--sigma", "0.6"], 1, "a HiFiGAN takes no sigma"),
        (["--denoising_strength", "-1"], 1, "denoising_strength: found -1; expected 0 to 10"),
        (["--infer_mode", "infer_from_audio", "--infer_audio_dir", "nowhere"], 1, "nowhere: there is no such folder"),
        (["--name", "nobody"], 1, "there is no such folder"),
        (["--set", "log_dir=nowhere"], 1, "which experiment to vocode with"),
    ],
)
def test_wrong_usage_is_refused(recipe, arguments, code, message):
    refused = vocode(recipe, *arguments)
    assert refused.returncode == code
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
