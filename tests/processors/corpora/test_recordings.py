"""A folder of recordings is a corpus, and the recipes for voices and vocoders share one store and one split."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config.load import load_settings
from models.registry import settings_class
from processors.corpora.corpus import CorpusError
from processors.corpora.layouts import read_corpus
from processors.datasets.acoustic_data import open_acoustic_data, open_voice
from processors.feature_store import FeatureStore, ShardWriter
from processors.features import ACOUSTIC_FEATURES, VOCODER_FEATURES, DataError, store_settings
from processors.preparation import report
from processors.preparation.corpus_result import PreparationError
from processors.preparation.prepare import prepare
from processors.utterance import read_manifest
from tests.support.small_corpus import RATE, load, make_corpus, texts, waveform_of, write_config, write_metadata

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pictures take longer than all the rest."""
    monkeypatch.setattr(report, "_shown", lambda *_: ())


def write_sound(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(RATE // 2).clip(-3, 3), RATE)


def read(folder: Path, layout: str = "recordings", **options):
    return read_corpus("toy", layout, folder, language="en", needs_text=False, **options)


def manifest(processed: Path, split: str):
    return read_manifest(processed / "toy" / f"{split}.jsonl")


def names(processed: Path, split: str) -> set[str]:
    return {utterance.id for utterance in manifest(processed, split)}


# The layout


def test_sound_files_in_any_folder_are_named_by_their_path(tmp_path):
    for name in ("a.wav", "anna/b c.flac", "anna/deep/d.ogg", "bert/e.wav", "anna/.hidden.wav"):
        write_sound(tmp_path / name)
    (tmp_path / "anna" / "notes.txt").write_text("nothing")
    found = {each.id: (each.speaker, each.audio_path.relative_to(tmp_path)) for each in read(tmp_path).utterances}
    assert found == {
        "a": ("toy", Path("a.wav")),
        "anna_b_c": ("anna", Path("anna/b c.flac")),
        "anna_deep_d": ("anna", Path("anna/deep/d.ogg")),
        "bert_e": ("bert", Path("bert/e.wav")),
    }
    assert {each.text for each in read(tmp_path).utterances} == {""}


def test_recordings_with_similar_or_odd_names_are_all_kept(tmp_path):
    odd = ["x/y.wav", "x_y.wav", "X_Y.wav", "???.wav", f"{'long' * 60}.wav", "日本語.wav"]
    for name in odd:
        write_sound(tmp_path / name)
    (tmp_path / "x" / "round").symlink_to(tmp_path)
    corpus = read(tmp_path)
    assert corpus.problems == ()
    assert len({each.id.casefold() for each in corpus.utterances}) == len(odd)
    assert "日本語" in {each.id for each in corpus.utterances}
    before = {each.audio_path: each.id for each in corpus.utterances}
    write_sound(tmp_path / "later.wav")
    assert before.items() <= {each.audio_path: each.id for each in read(tmp_path).utterances}.items()


def test_a_recording_in_two_formats_is_read_once(tmp_path):
    write_sound(tmp_path / "a.flac")
    write_sound(tmp_path / "a.wav")
    assert [each.audio_path.name for each in read(tmp_path).utterances] == ["a.wav"]


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(CorpusError, match="no sound file of toy"):
        read(tmp_path)


def test_recordings_are_refused_for_acoustic_models(tmp_path):
    write_sound(tmp_path / "a.wav")
    with pytest.raises(
        CorpusError, match=r"dataset_layout.toy: .*transcripts.*\(ljspeech, speaker_folders, jsonl, ljsp.*\)"
    ):
        read_corpus("toy", "recordings", tmp_path, language="en")


def test_vocoders_use_recordings_without_transcripts(tmp_path):
    make_corpus(tmp_path, 4)
    write_metadata(tmp_path, {**texts(4), "clip_001": " "})
    of_voice = read_corpus("toy", "ljspeech", tmp_path, language="en")
    assert [problem.reason for problem in of_voice.problems] == ["the text is empty"]
    of_vocoder = read(tmp_path, "ljspeech")
    assert ({each.id for each in of_vocoder.utterances}, of_vocoder.problems) == (set(texts(4)), ())
    write_metadata(tmp_path, dict.fromkeys(texts(4), ""))
    assert len(read(tmp_path, "ljspeech").utterances) == 4
    with pytest.raises(CorpusError, match="the text is empty"):
        read_corpus("toy", "ljspeech", tmp_path, language="en")


@pytest.mark.parametrize("layout", ["ljspeech", "speaker_folders", "jsonl"])
def test_vocoders_ignore_problems_of_texts(tmp_path, layout):
    folder = tmp_path / {"ljspeech": "wavs", "speaker_folders": "anna", "jsonl": "."}[layout]
    for name in ("fine", "none", "odd"):
        write_sound(folder / f"{name}.wav")
    if layout == "ljspeech":
        (tmp_path / "metadata.csv").write_text("fine|So.\nnone\nodd|a|b|c|d\n")
    elif layout == "speaker_folders":
        (folder / "fine.lab").write_text("So.")
        (folder / "odd.lab").write_bytes(b"caf\xe9\xff")
    else:
        lines = ({"text": "So."}, {}, {"text": 7})
        listed = zip(("fine", "none", "odd"), lines, strict=True)
        manifest_lines = (json.dumps({"audio_filepath": f"{name}.wav", **line}) for name, line in listed)
        (tmp_path / "manifest.jsonl").write_text("\n".join(manifest_lines))
    of_voice = read_corpus("toy", layout, tmp_path, language="en")
    assert (len(of_voice.utterances), len(of_voice.problems)) == (1, 2)
    of_vocoder = read(tmp_path, layout)
    assert (len(of_vocoder.utterances), of_vocoder.problems) == (3, ())


# Stage 1


def vocoder_config(folder: Path, corpus: Path, layout: str = "ljspeech", **preprocess: object) -> Path:
    config = write_config(folder, corpus, **preprocess)
    tree = json.loads(config.read_text())
    tree["base_config"] = "config/hifigan_v3.json"
    tree["dataset_layout"] = {"toy": layout}
    tree["model"] = {"upsample_rates": [8, 4, 4], "upsample_kernel_sizes": [16, 8, 8]}
    path = folder / "vocoder.json"
    path.write_text(json.dumps(tree))
    return path


def open_acoustic(config: Path, split: str = "train"):
    settings = load_settings(config, (), settings_class).settings
    processed = Path(settings.preprocess.processed_dir)
    voice = open_voice(processed, [])
    expect = store_settings(settings.preprocess, ACOUSTIC_FEATURES, voice.symbols.symbols)
    return open_acoustic_data(processed, ["toy"], split, voice, expect=expect)


def assert_adds_up(processed: Path) -> None:
    """Mel and waveform of every utterance are of one length, and so are durations where there are any."""
    store = FeatureStore.open(processed / "toy")
    for id_ in store.ids("mel"):
        frames = store.length(id_, "mel")
        assert store.length(id_, "waveform") == frames * 128, id_
        if store.has(id_, ("durations",)):
            assert store.read(id_, "durations").sum() == frames, id_


def test_a_folder_of_recordings_is_prepared_for_a_vocoder(tmp_path):
    for number in range(12):
        write_sound(tmp_path / "sounds" / f"{number}.wav", number)
    config = vocoder_config(tmp_path, tmp_path / "sounds", "recordings", textgrid_dir="/nowhere")
    summary = prepare(load(config), features=VOCODER_FEATURES)
    assert (summary.usable, summary.rejected) == (12, 0)
    assert dict(summary.utterances) == {"train": 8, "valid": 2, "test": 2}
    assert_adds_up(tmp_path / "processed")
    with pytest.raises(DataError, match=r"symbols\.json"):
        open_acoustic(write_config(tmp_path, tmp_path / "sounds"))


def test_the_command_needs_no_texts_for_vocoders(tmp_path, monkeypatch):
    from bins import preprocess

    asked = []
    monkeypatch.setattr(preprocess, "load", lambda given: type("Resolved", (), {"settings": load(given.config)}))
    monkeypatch.setattr(
        "processors.preparation.prepare.prepare", lambda *_, features, **__: asked.append(features) or 1 / 0
    )
    for config in (vocoder_config(tmp_path, tmp_path), write_config(tmp_path, tmp_path)):
        with pytest.raises(ZeroDivisionError):
            preprocess.main(Namespace(num_workers=1, overwrite=False, shard=None, cluster="", config=config))
    assert asked == [VOCODER_FEATURES, ACOUSTIC_FEATURES]


@pytest.mark.slow
def test_a_vocoder_uses_the_store_of_a_voice_and_leaves_the_voice_unchanged(tmp_path):
    make_corpus(tmp_path / "corpus", 12)
    write_metadata(tmp_path / "corpus", {**texts(12), "clip_003": "日本語"})  # no word of it can be aligned
    voice = write_config(tmp_path, tmp_path / "corpus")
    vocoder = vocoder_config(tmp_path, tmp_path / "corpus")
    processed = tmp_path / "processed"
    of_voice = prepare(load(voice))
    before = {split: {utterance.id: utterance for utterance in manifest(processed, split)} for split in SPLITS}
    files = {path.name: path.read_bytes() for path in processed.glob("*.json")}
    examples = {split: open_acoustic(voice, split) for split in SPLITS}
    assert (of_voice.usable, of_voice.rejected) == (11, 1)

    of_vocoder = prepare(load(vocoder), features=VOCODER_FEATURES)
    assert (of_vocoder.prepared, of_vocoder.usable) == (1, 12)  # only what the text had spoiled
    assert {path.name: path.read_bytes() for path in processed.glob("*.json")} == files
    for split in SPLITS:
        listed = {utterance.id: utterance for utterance in manifest(processed, split)}
        assert before[split].items() <= listed.items()  # phones, durations and all
        again = open_acoustic(voice, split)
        assert len(again) == len(examples[split])
        for index in range(len(again)):
            assert np.array_equal(again[index].mel, examples[split][index].mel)
            assert again[index].durations.sum() == len(again[index].mel)
    assert not names(processed, "train") & before["test"].keys()
    assert_adds_up(processed)
    # And back: the voice makes again only what it cannot use.
    assert (prepare(load(voice)).prepared, prepare(load(voice)).prepared) == (1, 0)


@pytest.mark.slow
def test_a_voice_prepares_the_utterances_of_a_vocoder_again(tmp_path):
    make_corpus(tmp_path / "corpus", 12)
    voice = write_config(tmp_path, tmp_path / "corpus")
    processed = tmp_path / "processed"
    prepare(load(vocoder_config(tmp_path, tmp_path / "corpus")), features=VOCODER_FEATURES)
    assert_adds_up(processed)
    train, test = names(processed, "train"), names(processed, "test")
    whole = FeatureStore.open(processed / "toy").length("clip_000", "mel")
    assert prepare(load(voice)).prepared == 12
    assert (names(processed, "train"), names(processed, "test")) == (train, test)
    assert_adds_up(processed)
    assert FeatureStore.open(processed / "toy").length("clip_000", "mel") < whole  # its silence was cut
    assert len(open_acoustic(voice)) == len(train)


@pytest.mark.slow
def test_a_partial_store_of_a_voice_is_complete_for_a_vocoder(tmp_path):
    # As after a kill: some utterances are trimmed, the others are not.
    make_corpus(tmp_path / "corpus", 12)
    vocoder = vocoder_config(tmp_path, tmp_path / "corpus")
    prepare(load(vocoder), features=VOCODER_FEATURES)
    some = dict(list(texts(12).items())[:6])
    write_metadata(tmp_path / "corpus", some)
    prepare(load(write_config(tmp_path, tmp_path / "corpus")))
    write_metadata(tmp_path / "corpus", texts(12))
    summary = prepare(load(vocoder), features=VOCODER_FEATURES)
    assert (summary.prepared, summary.usable) == (0, 12)
    assert_adds_up(tmp_path / "processed")


def test_a_changed_recording_removes_the_voices_old_features(tmp_path):
    make_corpus(tmp_path / "corpus", 12)
    voice = write_config(tmp_path, tmp_path / "corpus")
    prepare(load(voice))
    frames = FeatureStore.open(tmp_path / "processed" / "toy").length("clip_002", "mel")
    with ShardWriter(tmp_path / "processed" / "toy") as writer:
        writer.add("clip_002", {"predicted_mel": np.zeros((frames, 40), dtype=np.float32)})
    longer = np.concatenate([waveform_of("See my tea.")] * 2)
    soundfile.write(tmp_path / "corpus" / "wavs" / "clip_002.wav", longer, RATE)
    summary = prepare(load(vocoder_config(tmp_path, tmp_path / "corpus")), features=VOCODER_FEATURES)
    assert summary.prepared == 1
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    assert not any(store.has("clip_002", (feature,)) for feature in ("durations", "f0", "predicted_mel"))
    assert_adds_up(tmp_path / "processed")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_test_utterances_of_a_voice_are_not_in_vocoder_training(tmp_path, seed):
    make_corpus(tmp_path / "corpus", 20)
    spoken = texts(20)
    for number in range(0, 20, 3):  # recordings without a text must not shift the others
        spoken[f"clip_{number:03d}"] = ""
    write_metadata(tmp_path / "corpus", spoken)
    options = {"split_seed": seed, "valid_size": 3, "test_size": 4, "max_bad_share": 0.5}
    prepare(load(write_config(tmp_path, tmp_path / "corpus", **options)))
    of_voice = {split: names(tmp_path / "processed", split) for split in SPLITS}
    prepare(load(vocoder_config(tmp_path, tmp_path / "corpus", **options)), features=VOCODER_FEATURES)
    of_vocoder = {split: names(tmp_path / "processed", split) for split in SPLITS}
    assert of_vocoder["test"] == of_voice["test"]
    assert of_vocoder["valid"] == of_voice["valid"]
    assert len(of_vocoder["train"]) == len(of_voice["train"]) + 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "other"), [("recordings", {}), ("ljspeech", {"split_seed": 7}), ("ljspeech", {"test_size": 1})]
)
def test_a_vocoder_with_test_utterances_of_a_voice_is_refused(tmp_path, layout, other):
    make_corpus(tmp_path / "corpus", 20)
    options = {"valid_size": 3, "test_size": 4}
    voice = write_config(tmp_path, tmp_path / "corpus", **options)
    prepare(load(voice))
    before = {split: names(tmp_path / "processed", split) for split in SPLITS}
    vocoder = vocoder_config(tmp_path, tmp_path / "corpus", layout, **{**options, **other})
    with pytest.raises(PreparationError, match=r"in the vocoder.s training split \(clip_.*dataset_layout, split_seed"):
        prepare(load(vocoder), features=VOCODER_FEATURES)
    assert {split: names(tmp_path / "processed", split) for split in SPLITS} == before
    assert len(open_acoustic(voice)) == len(before["train"])


@pytest.mark.slow
def test_a_vocoder_follows_a_voice_with_a_grown_corpus(tmp_path):
    make_corpus(tmp_path / "corpus", 20)
    write_metadata(tmp_path / "corpus", dict(list(texts(20).items())[:12]))
    options = {"valid_size": 0.2, "test_size": 0.2}
    voice = write_config(tmp_path, tmp_path / "corpus", **options)
    prepare(load(voice))
    write_metadata(tmp_path / "corpus", texts(20))
    prepare(load(voice))
    of_voice = {split: names(tmp_path / "processed", split) for split in SPLITS}
    vocoder = vocoder_config(tmp_path, tmp_path / "corpus", **options)
    assert prepare(load(vocoder), features=VOCODER_FEATURES).prepared == 0
    assert {split: names(tmp_path / "processed", split) for split in SPLITS} == of_voice
