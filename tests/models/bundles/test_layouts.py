"""Models of other programs are read, or refused in one sentence that names what they are."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
import zipfile

import pytest
import torch

from models.bundle import BundleError
from models.bundles.layouts import LAYOUTS, find_foreign
from models.bundles.locate import find_bundle
from models.bundles.warm_start import find_initial_state
from models.hifigan.original import write_published
from models.inference.vocoder import open_vocoder
from models.registry import make_task
from tests.support.tiny_vocoder import tiny_vocoder_bundle


def tensors(*names):
    return {name: torch.zeros(1) for name in names}


def saved(content, **more):
    file = io.BytesIO()
    torch.save(content, file, **more)
    return file.getvalue()


def scripted():
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), file)
    return file.getvalue()


def tarred(mode="w", **members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    return file.getvalue()


def safetensors(*names):
    header = json.dumps({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}).encode()
    return len(header).to_bytes(8, "little") + header


HIFIGAN = ("conv_pre.weight_v", "resblocks.0.convs1.0.bias", "ups.0.bias", "conv_post.bias")
NEMO = b"sample_rate: 22050\ntarget: nemo.collections.tts.models.fastpitch.FastPitchModel\n"
LIGHTNING = {"pytorch-lightning_version": "2.0.0", "epoch": 3, "global_step": 700}
STEP = "checkpoint/epoch-0020_step-0012340_loss-1.2/pytorch_model.bin"
OTHER_SYMBOLS = "cannot be read, because these weights use another symbol set, which Recital cannot map"
NOT_YET = "not readable yet"

# What is written, by name, the one that matters last; and what it must be called.
FOREIGN = {
    "nemo": ({"voice.nemo": tarred(model_config__yaml=NEMO)}, f"NeMo FastPitchModel: {NOT_YET}"),
    "nemo_gz": ({"hifi.tar.gz": tarred("w:gz", model_config__yaml=NEMO)}, f"NeMo FastPitchModel: {NOT_YET}"),
    "nemo_old": ({"voice.nemo": b"nothing"}, f"NeMo model: {NOT_YET}"),
    "piper": ({"en.onnx.json": b"{}", "en.onnx": b"\x08\x07"}, f"Piper voice: {NOT_YET}"),
    "onnx": ({"g.onnx": b"\x08\x07\x12\x07pytorch"}, f"ONNX model: {NOT_YET}"),
    "tensorflow": ({"model.h5": b"\x89HDF"}, f"TensorFlow model: {NOT_YET}"),
    "torchscript": ({"vocoder.pt": scripted()}, "TorchScript module: cannot be read, because it holds code; "),
    "zip": (
        {"config.json": b"{}", "generator_universal.pth.tar.zip": zipped("generator_universal.pth.tar")},
        "archive of generator_universal.pth.tar: cannot be read, because it has to be unpacked first",
    ),
    "tar": (
        {"model.tgz": tarred("w:gz", g_100=b"1")},
        "archive of g_100: cannot be read, because it has to be unpacked",
    ),
    "amphion_alone": (
        {STEP: saved(tensors(*HIFIGAN))},
        "Amphion checkpoint, epoch 20: cannot be read, because args.json, which Amphion writes at the root of an ",
    ),
    "amphion_acoustic": (
        {"args.json": b'{"model_type": "FastSpeech2",}', STEP: saved(tensors("encoder.src_word_emb.weight"))},
        f"Amphion FastSpeech2, epoch 20: {NOT_YET}",
    ),
    "amphion_bigvgan": (
        {"args.json": b'{"model": {"generator": "bigvgan", "hifigan": {}}}', STEP: saved(tensors(*HIFIGAN))},
        f"Amphion bigvgan, epoch 20: {NOT_YET}",
    ),
    "coqui": (
        {
            "config.json": b'{"model": "vits", "audio": {}}',
            "best_model.pth": saved({"model": {}, "step": 9, "epoch": 2}),
        },
        f"Coqui vits, epoch 2: {NOT_YET}",
    ),
    "coqui_vocoder": (
        {"config.json": b'{"generator_model": "hifigan_generator", "audio": {}}', "m.pth": saved(tensors(*HIFIGAN))},
        f"Coqui hifigan_generator: {NOT_YET}",
    ),
    "hugging_face": (
        {"config.json": b'{"architectures": ["SpeechT5HifiGan"]}', "model.safetensors": safetensors(*HIFIGAN)},
        f"Hugging Face SpeechT5HifiGan: {NOT_YET}",
    ),
    "xtts": ({"model.pth": saved({"model": tensors("gpt.gpt.h", "hifigan_decoder.a")})}, f"Coqui XTTS: {NOT_YET}"),
    "tts_framework": (
        {"v.ckpt": saved({"state_dict": tensors("acoustic_model.utterance_prosody_encoder.a"), **LIGHTNING})},
        f"DelightfulTTS of tts-framework, epoch 3: {OTHER_SYMBOLS}",
    ),
    "voicesmith": (
        {"acoustic_pretrained.pt": saved({"gen": tensors("utterance_prosody_encoder.a"), "steps": 50})},
        f"DelightfulTTS of voicesmith, step 50: {OTHER_SYMBOLS}",
    ),
    "nemo_checkpoint": (
        {"a.ckpt": saved({"state_dict": tensors("fastpitch.encoder.word_emb.weight")})},
        "NeMo FastPitch:",
    ),
    "tacotron2": (
        {
            "tacotron2.pt": saved(
                {"state_dict": tensors("embedding.weight", "decoder.attention_rnn.bias_hh"), "epoch": 7}
            )
        },
        f"NVIDIA Tacotron 2, epoch 7: {NOT_YET}",
    ),
    "ming024": (
        {"900000.pth.tar": saved({"model": tensors("module.encoder.src_word_emb.weight", "variance_adaptor.a")})},
        f"FastSpeech 2 of ming024: {NOT_YET}",
    ),
    "espnet": ({"train.loss.ave_5best.pth": saved(tensors("tts.encoder.embed.0.weight"))}, f"ESPnet: {NOT_YET}"),
    "piper_checkpoint": ({"e.ckpt": saved({"s": tensors("model_g.enc_p.emb.weight")})}, "Piper training checkpoint:"),
    "vits": ({"G_1000.pth": saved({"model": tensors("enc_p.a", "flow.flows.0.a", *HIFIGAN)})}, f"VITS: {NOT_YET}"),
    "matcha": ({"m.ckpt": saved({"state_dict": tensors("decoder.estimator.a")})}, f"Matcha-TTS: {NOT_YET}"),
    "style": (
        {"s.pth": saved({"net": dict.fromkeys(("bert_encoder", "text_encoder", "predictor", "decoder"))})},
        "StyleTTS 2",
    ),
    "vocos": ({"p.bin": saved(tensors("backbone.convnext.0.a", "head.out.bias"))}, f"Vocos: {NOT_YET}"),
    "kan_bayashi": (
        {
            "checkpoint-100steps.pkl": saved(
                {"model": tensors("input_conv.a", "output_conv.1.a", "upsamples.0.a"), "steps": 100}
            )
        },
        f"ParallelWaveGAN's HiFi-GAN, step 100: {NOT_YET}",
    ),
    "pwg": (
        {"p.pkl": saved({"model": tensors("first_conv.a", "last_conv_layers.1.a")})},
        f"Parallel WaveGAN: {NOT_YET}",
    ),
    "bigvgan": ({"g_05000000": saved({"generator": tensors("r.activations.0.a", *HIFIGAN)})}, f"BigVGAN: {NOT_YET}"),
    "nsf": (
        {"model": b"", "g_1": saved({"generator": tensors("noise_convs.0.a", *HIFIGAN)})},
        f"NSF-HiFi-GAN: {NOT_YET}",
    ),
    "istft": (
        {"config.json": b'{"gen_istft_n_fft": 16}', "g_2": saved({"generator": tensors(*HIFIGAN)})},
        f"iSTFTNet: {NOT_YET}",
    ),
    "discriminators": (
        {"do_00000100": saved({"mpd": tensors("a"), "msd": tensors("b"), "steps": 100, "epoch": 4})},
        "discriminators of a HiFi-GAN, epoch 4: cannot be read, because a vocoder is its generator: name g_",
    ),
    "optimizer": (
        {"optimizer.bin": saved({"state": {}, "param_groups": []})},
        "optimizer state: cannot be read, because",
    ),
    "lightning": (
        {"last.ckpt": saved({"state_dict": {}, **LIGHTNING})},
        f"PyTorch Lightning checkpoint, epoch 3: {NOT_YET}",
    ),
    "safetensors": (
        {"model.safetensors": safetensors("a.weight")},
        "safetensors file: cannot be read, because neither",
    ),
    "unknown": (
        {"m.pt": saved({"best": 1, "net": tensors("a")})},
        "torch file of best, net: cannot be read, because its ",
    ),
    "before_1_6": (
        {"tacotron2.pt": saved({"epoch": 5, "net": tensors("a")}, _use_new_zipfile_serialization=False)},
        "torch file of epoch, net, epoch 5: cannot be read, because its tensors are those of no model that is read",
    ),
    "lfs": ({"model.nemo": b"version https://git-lfs.github.com/spec/v1\n"}, "is a pointer of Git LFS, not the file"),
    "page": ({"hifigan.onnx": b"<!DOCTYPE html>"}, "is a web page, not the file"),
    "cut": ({"m.pt": saved({"net": tensors("a")})[:-100]}, "is cut short: its end is missing"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_read_is_refused_by_what_it_is(tmp_path, kind):
    files, expected = FOREIGN[kind]
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for place in {tmp_path, file, file.parent, file.parent.parent if "checkpoint/" in name else file}:
        with pytest.raises(BundleError) as caught:
            find_bundle(place)
        message = str(caught.value)
        assert message.startswith(f"{file}: {expected}") and "\n" not in message


def test_no_recogniser_is_hidden_by_one_before_it():
    """Each that names a model by itself was the answer above, or is read in the tests of its model."""
    named = " ".join(expected for _, expected in FOREIGN.values())
    assert [
        layout.name
        for layout in LAYOUTS
        if isinstance(layout.name, str) and not layout.model_type and layout.name not in named
    ] == []


def test_150_damaged_files_are_refused_by_name(tmp_path):
    """Cut, overwritten and spoilt byte by byte; nothing is read, since their tensors are too few."""
    draw = random.Random(0)
    names = [f"conv_pre.{number}" for number in range(9)]
    whole = {
        "g_00000001": saved({"generator": tensors(*names)}),
        "waveglow_1.pt": saved({"state_dict": tensors("convinv.0.conv.weight")}),
        "univnet.pt": saved({"model_g": tensors(*names)}, _use_new_zipfile_serialization=False),
        "fastpitch.pt": saved({"state_dict": tensors("encoder.word_emb.weight"), "config": {}}),
        "vocoder.pt": scripted(),
        "voice.nemo": tarred(model_config__yaml=NEMO),
        "hifi.tgz": tarred("w:gz", model_config__yaml=NEMO),
        "model.safetensors": safetensors(*names),
    }
    for number in range(150):
        name = draw.choice(list(whole))
        content = bytearray(whole[name])
        place = draw.randrange(len(content))
        if number % 3 == 0:
            del content[place:]
        elif number % 3 == 1:
            content[place : place + 60] = bytes(60)
        else:
            for _ in range(draw.choice([1, 3, 30])):
                content[draw.randrange(len(content))] = draw.randrange(256)
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(BundleError) as caught:
            find_bundle(file)
        message = str(caught.value)
        assert (str(file) in message or "config.json: is missing" in message) and "\n" not in message


# ming024's folder


@pytest.fixture(scope="module")
def hifigan_folder(tmp_path_factory):
    """Write the folder `hifigan/` of ming024's FastSpeech2: two generators beside the settings and code."""
    folder = tmp_path_factory.mktemp("ming024") / "hifigan"
    write_published(folder, tiny_vocoder_bundle(), None)
    payload = torch.load(folder / "g_00000000", weights_only=True)
    (folder / "g_00000000").rename(folder / "generator_universal.pth.tar")
    payload["generator"]["conv_post.bias"] += 1
    torch.save(payload, folder / "generator_LJSpeech.pth.tar")
    (folder / "generator_LJSpeech.pth.tar.zip").write_bytes(zipped("generator_LJSpeech.pth.tar"))
    (folder / "models.py").write_text("# the network")
    return folder


@pytest.mark.slow
def test_the_vocoders_of_ming024_are_read_by_folder_and_file(hifigan_folder, tmp_path, capsys):
    mel = torch.randn(20, 30) - 4
    expected = open_vocoder(hifigan_folder / "generator_universal.pth.tar").waveform(mel)
    other = open_vocoder(hifigan_folder / "generator_LJSpeech.pth.tar")
    assert capsys.readouterr().out == "" and not torch.equal(other.waveform(mel), expected)
    for place in (hifigan_folder, hifigan_folder / "config.json"):
        torch.testing.assert_close(open_vocoder(place).waveform(mel), expected)
        assert "taking generator_universal.pth.tar; name the file for generator_LJSpeech" in capsys.readouterr().out
    alone = shutil.copytree(hifigan_folder, tmp_path / "alone")
    (alone / "generator_universal.pth.tar").unlink()
    torch.testing.assert_close(open_vocoder(alone).waveform(mel), other.waveform(mel))
    assert capsys.readouterr().out == ""


def test_the_newest_of_a_folder_is_taken_and_a_layout_that_is_read_before_others(hifigan_folder, tmp_path):
    for name in ("g_00000900", "g_00010000"):
        shutil.copy(hifigan_folder / "generator_universal.pth.tar", tmp_path / name)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "broken.pt").write_bytes(b"")
    shutil.copy(hifigan_folder / "config.json", tmp_path)
    assert find_foreign(tmp_path).evidence.file.name == "g_00010000"
    assert find_foreign(tmp_path / "nothing") is None
    folder = tmp_path / "X" / "checkpoints"
    shutil.copytree(hifigan_folder, folder)
    assert find_foreign(tmp_path / "X").evidence.file.parent == folder


@pytest.mark.slow
def test_a_foreign_checkpoint_is_no_initial_state_by_what_it_is(tmp_path):
    bundle = tiny_vocoder_bundle("model.discriminator_channel_divisor=16")
    (tmp_path / "en.onnx").write_bytes(b"\x08\x07")
    for place in (tmp_path, tmp_path / "en.onnx"):
        with pytest.raises(BundleError, match=r"en\.onnx: ONNX model: not readable yet"):
            find_initial_state(place, bundle.settings, make_task(bundle.settings))
