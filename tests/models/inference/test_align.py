"""TextGrids by the learned aligner, alone and within stage 1."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.bundles.locate import open_bundle
from models.bundles.warm_start import find_initial_state
from models.inference.align import AligningError, align_corpora
from models.registry import make_task
from models.runs.corpus_aligner import aligner_settings, why_to_train_again
from processors.alignment.durations import alignment_from_durations
from processors.alignment.intervals import Alignment, Interval, without_gaps
from processors.alignment.pauses_from_alignment import phones_with_pauses
from processors.alignment.textgrid import read_textgrid, textgrid_origin, write_textgrid
from processors.audio.audio_file import write_wav
from processors.datasets.aligner_data import AlignerExample, collate_aligner
from processors.feature_store import FeatureStore, ShardWriter, prepare_store, replace_notes, settings_of
from processors.features import ALIGNER_FEATURES
from processors.preparation.plan import store_settings
from processors.text.front_end_version import FRONT_END_VERSION, FrontEndVersion
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import LATER, SymbolTable
from processors.text.tokens import Pause, Word
from tests.support.alignment_comparison import boundary_differences
from tests.support.commands import call
from tests.support.small_corpus import RATE, WORDS, load, texts, write_config, write_metadata
from utils.checkpoint import CheckpointFolder

TOKENS = [Word("see", (("S", "IY1"),)), Pause(","), Word("tea", (("T", "IY1"), ("T", "IY0"))), Pause(".")]


def test_silence_may_be_around_and_between_all_words():
    sequence = PhoneSequence.with_silences(TOKENS)
    assert sequence.phones == ("sil", "S", "IY1", "sil", "T", "IY1", "sil")
    assert sequence.word_indices == (-1, 0, 0, -1, 1, 1, -1)
    assert sequence.words == ("see", "tea")


def test_silences_of_no_frames_leave_no_gap():
    sequence = PhoneSequence.with_silences(TOKENS)
    durations = np.array([2, 3, 4, 0, 2, 2, 7])
    alignment = alignment_from_durations(sequence, durations, frame_s=0.01, duration_s=0.205, score=-1.0)
    assert [(phone.label, round(phone.end_s, 3)) for phone in alignment.phones] == [
        ("", 0.02), ("S", 0.05), ("IY1", 0.09), ("T", 0.11), ("IY1", 0.13), ("", 0.205)
    ]  # fmt: skip
    assert [word.label for word in alignment.words] == ["", "see", "tea", ""]
    assert alignment.score == -1.0


def test_the_spoken_word_silence_stays_a_word():
    spoken = ("then", "T"), ("silence", "S"), ("so", "S")
    then, silence, so = (Word(text, ((phone, "IY1"),)) for text, phone in spoken)
    tokens = [then, Pause(","), silence, so, Pause(".")]
    durations = np.array([2, 3, 3, 9, 3, 3, 0, 3, 3, 2])
    alignment = alignment_from_durations(PhoneSequence.with_silences(tokens), durations, frame_s=0.01, duration_s=0.31)
    assert [word.label for word in alignment.words] == ["", "then", "", "silence", "so", ""]
    phones = phones_with_pauses(tokens, alignment).phones
    assert phones == ("sil", "T", "IY1", ",", "S", "IY1", "S", "IY1", ".")


SOUNDS = {phone: number for number, phone in enumerate(sorted({each for word in WORDS.values() for each in word}))}


def spoken(text, chance):
    """Return a recording with a tone per phone, random durations, and pauses between some words."""
    words, phones, waveform = [], [], []

    def say(label, seconds):
        start = sum(map(len, waveform)) / RATE
        time = np.arange(round(seconds * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (300 + 400 * SOUNDS[label]) * time) if label else 0 * time
        waveform.append((tone + 1e-3 * chance.normal(size=len(time))).astype(np.float32))
        phones.append(Interval(start, start + len(time) / RATE, label))

    say("", chance.uniform(0.1, 0.4))
    for word in text.lower().strip(".").split():
        first = len(phones)
        for phone in WORDS[word]:
            say(phone, chance.uniform(0.05, 0.2))
        words.append(Interval(phones[first].start_s, phones[-1].end_s, word))
        if chance.uniform() < 0.3:
            say("", chance.uniform(0.1, 0.3))
    say("", chance.uniform(0.1, 0.4))
    end_s = phones[-1].end_s
    return np.concatenate(waveform), Alignment(without_gaps(words, end_s), without_gaps(phones, end_s))


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe over such recordings with learned alignment; return it with the true alignments."""
    corpus, chance = tmp_path / "corpus", np.random.default_rng(0)
    (corpus / "wavs").mkdir(parents=True)
    of_id, true = texts(32), {}
    for name, text in of_id.items():
        waveform, true[name] = spoken(text, chance)
        write_wav(corpus / "wavs" / f"{name}.wav", waveform, RATE)
    write_metadata(corpus, of_id)
    aligner = tmp_path / "aligner.json"
    steps = {"max_steps": 240, "decay_steps": 240, "warmup_steps": 5, "binarize_from_step": 160, "save_every_steps": 40}
    train = {"batch_size": 8, "learning_rate": 0.01, "precision": "fp32", "num_workers": 0} | steps
    model = {"hidden_size": 32, "space_size": 16, "dropout": 0.0}
    aligner.write_text(json.dumps({"base_config": "config/aligner.json", "model": model, "train": train}))
    config = write_config(tmp_path, corpus, textgrid_dir="", alignment="learned", aligner_config=str(aligner))
    return config, true


def preprocess(config, *flags):
    done = call("bins.preprocess", "--config", config, *flags, timeout=300, start_method="")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_stage_1_trains_an_aligner_that_finds_the_phones(recipe, tmp_path):
    config, true = recipe
    preprocess(config)
    folder = tmp_path / "processed" / "toy"
    own = folder / "TextGrid" / "toy"
    differences = [
        boundary_differences(alignment, read_textgrid(own / f"{name}.TextGrid")) for name, alignment in true.items()
    ]
    assert all(len(each) == 10 for each in differences)
    assert np.median(np.abs(np.concatenate(differences))) < 0.03
    assert textgrid_origin(own / "clip_000.TextGrid").startswith("learned ")
    assert "score" in textgrid_origin(own / "clip_000.TextGrid")
    listed = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert all(sum(each["durations"]) == each["frames"] for each in listed)

    made = {path: path.stat().st_mtime_ns for path in own.iterdir()}
    own.joinpath("clip_001.TextGrid").unlink()
    write_textgrid(own / "clip_002.TextGrid", true["clip_002"])  # the user's own
    said = preprocess(config, "--set", "preprocess.max_bad_share=0.5")
    assert "1 recordings have a TextGrid that Recital did not write" in said
    again = {path: path.stat().st_mtime_ns for path in own.iterdir()}
    changed = {path.stem for path in made if again[path] != made[path]}
    assert changed == {"clip_001", "clip_002"}

    # Phones of a former front end are replaced in the stores of aligner and voice, and in the TextGrid.
    clip = own / "clip_003.TextGrid"
    current = read_textgrid(clip)
    origin, former = textgrid_origin(clip), [replace(phone, label="ZH") for phone in current.phones if phone.label]
    write_textgrid(clip, replace(current, phones=without_gaps(former, current.end_s)), origin)
    stores = [folder, tmp_path / "processed" / "aligner" / "processed" / "toy"]
    right = [FeatureStore.open(store).read("clip_003", "phonemes") for store in stores]
    for store, phonemes in zip(stores, right, strict=True):
        replace_notes(store, {"front_end": FrontEndVersion().as_dict()})
        with ShardWriter(store) as writer:
            writer.add("clip_003", {"phonemes": np.where(phonemes == phonemes[1], phonemes[2], phonemes)})
    made = {path: path.stat().st_mtime_ns for path in own.iterdir()}
    preprocess(config, "--set", "preprocess.max_bad_share=0.5")
    assert [phone.label for phone in read_textgrid(clip).phones] == [phone.label for phone in current.phones]
    assert {path.stem for path in made if path.stat().st_mtime_ns != made[path]} == {"clip_003"}
    for store, phonemes in zip(stores, right, strict=True):
        np.testing.assert_array_equal(FeatureStore.open(store).read("clip_003", "phonemes"), phonemes)
    assert all(FrontEndVersion.read(settings_of(store)) == FRONT_END_VERSION for store in stores)


@pytest.mark.slow
def test_new_phones_or_corpora_require_a_new_aligner(recipe, tmp_path):
    config, _ = recipe
    one = aligner_settings(load(config))
    processed, experiment = tmp_path / "processed" / "aligner" / "processed", tmp_path / "processed" / "aligner" / "x"
    known = SymbolTable(["sil", "a", "b"])
    processed.mkdir(parents=True)
    known.save(processed / "symbols.json")
    assert why_to_train_again(experiment, one).startswith("cannot be used any more")
    task = make_task(one)
    task.bundle(experiment / "bundle")
    assert why_to_train_again(experiment, one) == ""

    stored = json.loads((experiment / "bundle" / "settings.json").read_text())
    for model, fault in (({"n_states": 1}, "phoneme_places"), ({"n_states": None}, "n_states")):
        of_old = stored | {"model": {k: v for k, v in (stored["model"] | model).items() if v is not None}}
        (experiment / "bundle" / "settings.json").write_text(json.dumps(of_old))
        reason = why_to_train_again(experiment, one)
        assert reason.startswith("cannot be used any more") and fault in reason
    (experiment / "bundle" / "settings.json").write_text(json.dumps(stored))

    two = one.model_copy(update={"dataset": ("toy", "other")})
    assert why_to_train_again(experiment, two) == "was not trained on the corpora other"
    SymbolTable(["sil", "a", "b", LATER, "c"]).save(processed / "symbols.json")
    assert why_to_train_again(experiment, one) == "was not trained on the phones c"
    SymbolTable(["sil", "b", "a"]).save(processed / "symbols.json")
    assert why_to_train_again(experiment, one) == "has other phoneme ids"

    known.save(processed / "symbols.json")
    none = one.model_copy(update={"dataset": ()})
    assert why_to_train_again(experiment, none) == "was stopped while training on toy"
    state = {"network": task.modules["network"].state_dict()}
    CheckpointFolder(experiment / "checkpoint").save(one.train.max_steps, weights=state, training_state={}, metadata={})
    assert why_to_train_again(experiment, none) == ""


def test_phones_collected_later_are_compared_by_name(recipe, tmp_path):
    settings = aligner_settings(load(recipe[0]))
    processed = tmp_path / "processed" / "aligner" / "processed"
    prepare_store(processed / "toy", store_settings(settings.preprocess, ALIGNER_FEATURES, ("<pad>", "sil", "a")))
    for split in ("train", "valid", "test"):
        (processed / "toy" / f"{split}.jsonl").touch()
    SymbolTable(["sil", "a", LATER, "b"]).save(processed / "symbols.json")
    make_task(settings).bundle(tmp_path / "bundle")
    for found, fault in (("b", None), ("c", "its symbol table differs from that of")):
        SymbolTable(["sil", "a", LATER, found]).save(processed / "symbols.json")
        with pytest.raises(AligningError, match=fault) if fault else contextlib.nullcontext():
            align_corpora(open_bundle(tmp_path / "bundle"), processed, ["toy"], {"toy": tmp_path / "TextGrid"})


def test_a_new_aligner_starts_from_the_phones_of_the_former_one(recipe, tmp_path):
    config, _ = recipe
    settings = aligner_settings(load(config))
    processed = tmp_path / "processed" / "aligner" / "processed"
    processed.mkdir(parents=True)
    SymbolTable(["sil", "a", "b"]).save(processed / "symbols.json")
    learned = make_task(settings)
    learned.modules["network"].frequency.copy_(torch.tensor([0.0, 0.9, 0.1, 0.0]).unsqueeze(1))
    learned.bundle(tmp_path / "bundle")
    SymbolTable(["b", "a", "sil", *"cdefghij"]).save(processed / "symbols.json")
    task = make_task(settings)
    find_initial_state(tmp_path / "bundle", settings, task).load_into(task.modules)
    before, after = (each.modules["network"].phoneme_places.weight for each in (learned, task))
    assert torch.equal(after[:4], before[[0, 3, 2, 1]])
    example = AlignerExample("a", np.arange(1, 12), np.zeros((30, 40), dtype=np.float32))
    assert torch.isfinite(task.modules["network"](collate_aligner([example])).scores).all()


def test_features_of_other_settings_are_refused_before_the_aligner_is_trained(recipe, tmp_path):
    config, _ = recipe
    prepare_store(tmp_path / "processed" / "toy", {"phone_extractor": "char"})
    done = call("bins.preprocess", "--config", config)
    assert done.returncode == 1 and "made with other settings: phone_extractor 'char' (now 'lexicon')" in done.stderr
    assert not (tmp_path / "processed" / "aligner").exists()


def test_a_missing_aligner_is_an_error(recipe, tmp_path):
    config, _ = recipe
    done = call("bins.preprocess", "--config", config, "--set", "preprocess.aligner_config=none.json")
    assert done.returncode == 1
    assert "none.json" in done.stderr
    assert "Traceback" not in done.stderr
