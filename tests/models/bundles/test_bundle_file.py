"""Bundle files: one archive speaks as the folder does, wherever a bundle is named; others are refused."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import pytest
import torch

import bins.export
import bins.synthesize
from models.bundles.locate import find_bundle, find_sources
from models.bundles.vocoder import find_vocoder
from models.bundles.warm_start import find_initial_state
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import open_vocoder
from models.registry import make_task
from models.serving.shared_synthesizer import SharedSynthesizer
from models.serving.voices import Voices, voices_in
from processors.speakers.sources import Source
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.bundle_file import BundleFileError, read_bytes, write_bundle_file

TEXT = "A zyx, read twice."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A voice with a lexicon, two speakers and a vocoder within, as a folder and as one file."""
    place = tmp_path_factory.mktemp("voices")
    lexicon = place / "mine.txt"
    lexicon.write_text("zyx Z IH1 K S\n")
    voice = tiny_bundle(f"preprocess.lexicon_path={lexicon}", speakers=("anna", "ben"))
    replace(voice, sources=(Source("a teacher", "MIT"),), languages={"ben": "en"}).save(place / "anna")
    tiny_vocoder_bundle().save(place / "anna" / "vocoder")
    write_bundle_file(place / "anna.recital", place / "anna")
    return place


def test_a_bundle_file_is_read_as_its_folder_is(folder):
    ours, theirs = find_bundle(folder / "anna.recital"), find_bundle(folder / "anna")
    assert list(ours.weights) == list(theirs.weights)
    assert all(torch.equal(ours.weights[name], weight) for name, weight in theirs.weights.items())
    assert replace(ours, folder=theirs.folder, weights=theirs.weights) == theirs
    assert read_bytes(ours.lexicon_path) == b"zyx Z IH1 K S\n"
    assert find_sources(folder / "anna.recital") == (Source("a teacher", "MIT"),)
    within = find_vocoder(folder / "anna.recital")
    assert within.settings == find_bundle(folder / "anna.recital" / "vocoder").settings
    assert sorted(path.name for path in folder.iterdir()) == ["anna", "anna.recital", "mine.txt"]  # nothing extracted


def test_a_bundle_file_speaks_bit_for_bit_as_its_folder_does(folder):
    spoken = [
        Synthesizer.open(place, precision="fp32")(TEXT, speaker="ben").waveform
        for place in (folder / "anna", folder / "anna.recital")
    ]
    assert torch.equal(torch.as_tensor(spoken[0]), torch.as_tensor(spoken[1])) and len(spoken[0]) > 1000
    mel = torch.randn(20, 12, generator=torch.Generator().manual_seed(1))
    made = [open_vocoder(place).waveform(mel) for place in (folder / "anna" / "vocoder", folder / "anna.recital")]
    assert torch.equal(*made)


def test_a_server_takes_bundle_files(folder):
    assert voices_in(folder) == {"anna": folder / "anna.recital"}
    voices = Voices({"anna": folder / "anna.recital"}, {}, SharedSynthesizer.open)
    first = voices.open("anna")
    assert first is voices.open("anna") and first.speakers == ("anna", "ben")


@pytest.mark.slow
def test_fine_tuning_begins_at_a_bundle_file(folder):
    vocoder = tiny_vocoder_bundle()
    initial = find_initial_state(folder / "anna.recital", vocoder.settings, make_task(vocoder.settings))
    [weights] = initial.modules.values()
    assert all(torch.equal(weights[name], weight) for name, weight in vocoder.weights.items())
    assert initial.path == folder / "anna.recital" / "vocoder"


@pytest.mark.slow
def test_an_exported_file_holds_the_vocoder_and_is_spoken_with(folder, tmp_path, command):
    tiny_vocoder_bundle().save(tmp_path / "vocoder")
    tiny_bundle().save(tmp_path / "ben" / "bundle")

    def exported(model, target, *more):
        flags = ("--bundle", model, "--format", "recital", "--output_dir", target)
        return command(bins.export, *flags, *more)

    code, printed, errors = exported(tmp_path / "ben", tmp_path / "out", "--vocoder_dir", tmp_path / "vocoder")
    assert code == 0 and "wrote ben.recital to " in printed, errors
    code, _, errors = exported(tmp_path / "ben", tmp_path / "out")
    assert code == 1 and "ben.recital: is there already; --overwrite replaces" in errors
    file = tmp_path / "out" / "ben.recital"
    code, _, errors = exported(file, tmp_path / "again.recital")
    assert code == 0 and (tmp_path / "again.recital").read_bytes() == file.read_bytes(), errors
    code, printed, errors = exported(tmp_path / "vocoder", tmp_path / "out", "--precision", "bf16")
    assert code == 0, errors
    assert {each.dtype for each in find_vocoder(tmp_path / "out" / "vocoder.recital").weights.values()} == {
        torch.bfloat16
    }
    code, printed, errors = exported(tmp_path / "ben", tmp_path / "without.recital")
    assert code == 0 and "no shipped vocoder fits this model" in printed, errors
    speak = ("--infer_expt_dir", file, "--infer_text", "Hello.")
    for vocoder in ((), ("--vocoder_dir", file), ("--vocoder_dir", file / "vocoder")):
        code, printed, errors = command(bins.synthesize, *speak, *vocoder, "--overwrite")
        assert code == 0 and "Griffin-Lim" not in printed, errors
    [wav] = (tmp_path / "out" / "result").glob("*.wav")
    spoken = {}
    for precision in ("fp32", "bf16"):
        flags = ("--precision", precision, "--device", "cpu", "--overwrite")
        code, _, errors = command(bins.synthesize, *speak, *flags)
        assert code == 0, errors
        spoken[precision] = wav.read_bytes()
    assert spoken["fp32"] != spoken["bf16"]
    code, _, errors = command(bins.synthesize, *speak, "--precision", "fp16", "--device", "cpu")
    assert code == 1 and "precision fp16: needs a GPU; on the CPU choose bf16 or fp32" in errors
    file.write_bytes(file.read_bytes()[:1000])
    code, _, errors = command(bins.synthesize, *speak)
    assert code == 1 and "ben.recital: is damaged, or no bundle file" in errors and errors.count("\n") == 1


def archive(*files, **options):
    """Return the bytes of a zip archive of names and contents."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", **options) as writer:
        for name, text in files:
            writer.writestr(name, text)
    return content.getvalue()


SETTINGS = ("settings.json", json.dumps({"model_type": "HiFiGAN"}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_and_hostile_archives_are_refused_in_a_sentence(folder, tmp_path):
    sound = (folder / "anna.recital").read_bytes()
    weights = sound.index(b"model.safetensors") + len("model.safetensors") + 5000
    speakers = sound.index(b'"anna"')
    bomb = archive(SETTINGS, ("symbols.json", "0" * 10**7), compression=zipfile.ZIP_DEFLATED)
    plain = archive(SETTINGS)
    claims = bytearray(plain)
    where = plain.rindex(b"PK\x01\x02")
    claims[where + 20 : where + 28] = b"\xf0\xff\xff\x7f" * 2  # both sizes
    encrypted = bytearray(plain)
    encrypted[where + 8] |= 1
    cases = {
        b"": "is damaged, or no bundle file",
        b"<!doctype html>": "is damaged, or no bundle file",
        sound[: len(sound) // 2]: "is damaged, or no bundle file",
        sound[len(sound) // 2 :]: "is damaged, or no bundle file|is refused",
        sound[:speakers] + b"?" + sound[speakers + 1 :]: "Bad CRC-32 for file 'speakers.json'",
        sound[:weights] + bytes([sound[weights] ^ 1]) + sound[weights + 1 :]: "Bad CRC-32 for file 'model.safetensors'",
        bomb: "its files are compressed, or claim to be larger",
        archive(SETTINGS, ("symbols.json", "0"), compression=zipfile.ZIP_LZMA): "is compressed",
        bytes(claims): "its files are compressed, or claim to be larger",
        bytes(encrypted): "'settings.json' is encrypted",
        archive(SETTINGS, SETTINGS): "'settings.json' is in it twice",
        archive(*((f"{number}.txt", "") for number in range(1001))): "it holds 1001 files",
        archive(("notes.txt", "")): "it has no settings.json",
    }
    for name in ("/etc/passwd", "../settings.json", "vocoder/../../settings.json", "a\\b", "C:x", "./a", "a//b"):
        cases[archive(SETTINGS, (name, ""))] = "is not the name of a file within it"
    path = tmp_path / "bad.recital"
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as refused:
            find_bundle(path)
        assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)
        assert isinstance(refused.value, BundleFileError) or "settings.json" in str(refused.value)


def test_an_archive_zipped_by_hand_is_a_bundle_file(folder, tmp_path):
    path = tmp_path / "by_hand.RECITAL"
    with zipfile.ZipFile(path, "w") as writer:
        for each in sorted((folder / "anna").rglob("*")):
            writer.write(each, each.relative_to(folder / "anna"))  # folders are entries of their own
    assert find_bundle(path).speakers == {"anna": 0, "ben": 1}
    assert find_vocoder(path).settings.model_type == "HiFiGAN"
