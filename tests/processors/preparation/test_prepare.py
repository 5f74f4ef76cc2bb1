"""Stage 1: consistent features, nothing made twice, the same result after any interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from processors.alignment.intervals import AlignmentError
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.alignment.textgrid_folders import TextGrids
from processors.datasets.utterance_data import front_end_version_of
from processors.feature_store import FeatureStore, StoreError
from processors.features import ACOUSTIC_FEATURES, ALIGNER_FEATURES, VOCODER_FEATURES
from processors.preparation import extraction, former_phones, report, voice_files
from processors.preparation import plan as plan_module
from processors.preparation import prepare as prepare_module
from processors.preparation.corpus_result import PreparationError
from processors.preparation.fingerprints import Fingerprints
from processors.preparation.jobs import Job, groups_of
from processors.preparation.prepare import prepare
from processors.speakers.sources import Source, read_sources, write_sources
from processors.speakers.statistics import open_statistics
from processors.text.front_end_version import FRONT_END_VERSION, FrontEndVersion
from processors.text.symbols import SymbolTable
from processors.utterance import SPLITS, Utterance, read_manifest
from tests.support.commands import call, start
from tests.support.failing_preparation import make_clumsy_work, make_deadly_work
from tests.support.small_corpus import (
    EDGE_S,
    PHONE_S,
    RATE,
    VOICED_HZ,
    alignment_of,
    load,
    make_corpus,
    texts,
    waveform_of,
    write_clip,
    write_config,
    write_metadata,
)
from utils.lock import sole_user


@pytest.fixture
def corpus(tmp_path):
    """Write a corpus of 24 clips, which the test may change."""
    make_corpus(tmp_path / "corpus", 24)
    return tmp_path / "corpus"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch, request):
    """Pictures take longer than all the rest."""
    if "page" not in request.node.name:
        monkeypatch.setattr(report, "_shown", lambda *_: ())


def utterances(processed: Path, split: str | None = None) -> dict[str, Utterance]:
    splits = [split] if split else SPLITS
    return {each.id: each for name in splits for each in read_manifest(processed / "toy" / f"{name}.jsonl")}


def everything(processed: Path) -> dict[str, object]:
    """Return all output of stage 1, regardless of how it is divided into files."""
    store = FeatureStore.open(processed / "toy")
    made: dict[str, object] = {
        f"{id_} {feature}": store.read(id_, feature).tobytes()
        for feature in store.features
        for id_ in store.ids(feature)
    }
    for path in [*processed.glob("*.json"), *processed.glob("toy/*.jsonl"), processed / "toy" / "report.md"]:
        made[path.name] = path.read_bytes()
    for path in processed.rglob("*.TextGrid"):
        made[path.name] = path.read_bytes()
    return made


# What is made


@pytest.mark.slow
def test_time_adds_up_for_every_utterance(tmp_path, corpus):
    summary = prepare(load(write_config(tmp_path, corpus)))
    assert (summary.prepared, summary.usable, summary.rejected) == (24, 24, 0)
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    symbols = SymbolTable.open(tmp_path / "processed" / "symbols.json")
    for utterance in utterances(tmp_path / "processed").values():
        features = {name: store.read(utterance.id, name) for name in ACOUSTIC_FEATURES}
        frames = utterance.frames
        assert features["mel"].shape == (frames, 40)
        assert features["f0"].shape == features["energy"].shape == (frames,)
        assert features["waveform"].shape == (frames * 128,)
        assert sum(utterance.durations) == features["durations"].sum() == frames
        assert symbols.phones(features["phonemes"]) == list(utterance.phones)
        assert utterance.phones[0] == "sil"
        assert utterance.phones[-1] == "."
        assert all(np.isfinite(values).all() for values in features.values())
    assert summary.frames == sum(utterance.frames for utterance in utterances(tmp_path / "processed").values())


def test_edge_silence_is_cut_with_the_durations_in_step(tmp_path, corpus):
    prepare(load(write_config(tmp_path, corpus, edge_silence_ms=80)))
    hop_s = 128 / RATE
    for utterance in utterances(tmp_path / "processed").values():
        spoken_s = 10 * PHONE_S
        assert utterance.frames * hop_s == pytest.approx(spoken_s + 0.16, abs=hop_s)
        assert utterance.durations[0] * hop_s == pytest.approx(0.08, abs=hop_s)
        assert np.array(utterance.durations[1:-1]) * hop_s == pytest.approx(PHONE_S, abs=hop_s)
        assert utterance.duration_s == pytest.approx(spoken_s + 2 * EDGE_S)
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    f0_hz = store.read("clip_000", "f0")
    durations = store.read("clip_000", "durations")
    vowel = slice(durations[:2].sum() + 3, durations[:3].sum() - 3)
    assert f0_hz[vowel] == pytest.approx(VOICED_HZ, rel=0.02)


def test_edge_silence_stays_where_settings_say_so(tmp_path, corpus):
    prepare(load(write_config(tmp_path, corpus, trim_silence=False)))
    utterance = utterances(tmp_path / "processed")["clip_000"]
    assert utterance.frames == round((10 * PHONE_S + 2 * EDGE_S) * RATE) // 128
    assert utterance.durations[0] == round(EDGE_S * RATE / 128)


def test_splits_are_disjoint_and_statistics_are_of_training_alone(tmp_path, corpus):
    prepare(load(write_config(tmp_path, corpus)))
    sets = {split: set(utterances(tmp_path / "processed", split)) for split in SPLITS}
    assert [len(sets[split]) for split in SPLITS] == [20, 2, 2]
    assert len(set().union(*sets.values())) == 24
    frames = sum(utterance.frames for utterance in utterances(tmp_path / "processed", "train").values())
    statistics = open_statistics(tmp_path / "processed" / "statistics.json")
    assert statistics["toy"].energy.n_frames == frames
    assert json.loads((tmp_path / "processed" / "speakers.json").read_text()) == {"toy": 0}


def test_a_golden_test_is_a_few_of_the_test_split_spread_over_lengths_or_what_is_listed(
    tmp_path, corpus, capsys, monkeypatch
):
    monkeypatch.setattr(voice_files, "_GOLDEN_UTTERANCES", 4)
    config = write_config(tmp_path, corpus)
    prepare(load(config, "preprocess.test_size=12"))
    tested = sorted(utterances(tmp_path / "processed", "test").values(), key=lambda each: (each.duration_s, each.id))
    golden = utterances(tmp_path / "processed", "golden_test")
    assert len(golden) == 4 and {tested[0].id, tested[-1].id} < golden.keys() < {each.id for each in tested}
    assert list(golden) == [each.id for each in tested if each.id in golden]
    assert all(golden[id_] == utterances(tmp_path / "processed", "test")[id_] for id_ in golden)
    listed = [tested[3].id, next(iter(utterances(tmp_path / "processed", "train")))]
    prepare(load(config, "preprocess.test_size=12", f"preprocess.golden_test={json.dumps([*listed, 'none'])}"))
    assert list(utterances(tmp_path / "processed", "golden_test")) == listed
    assert "preprocess.golden_test: no usable utterance none" in capsys.readouterr().err


def test_whispered_corpus_without_any_pitch_is_prepared(tmp_path):
    of_id = texts(6)
    for name, text in of_id.items():
        write_clip(tmp_path / "corpus", name, text)
        noise = 0.05 * np.random.default_rng(1).standard_normal(len(waveform_of(text)))
        soundfile.write(tmp_path / "corpus" / "wavs" / f"{name}.wav", noise, RATE)
    write_metadata(tmp_path / "corpus", of_id)
    assert prepare(load(write_config(tmp_path, tmp_path / "corpus", valid_size=1, test_size=1))).usable == 6
    assert np.isfinite(open_statistics(tmp_path / "processed" / "statistics.json")["toy"].pitch.mean)


def test_vocoder_features_do_not_depend_on_texts(tmp_path, corpus):
    shutil.rmtree(corpus / "TextGrid")
    write_metadata(corpus, dict.fromkeys(texts(24), "日本語"))
    prepare(load(write_config(tmp_path, corpus)), features=VOCODER_FEATURES)
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    assert all(store.has(id_, VOCODER_FEATURES) for id_ in texts(24))
    assert "durations" not in store.features
    assert not (tmp_path / "processed" / "symbols.json").exists()
    length = store.length("clip_000", "mel")
    assert length * 128 == store.length("clip_000", "waveform") == len(waveform_of(texts(1)["clip_000"])) // 128 * 128


def test_vocoder_features_are_not_made_again_after_acoustic_ones(tmp_path, corpus):
    settings = load(write_config(tmp_path, corpus))
    prepare(settings)
    before = everything(tmp_path / "processed")
    assert prepare(settings, features=VOCODER_FEATURES).prepared == 0
    assert prepare(settings).prepared == 0
    assert everything(tmp_path / "processed") == before


@pytest.mark.slow
def test_several_corpora_share_statistics_and_speakers(tmp_path, corpus):
    other = tmp_path / "other"
    for speaker in ("anna", "bert"):
        for name, text in list(texts(4).items()):
            (other / speaker).mkdir(parents=True, exist_ok=True)
            soundfile.write(other / speaker / f"{name}.wav", waveform_of(text), RATE)
            (other / speaker / f"{name}.lab").write_text(text)
            write_textgrid(corpus / "TextGrid" / speaker / f"{speaker}_{name}.TextGrid", alignment_of(text))
    config = write_config(tmp_path, corpus)
    tree = json.loads(config.read_text())
    tree["dataset"].append("others")
    tree["dataset_path"]["others"] = str(other)
    tree["dataset_layout"]["others"] = "speaker_folders"
    config.write_text(json.dumps(tree))
    summary = prepare(load(config))
    assert summary.usable == 32
    speakers = json.loads((tmp_path / "processed" / "speakers.json").read_text())
    assert speakers == {"anna": 0, "bert": 1, "toy": 2}
    assert set(open_statistics(tmp_path / "processed" / "statistics.json")) == set(speakers)


def test_an_aligner_keeps_held_out_speakers_and_embeds_none(tmp_path, corpus):
    folder = tmp_path / "lines"
    folder.mkdir()
    lines = [
        json.dumps({"audio_filepath": str(corpus / "wavs" / f"{id_}.wav"), "id": id_, "text": text, "speaker": speaker})
        for (id_, text), speaker in zip(texts(6).items(), ["ann"] * 4 + ["bob"] * 2, strict=True)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines[:4]))
    (folder / "valid.jsonl").write_text("\n".join(lines[4:]))
    config = write_config(tmp_path, folder, speaker_encoder="statistics", test_size=0)
    settings = load(config, 'dataset_layout={toy:"jsonl"}')
    summary = prepare(settings, features=ALIGNER_FEATURES)
    assert summary.utterances["valid"] >= 2
    speakers = {each.speaker for each in read_manifest(tmp_path / "processed" / "toy" / "valid.jsonl")}
    assert "bob" in speakers
    assert not (tmp_path / "processed" / "speaker_embeddings.json").exists()


@pytest.mark.parametrize("wanted, too_long", [(ALIGNER_FEATURES, "toy_1"), (VOCODER_FEATURES, "")])
def test_a_text_of_more_phones_than_frames_is_left_out(tmp_path, wanted, too_long):
    folder = tmp_path / "lines"
    write_clip(folder, "clip", "See my new tea so.")
    lines = [
        {"audio_filepath": str(folder / "wavs" / "clip.wav"), "id": f"toy_{i}", "text": "See my new tea so. " * times}
        for i, times in enumerate((1, 1000, 2, 3))
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = write_config(tmp_path, folder, valid_size=0, test_size=0, max_bad_share=0.5)
    prepare(load(config, 'dataset_layout={toy:"jsonl"}'), features=wanted)
    report = (tmp_path / "processed" / "toy" / "report.md").read_text()
    ids = {each.id for each in read_manifest(tmp_path / "processed" / "toy" / "train.jsonl")}
    assert ids == {f"toy_{i}" for i in range(4)} - {too_long}
    assert ("too few for the 10000 phones of its text" in report) == bool(too_long)


# Nothing twice


def test_second_run_makes_nothing_and_changes_nothing(tmp_path, corpus, capsys):
    settings = load(write_config(tmp_path, corpus))
    prepare(settings)
    before = everything(tmp_path / "processed")
    capsys.readouterr()
    assert prepare(settings).prepared == 0
    assert "nothing to do: all 24 utterances are up to date" in capsys.readouterr().out
    assert everything(tmp_path / "processed") == before


@pytest.mark.slow
def test_changed_text_recording_or_textgrid_makes_that_utterance_again(tmp_path, corpus):
    settings = load(write_config(tmp_path, corpus))
    prepare(settings)
    of_id = texts(24)
    of_id["clip_003"] = "So my tea do see."
    write_metadata(corpus, of_id)
    write_clip(corpus, "clip_003", of_id["clip_003"])
    louder = 2 * waveform_of(of_id["clip_005"])
    soundfile.write(corpus / "wavs" / "clip_005.wav", louder, RATE)
    shutil.copy(corpus / "TextGrid" / "clip_007.TextGrid", corpus / "TextGrid" / "clip_008.TextGrid")
    assert prepare(settings).prepared == 3
    assert utterances(tmp_path / "processed")["clip_003"].text == "So my tea do see."
    assert utterances(tmp_path / "processed")["clip_003"].phones[1:5] == ("S", "OW1", "M", "AY1")
    store = FeatureStore.open(tmp_path / "processed" / "toy")
    assert np.abs(store.read("clip_005", "waveform").astype(int)).max() > 0.5 * 32768
    seven, eight = (store.read(name, "phonemes").tolist() for name in ("clip_007", "clip_008"))
    assert seven == eight


@pytest.mark.slow
def test_new_utterances_are_added_and_missing_ones_dropped(tmp_path, corpus):
    settings = load(write_config(tmp_path, corpus))
    prepare(settings)
    of_id = texts(26)
    for name in ("clip_024", "clip_025"):
        write_clip(corpus, name, of_id[name])
    del of_id["clip_000"]
    write_metadata(corpus, of_id)
    assert prepare(settings).prepared == 2
    assert set(utterances(tmp_path / "processed")) == set(of_id)


@pytest.mark.parametrize(
    "alignment, advice",
    [("auto", "set preprocess.alignment to learned to make it |"), ("textgrid", "to auto or learned to make it |")],
)
def test_a_missing_textgrid_is_reported_with_the_aligners_that_can_make_it(tmp_path, corpus, alignment, advice):
    (corpus / "TextGrid" / "clip_003.TextGrid").unlink()
    config = write_config(tmp_path, corpus, alignment=alignment, phone_extractor="char", language="nl", max_bad_share=1)
    prepare(load(config))  # the others' phones are no letters: these are fitted into their words
    report = (tmp_path / "processed" / "toy" / "report.md").read_text().splitlines()
    (row,) = (line for line in report if line.startswith("| clip_003 |"))
    assert "no such TextGrid" in row and row.endswith(advice)


def test_own_textgrids_are_found_by_id_and_the_users_by_file_name_too(tmp_path):
    own = tmp_path / "TextGrid"
    one, two = (
        Utterance(id_, "toy", "ann", "en", "See.", tmp_path / "wavs" / f"{stem}.wav")
        for id_, stem in (("1", "0"), ("2", "1"))
    )
    of_one = own / "ann" / "1.TextGrid"
    write_textgrid(of_one, alignment_of("See."), origin="learned 0123")
    assert TextGrids(None, own).own(one) == of_one
    assert TextGrids(None, own).own(two) == own / "ann" / "2.TextGrid"
    write_textgrid(of_one, alignment_of("See."))  # the user's own, named as recordings are
    assert TextGrids(None, own).own(two) == of_one


def test_textgrids_are_found_in_folders_that_are_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.TextGrid").touch()
    given = tmp_path / "given"
    given.mkdir()
    (given / "ann").symlink_to(tmp_path / "elsewhere")
    (given / "again").symlink_to(given)  # a circle
    one = Utterance("1", "mine", "ann", "en", "Hi.", tmp_path / "1.wav", 1.0, "train")
    assert TextGrids(given, tmp_path / "own").given(one) == given / "ann" / "1.TextGrid"


@pytest.mark.slow
def test_other_settings_are_refused_by_name_until_overwritten(tmp_path, corpus):
    config = write_config(tmp_path, corpus)
    prepare(load(config))
    changed = load(config, "preprocess.hop_size=256", "preprocess.pitch_extractor=dio")
    with pytest.raises(StoreError) as refusal:
        prepare(changed)
    assert all(word in str(refusal.value) for word in ("hop_size 128 (now 256)", "pitch_extractor", "--overwrite"))
    assert prepare(load(config)).prepared == 0  # nothing was lost
    assert prepare(changed, overwrite=True).prepared == 24
    assert all(each.frames < 160 for each in utterances(tmp_path / "processed").values())


@pytest.mark.slow
def test_a_store_keeps_the_version_that_its_phones_were_made_by_or_compared_with(tmp_path, corpus, monkeypatch):
    settings = load(write_config(tmp_path, corpus))
    store = tmp_path / "processed" / "toy" / "store_settings.json"
    prepare(settings, features=VOCODER_FEATURES)
    assert "front_end" not in json.loads(store.read_text())
    with monkeypatch.context() as before:
        for module in (plan_module, former_phones):
            before.setattr(module, "FRONT_END_VERSION", FrontEndVersion())
        prepare(settings)
    assert json.loads(store.read_text())["front_end"] == {"normaliser": 1, "lexicon": 1, "tones": 1, "pauses": 1}
    assert prepare(settings).prepared == 0
    assert front_end_version_of(tmp_path / "processed", ["toy"]) == FRONT_END_VERSION
    (tmp_path / "processed" / "old").mkdir()
    (tmp_path / "processed" / "old" / "store_settings.json").write_text("{}")
    assert front_end_version_of(tmp_path / "processed", ["toy", "old"]) == FrontEndVersion()


def test_a_store_from_before_front_ends_had_versions_is_used_as_it_is(tmp_path, corpus, monkeypatch):
    settings = load(write_config(tmp_path, corpus))
    with monkeypatch.context() as before:
        before.setattr(plan_module, "_front_end_note", lambda *_: {})
        before.setattr(prepare_module, "record_front_end", lambda *_: None)
        prepare(settings)
    store = tmp_path / "processed" / "toy" / "store_settings.json"
    made = json.loads(store.read_text())
    assert "front_end" not in made
    assert front_end_version_of(tmp_path / "processed", ["toy"]) == FrontEndVersion(1, 1, 1, 1)
    assert prepare(settings).prepared == 0
    assert json.loads(store.read_text()) == made | {"front_end": FRONT_END_VERSION.as_dict()}
    store.write_text(json.dumps(made | {"front_end": "new"}))
    with pytest.raises(StoreError, match=r"toy: front_end must hold numbers from 1 on, found new; run stage 1"):
        front_end_version_of(tmp_path / "processed", ["toy"])


@pytest.mark.slow
def test_limits_of_duration_may_change_without_new_features(tmp_path, corpus):
    config = write_config(tmp_path, corpus, max_bad_share=1.0)
    write_clip(corpus, "clip_000", "So so so so so so so so so so.")
    write_metadata(corpus, {**texts(24), "clip_000": "So so so so so so so so so so."})
    assert prepare(load(config)).rejected == 0
    shorter = prepare(load(config, "preprocess.max_duration_s=2.0"))
    assert (shorter.prepared, shorter.usable, shorter.rejected) == (0, 23, 1)
    assert prepare(load(config)).usable == 24


# Alignment


@pytest.mark.slow
def test_own_alignments_are_kept_as_textgrids_with_their_origin(tmp_path, shared_data):
    folder = tmp_path / "corpus"
    lines = (shared_data / "kathleen" / "metadata.csv").read_text().splitlines()[:3]
    (folder / "wavs").mkdir(parents=True)
    for line in lines:
        name = line.split("|")[0]
        shutil.copy(shared_data / "kathleen" / "wavs" / f"{name}.flac", folder / "wavs")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    settings = load(write_config(tmp_path, folder, textgrid_dir="", valid_size=1, test_size=1))
    prepare(settings)
    own = sorted((tmp_path / "processed" / "toy" / "TextGrid" / "toy").iterdir())
    assert [path.stem for path in own] == [line.split("|")[0] for line in lines]
    assert all(textgrid_origin(path).startswith("pocketsphinx") for path in own)
    # Features made afresh find them, and do not align again.
    marks = {path: path.stat().st_mtime_ns for path in own}
    before = everything(tmp_path / "processed")
    prepare(settings, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in own} == marks
    assert everything(tmp_path / "processed") == before
    # Another text is aligned anew, and only that.
    name = lines[0].split("|")[0]
    lines[0] = f"{name}|Author of danger trail, Philip Steels, etc."
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert prepare(settings).prepared == 1
    assert [path.stem for path in own if path.stat().st_mtime_ns != marks[path]] == [name]


def test_missing_textgrids_are_refused_before_extraction(tmp_path, corpus):
    config = write_config(tmp_path, corpus, textgrid_dir="", alignment="textgrid")
    with pytest.raises(AlignmentError, match=r"no TextGrids of toy: set their folder in preprocess\.textgrid_dir"):
        prepare(load(config))


@pytest.mark.slow
def test_foreign_textgrids_in_our_folder_are_used_and_never_replaced(tmp_path, corpus):
    own = tmp_path / "processed" / "toy" / "TextGrid" / "toy"
    shutil.copytree(corpus / "TextGrid", own)
    before = {path: path.read_bytes() for path in own.iterdir()}
    config = write_config(tmp_path, corpus, textgrid_dir="", max_bad_share=1.0)
    assert prepare(load(config)).usable == 24
    write_metadata(corpus, {**texts(24), "clip_001": "Do see."})  # another text, though the TextGrid stays
    assert prepare(load(config)).prepared == 1
    with pytest.raises(PreparationError):
        prepare(load(config, "preprocess.alignment=pocketsphinx"), overwrite=True)
    assert "not made by stage 1" in (tmp_path / "processed" / "toy" / "report.md").read_text()
    assert {path: path.read_bytes() for path in own.iterdir()} == before


def test_a_textgrid_holds_its_origin_in_both_formats(tmp_path):
    path = tmp_path / "clip.TextGrid"
    write_textgrid(path, alignment_of("See my tea."))
    without = read_textgrid(path)
    assert textgrid_origin(path) == ""
    write_textgrid(path, alignment_of("See my tea."), origin="pocketsphinx 0123 score -1.5")
    assert textgrid_origin(path) == "pocketsphinx 0123 score -1.5"
    assert read_textgrid(path) == without
    short = [line.rpartition(" = ")[2] for line in path.read_text().splitlines() if "item" not in line]
    path.write_text("\n".join(short))  # the long format is the short one with names before the values
    assert textgrid_origin(path) == "pocketsphinx 0123 score -1.5"


# However it was stopped


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def children_of(process_id: int) -> set[int]:
    found: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name_and_rest = status.read_text().rpartition(")")
        except OSError:
            continue
        if int(name_and_rest[2].split()[1]) in {process_id, *found}:
            found.add(int(status.parent.name))
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.slow
def test_killed_runs_end_in_the_result_of_an_unbroken_one(tmp_path):
    make_corpus(tmp_path / "corpus", 150)
    whole, killed = (write_config(tmp_path / name, tmp_path / "corpus") for name in ("whole", "killed"))
    shards = tmp_path / "killed" / "processed" / "toy" / "features"
    for kill in range(2):
        process = start("bins.preprocess", "--config", killed)
        wait_for(lambda kill=kill: len(list(shards.glob("*.safetensors"))) > kill, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    made = prepare(load(killed)).prepared
    assert 0 < made < 150
    prepare(load(whole))
    expected, found = everything(tmp_path / "whole" / "processed"), everything(tmp_path / "killed" / "processed")
    for made_by in (expected, found):
        del made_by["settings.json"]  # they name their folders
    assert found == expected
    assert not list(shards.parent.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_ctrl_c_ends_all_processes_and_leaves_nothing_half_written(tmp_path):
    make_corpus(tmp_path / "corpus", 80)
    config = write_config(tmp_path, tmp_path / "corpus")
    shards = tmp_path / "processed" / "toy" / "features"
    process = start("bins.preprocess", "--config", config)
    wait_for(lambda: list(shards.glob("*.safetensors")), process)
    children = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.endswith("interrupted\n") and "Traceback" not in errors
    assert len(children) >= 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert not list((tmp_path / "processed").rglob("*.partial"))
    assert prepare(load(config)).usable == 80


@pytest.mark.slow
@pytest.mark.parametrize(("often", "bad"), [("once", 0), ("always", 1)])
def test_a_killed_worker_is_replaced_and_what_kills_two_is_left_out(tmp_path, corpus, monkeypatch, capsys, often, bad):
    monkeypatch.setattr(extraction, "make_work", make_deadly_work)
    config = write_config(tmp_path / often, corpus)
    summary = prepare(load(config))
    assert (summary.usable, summary.rejected) == (24 - bad, bad)
    errors = capsys.readouterr().err
    assert "SIGKILL" in errors
    assert "clip_002" in errors
    written = (tmp_path / often / "processed" / "toy" / "report.md").read_text()
    assert ("| clip_002 | crash |" in written) == bool(bad)
    # A crash is not remembered: with more memory the utterance may do.
    monkeypatch.undo()
    assert prepare(load(config)).usable == 24


@pytest.mark.slow
def test_a_program_error_rejects_one_utterance_until_the_next_run(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(extraction, "make_work", make_clumsy_work)
    config = write_config(tmp_path, corpus, num_workers=1)
    assert prepare(load(config)).rejected == 1
    written = (tmp_path / "processed" / "toy" / "report.md").read_text()
    assert "| clip_002 | unexpected |" in written
    assert "IndexError at failing_preparation.py" in written
    monkeypatch.undo()
    summary = prepare(load(config))
    assert (summary.prepared, summary.usable) == (1, 24)


@pytest.mark.slow
def test_damaged_shard_is_made_again(tmp_path, corpus, capsys):
    settings = load(write_config(tmp_path, corpus))
    prepare(settings)
    before = everything(tmp_path / "processed")
    shard = max((tmp_path / "processed" / "toy" / "features").iterdir(), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1000])
    assert 0 < prepare(settings).prepared < 24
    assert "damaged" in capsys.readouterr().err
    assert everything(tmp_path / "processed") == before


@pytest.mark.slow
def test_two_runs_in_one_folder_are_refused(tmp_path, corpus):
    config = write_config(tmp_path, corpus)
    with sole_user(tmp_path / "processed"):
        refused = call("bins.preprocess", "--config", config)
    assert refused.returncode == 1
    assert "another run is using this folder" in refused.stderr
    prepare(load(config))


# The order of work


def jobs(count: int) -> list[Job]:
    utterance = Utterance("a", "toy", "toy", "en", "So.", Path("a.wav"))
    return [Job(utterance, Fingerprints(bytes(8)), None, Path(), False)] * count


@pytest.mark.parametrize(("count", "workers"), [(1, 2), (7, 2), (300, 2), (1029, 2), (13100, 16)])
def test_groups_shrink_towards_the_end_and_never_grow_with_the_corpus(count, workers):
    sizes = [len(group.jobs) for group in groups_of(jobs(count), Path(), workers)]
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= 64
    assert sizes[-1] <= 4


# The report


@pytest.mark.slow
def test_page_shows_pictures_and_sound_without_any_other_file(tmp_path, corpus):
    prepare(load(write_config(tmp_path, corpus)))
    page = (tmp_path / "processed" / "toy" / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') >= 4
    assert page.count('src="data:audio/wav;base64,') == page.count("data:image/png")
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
def test_little_speech_is_warned_of_for_voices_but_not_for_aligners(tmp_path, corpus, capsys):
    config = write_config(tmp_path, corpus)
    prepare(load(config))
    assert "less than 30 minutes of speech of toy (0.5)" in capsys.readouterr().err
    prepare(load(config, f"preprocess.processed_dir={tmp_path / 'aligner'}"), features=ALIGNER_FEATURES)
    assert "minutes of speech" not in capsys.readouterr().err


@pytest.mark.slow
def test_features_name_the_teachers_of_their_corpus_as_it_names_them_now(corpus, tmp_path, capsys):
    config, processed = write_config(tmp_path, corpus), tmp_path / "processed" / "toy"
    teacher = Source("a teacher", "Apache-2.0")
    write_sources(corpus, [teacher])
    for features in (ACOUSTIC_FEATURES, VOCODER_FEATURES):
        prepare(load(config), features=features)
        assert read_sources(processed) == (teacher,)
    assert "toy: speech of a teacher (Apache-2.0)" in capsys.readouterr().out
    write_sources(corpus, [])
    prepare(load(config), features=ACOUSTIC_FEATURES)
    assert read_sources(processed) == ()


@pytest.mark.slow
def test_recordings_beyond_full_scale_and_of_narrow_bandwidth_are_noted(tmp_path, capsys):
    texts = make_corpus(tmp_path / "corpus", 12)
    wavs = tmp_path / "corpus" / "wavs"
    for name, text in texts.items():
        telephone = soxr.resample(soxr.resample(waveform_of(text), RATE, 8000), 8000, RATE)
        soundfile.write(wavs / f"{name}.wav", telephone, RATE, subtype="FLOAT")
    loud = 2 * telephone / np.abs(telephone).max()
    soundfile.write(wavs / f"{name}.wav", loud, RATE, subtype="FLOAT")
    settings = load(write_config(tmp_path, tmp_path / "corpus", num_workers=1))
    prepare(settings, features=VOCODER_FEATURES)
    warnings, report = capsys.readouterr().err, (tmp_path / "processed" / "toy" / "report.md").read_text()
    for text in (warnings, report):
        assert "recordings hold nothing above 3750 Hz (median of 12; files of 16000 Hz)" in text
        assert f"1 recordings exceed full scale and were scaled down to it: {name}" in text
    stored = FeatureStore.open(tmp_path / "processed" / "toy").read(name, "waveform")
    np.testing.assert_allclose(stored / 32768, loud[: len(stored)] / 2, atol=1e-4)


@pytest.mark.slow
def test_textgrids_with_phones_of_another_alphabet_give_their_times(tmp_path):
    texts = make_corpus(tmp_path / "corpus", 8)
    ipa = {"S": "s", "IY1": "iː", "M": "m", "AY1": "aj", "N": "n", "UW1": "ʉː", "T": "tʰ", "D": "d", "OW1": "əw"}
    for name, text in texts.items():
        arpabet = alignment_of(text)
        phones = tuple(replace(phone, label=ipa.get(phone.label, "")) for phone in arpabet.phones)
        write_textgrid(tmp_path / "corpus" / "TextGrid" / f"{name}.TextGrid", replace(arpabet, phones=phones))
    found = prepare(load(write_config(tmp_path, tmp_path / "corpus", num_workers=1)))
    assert (found.usable, found.rejected) == (8, 0)
    for name, utterance in utterances(tmp_path / "processed").items():
        spoken = [phone for phone in alignment_of(texts[name]).phones if phone.label]
        assert list(utterance.phones[1:-1]) == [phone.label for phone in spoken]
        frames = [PHONE_S * RATE / 128] * len(spoken)
        np.testing.assert_allclose(utterance.durations[1:-1], frames, atol=1)
