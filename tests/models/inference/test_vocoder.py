"""Vocoders: opened from experiments, checkpoints, bundles and original files, if their mels fit."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from models.bundle import BundleError
from models.bundles.locate import open_bundle
from models.bundles.vocoder import VocoderError
from models.hifigan.network import Generator
from models.inference.vocoder import GriffinLimVocoder, NeuralVocoder, open_vocoder, open_vocoder_for
from processors.audio.mel import MelSpectrogram
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle, tiny_settings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocoder") / "bundle"
    tiny_vocoder_bundle().save(folder)
    return folder


@pytest.fixture
def mel():
    torch.manual_seed(1)
    return torch.randn(20, 50) - 4


def test_a_vocoder_returns_the_waveform_of_its_network(bundle, mel):
    network = Generator.from_bundle(tiny_vocoder_bundle())
    waveform = open_vocoder(bundle).waveform(mel)
    assert waveform.shape == (50 * 128,) and waveform.dtype == torch.float32
    assert waveform.std() > 1e-3
    torch.testing.assert_close(waveform, network(mel[None])[0].detach(), atol=1e-5, rtol=1e-4)


def test_bf16_differs_little_from_fp32(bundle, mel):
    exact, rough = (open_vocoder(bundle, precision=precision).waveform(mel) for precision in ("fp32", "bf16"))
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 0.05


def test_fp16_is_refused_on_the_cpu(bundle):
    with pytest.raises(VocoderError, match="fp16: needs a GPU"):
        open_vocoder(bundle, precision="fp16")


def test_joined_mels_sound_as_one(bundle, mel):
    vocoder = open_vocoder(bundle)
    pieces = [mel[:, :20], mel[:, 20:]]
    torch.testing.assert_close(torch.cat(list(vocoder.stream(pieces))), vocoder.waveform(mel))
    griffin_lim = GriffinLimVocoder(MelSpectrogram.from_settings(tiny_settings().preprocess), iterations=2)
    assert [len(waveform) for waveform in griffin_lim.stream(pieces)] == [20 * 128, 30 * 128]


def test_the_stream_starts_before_the_last_mel(bundle):
    vocoder, given = open_vocoder(bundle), []

    def mels():
        for number in range(4):
            given.append(number)
            yield torch.full((20, 400), -4.0)

    pieces = vocoder.stream(mels())
    first = next(pieces)
    assert given == [0, 1]  # a chunk of 512 frames and its overlap
    assert len(first) + sum(map(len, pieces)) == 4 * 400 * 128 and given == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "place",
    [
        "expt",
        "expt/bundle",
        "expt/bundle/model.safetensors",
        "expt/checkpoint",
        "expt/checkpoints",
        "expt/checkpoint/step-00000010",
        "expt/checkpoint/step-00000010/generator.safetensors",
    ],
)
def test_experiments_checkpoints_and_bundles_are_opened(tmp_path, mel, place):
    made = tiny_vocoder_bundle()
    made.save(tmp_path / "expt" / "bundle")
    (tmp_path / "expt" / "checkpoint" / "step-00000010").mkdir(parents=True)
    weights = (tmp_path / "expt" / "bundle" / "model.safetensors").read_bytes()
    (tmp_path / "expt" / "checkpoint" / "step-00000010" / "generator.safetensors").write_bytes(weights)
    opened = open_vocoder(tmp_path / place, expect=tiny_settings().preprocess)
    torch.testing.assert_close(opened.waveform(mel), NeuralVocoder(made).waveform(mel))


@pytest.mark.parametrize("size", ["v2", "v3"])
def test_original_checkpoints_give_the_golden_waveforms(golden, size):
    expected = np.load(golden / f"hifigan_{size}" / "expected.npz")
    waveform = open_vocoder(golden / f"hifigan_{size}").waveform(torch.from_numpy(expected["mel"][0]))
    np.testing.assert_allclose(waveform.numpy(), expected["waveform"][0, 0], atol=1e-4)


def test_a_vocoder_of_other_mels_is_refused_with_every_difference(bundle):
    expect = tiny_settings("preprocess.sample_rate=22050", "preprocess.n_mel=40", "preprocess.fmin=20").preprocess
    with pytest.raises(VocoderError) as caught:
        open_vocoder(bundle, expect=expect)
    message = str(caught.value)
    assert str(bundle) in message
    for difference in ("sample_rate 16000 (wanted: 22050)", "n_mel 20 (wanted: 40)", "fmin 0.0 (wanted: 20.0)"):
        assert difference in message
    assert "hop_size" not in message


def test_a_mel_of_other_bands_is_refused_by_name(bundle):
    vocoder = open_vocoder(bundle)
    for mel in (torch.randn(100, 30), torch.randn(30, 20), torch.randn(1, 20, 30)):
        for vocode in (vocoder.waveform, lambda mel: list(vocoder.stream([mel]))):
            with pytest.raises(
                VocoderError, match=rf"bundle: found a mel of shape .*{mel.shape[-1]}\); .*\(20, frames\)"
            ):
                vocode(mel)


def test_the_calls_of_nemo_work(bundle, mel):
    vocoder = NeuralVocoder.restore_from(restore_path=bundle, map_location="cpu")
    expected = vocoder.waveform(mel).numpy()
    for alone in (mel.numpy(), mel.numpy().T):
        made = vocoder.convert_spectrogram_to_audio(spec=alone, mel_scale="natural")
        assert isinstance(made, np.ndarray) and made.dtype == np.float32
        np.testing.assert_array_equal(made, expected)
    for batch in (mel[None], torch.stack([mel, mel])):
        made = vocoder.convert_spectrogram_to_audio(spec=batch, mel_scale="natural")
        assert isinstance(made, torch.Tensor) and made.shape == (len(batch), len(expected))
        np.testing.assert_array_equal(made[-1], expected)
    for wrong, message in ((mel[:10], r"\(20, frames\)"), (mel[:, :0], "one frame"), (mel * 0, "scaled to 0 to 1")):
        with pytest.raises(VocoderError, match=message):
            vocoder.convert_spectrogram_to_audio(spec=wrong)


def test_settings_that_do_not_shape_mels_may_differ(bundle):
    open_vocoder(bundle, expect=tiny_settings("preprocess.f0_max=400", "preprocess.trim_silence=false").preprocess)


def test_an_acoustic_model_is_refused_as_a_vocoder(tmp_path):
    tiny_bundle().save(tmp_path)
    with pytest.raises(BundleError, match="FastSpeech2, which is not a vocoder"):
        open_vocoder(tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path):
    made = tiny_vocoder_bundle()
    weights = dict(made.weights)
    del weights["conv_pre.bias"]
    weights["extra"] = torch.zeros(1)
    weights["conv_post.weight_v"] = torch.zeros(2, 2, 2)
    type(made)(made.settings, weights).save(tmp_path)
    with pytest.raises(
        BundleError, match=r"conv_pre\.bias is missing; extra is unknown; conv_post\.weight_v has shape"
    ):
        open_vocoder(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BundleError, match="there is no such folder"):
        open_vocoder(tmp_path / "nowhere")
    with pytest.raises(BundleError):
        open_vocoder(tmp_path)


@pytest.fixture
def voice(tmp_path):
    tiny_bundle().save(tmp_path / "voice")
    return tmp_path / "voice"


def test_a_voice_uses_the_vocoder_within_its_bundle(voice, bundle):
    shutil.copytree(bundle, voice / "vocoder")
    vocoder = open_vocoder_for(open_bundle(voice))
    assert isinstance(vocoder, NeuralVocoder) and vocoder.folder == voice / "vocoder"
    assert isinstance(open_vocoder_for(open_bundle(voice), "griffin_lim"), GriffinLimVocoder)
    assert open_vocoder_for(open_bundle(voice), bundle).folder == bundle


def test_a_voice_uses_the_vocoder_that_its_bundle_names(voice, bundle, monkeypatch):
    monkeypatch.setattr("models.bundle.VOCODERS", bundle.parent)
    dataclasses.replace(open_bundle(voice), vocoder_name=bundle.name).save(voice)
    assert open_vocoder_for(open_bundle(voice)).folder == bundle
    dataclasses.replace(open_bundle(voice), vocoder_name="bundel").save(voice)
    with pytest.raises(BundleError, match=r"bundel: there is no such folder.*bundle"):
        open_vocoder_for(open_bundle(voice))


@pytest.mark.parametrize("content", ['{"name": "../lyre"}', '{"name": 3}', "{}", "lyre", '{"name": ""}'])
def test_a_vocoders_name_is_that_of_a_folder(voice, content):
    (voice / "vocoder.json").write_text(content)
    with pytest.raises(BundleError, match=r"vocoder\.json"):
        open_bundle(voice)


def test_a_voice_without_vocoder_uses_the_shipped_one_if_it_fits(voice, bundle, tmp_path, monkeypatch):
    acoustic = open_bundle(voice)
    monkeypatch.setattr("models.inference.vocoder.SHIPPED_VOCODER", tmp_path / "none")
    assert isinstance(open_vocoder_for(acoustic), GriffinLimVocoder)
    monkeypatch.setattr("models.inference.vocoder.SHIPPED_VOCODER", bundle)
    assert open_vocoder_for(acoustic).folder == bundle
    tiny_vocoder_bundle("preprocess.fmax=4000").save(tmp_path / "other")
    monkeypatch.setattr("models.inference.vocoder.SHIPPED_VOCODER", tmp_path / "other")
    assert isinstance(open_vocoder_for(acoustic), GriffinLimVocoder)


def test_precision_left_open_is_bf16_where_the_cpu_has_it(bundle, mel):
    expected = "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"
    chosen, same = (open_vocoder(bundle, precision=precision).waveform(mel) for precision in (None, expected))
    assert torch.equal(chosen, same)
