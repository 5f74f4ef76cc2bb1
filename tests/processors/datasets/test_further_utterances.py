"""Phrases and joined pairs are utterances like those of the corpus, made from its training split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from processors.alignment.intervals import Alignment, Interval, without_gaps, words_without_gaps
from processors.alignment.textgrid import write_textgrid
from processors.datasets.acoustic_data import AcousticData, collate_acoustic, open_acoustic_data, open_voice
from processors.datasets.acoustic_example import AcousticExample
from processors.datasets.further_utterances import FurtherSettings, JoinedPair, Phrase, further_utterances
from processors.datasets.word_starts import quiet_starts, word_starts
from processors.feature_store import FeatureStore, ShardWriter
from processors.text.arpabet import INVENTORY
from processors.text.symbols import SymbolTable
from processors.text.tokens import PAUSES
from processors.utterance import Utterance, read_manifest
from tests.support.tiny_features import HOP_SIZE, N_MEL, write_features
from tests.support.tiny_models import TinyModel

FRAME_S = HOP_SIZE / 8000
SYMBOLS = SymbolTable(INVENTORY)
PHONES = ("sil", "HH", "AH0", "sp", "L", "OW1", ",", "T", ".")
DURATIONS = (2, 5, 6, 20, 7, 8, 30, 5, 12)
NEVER = FurtherSettings(0.0, 0.0, FRAME_S, 30.0)
TWO_EACH = replace(NEVER, phrases_share=2)


class Corpus:
    """Utterances whose features count frames and phones, so that each value shows where it comes from."""

    def __init__(self, folder, speakers=("a", "b"), n_utterances=8):
        write_features(folder)  # symbols, speakers and statistics
        self.voice = open_voice(folder, [])
        n_frames = sum(DURATIONS)
        self.utterances = [
            Utterance(
                id=f"u{number}",
                dataset="tiny",
                speaker=speakers[number % len(speakers)],
                language="en",
                text="",
                audio_path=folder,
                split="train",
                phones=PHONES,
                frames=n_frames,
                durations=DURATIONS,
            )
            for number in range(n_utterances)
        ]
        with ShardWriter(folder / "tiny") as writer:
            for number, utterance in enumerate(self.utterances):
                frames = np.arange(n_frames, dtype=np.float32) + 1000 * number
                features = {
                    "mel": np.repeat(frames[:, None], N_MEL, axis=1),
                    "f0": np.full(n_frames, 100.0 + number, dtype=np.float32),
                    "energy": frames + 1,
                    "durations": np.array(DURATIONS, dtype=np.int32),
                    "phonemes": np.array(SYMBOLS.ids(list(PHONES), "test"), dtype=np.int32),
                }
                writer.add(utterance.id, features)
        self.store = FeatureStore.open(folder / "tiny")

    def data(self, words=None, **shares) -> AcousticData:
        made = further_utterances(self.utterances, replace(NEVER, **shares), words)
        return AcousticData(self.utterances, {"tiny": self.store}, self.voice, further=made)


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)


def symbols_of(example: AcousticExample) -> list[str]:
    return list(SYMBOLS.phones(example.phoneme_ids.tolist()))


def test_a_phrase_is_what_lies_between_two_pauses(corpus):
    data = corpus.data(phrases_share=3)
    first, second, third = (data[8 + index] for index in range(3))
    assert symbols_of(first) == ["sil", "HH", "AH0", ","]
    assert symbols_of(second) == ["sil", "L", "OW1", ","]
    assert symbols_of(third) == ["sil", "T", "."]
    assert first.durations.tolist() == [2, 5, 6, 12] and second.durations.tolist() == [12, 7, 8, 12]
    assert first.mel[:, 0].tolist() == list(range(0, 25))
    assert second.mel[:, 0].tolist() == list(range(33 - 12, 48 + 12))
    assert third.mel[:, 0].tolist() == list(range(78 - 12, 95))
    whole = data[0]
    assert third.energy[1] == whole.energy[7] and third.pitch[1] == whole.pitch[7]


def test_words_after_a_quiet_moment_are_cut_off_from_the_words_before(corpus, monkeypatch):
    """With AH0, OW1 and T as words of their own: T stands between pauses, and OW1 begins loudly."""

    def words(index):
        return (1, 2, 4, 5, 7), (1, 2, 7)

    assert not any(each.first == 1 for each in further_utterances(corpus.utterances, TWO_EACH, words))
    monkeypatch.setattr("processors.datasets.further_utterances._MIN_WORD_S", 6 * FRAME_S)
    data = corpus.data(words, phrases_share=2)
    examples = [data[index] for index in range(8, len(data))]
    single = [example for example in examples if symbols_of(example) == ["sil", "AH0", ","]]
    assert len(examples) == 16 and len(single) == 4 and len({example.id for example in single}) == 4
    for example in single:
        number = int(example.id[1])
        assert example.durations.tolist() == [0, 6, 12]
        assert example.mel[:, 0].tolist() == (1000 * number + np.arange(7, 7 + 6 + 12)).tolist()
        assert example.pitch[0] == example.pitch[1] and example.energy[0] == example.energy[1]
    assert not any(symbols_of(example)[:2] == ["sil", "OW1"] for example in examples)


def test_words_start_where_the_alignment_has_them_and_may_be_cut_where_it_is_quiet():
    phones = ("sil", "HH", "AH0", "sp", "L", "OW1", ".")
    times = [Interval(*each) for each in ((0.5, 0.6, "HH"), (0.6, 0.7, "AH0"), (0.9, 1.0, "L"), (1.0, 1.1, "OW1"))]
    words = words_without_gaps([Interval(0.5, 0.6, "h"), Interval(0.6, 0.7, "a"), Interval(0.9, 1.1, "lo")], 1.5)
    alignment = Alignment(words, without_gaps(times, 1.5))
    assert word_starts(phones, alignment) == [1, 2, 4]
    assert word_starts(phones[:2], alignment) == []
    durations, mel = (0, 2, 2, 1, 2, 2, 1), np.zeros((10, N_MEL))
    assert quiet_starts([1, 2, 4], durations, mel) == []
    mel[1] = -3  # the frame before AH0, 26 dB below the others
    assert quiet_starts([1, 2, 4], durations, mel) == [2]
    mel[4] = mel[0] = -3
    assert quiet_starts([1, 2, 4], durations, mel) == [1, 2, 4]


def test_a_pair_has_a_silence_of_300_to_700_ms_between_its_two_utterances(corpus):
    data = corpus.data(joined_share=3)
    pairs = [data[index] for index in range(8, len(data))]
    silences = []
    for pair, made in zip(pairs, further_utterances(corpus.utterances, replace(NEVER, joined_share=3)), strict=True):
        assert symbols_of(pair) == [*PHONES, *PHONES[1:]]
        assert isinstance(made, JoinedPair)
        first, second = corpus.utterances[made.origin], corpus.utterances[made.second]
        assert first.speaker == second.speaker and first != second and pair.id == f"{first.id}+{second.id}"
        silence = int(pair.durations[8])
        silences.append(silence * FRAME_S)
        spoken = sum(DURATIONS[:8])
        mel = pair.mel[:, 0]
        # The seam keeps the end of the first and the beginning of the second; the rest is from a pause of the speaker.
        assert mel[: spoken + 12].tolist() == (1000 * made.origin + np.arange(spoken + 12)).tolist()
        assert mel[spoken + silence - 2 :].tolist() == (1000 * made.second + np.arange(sum(DURATIONS))).tolist()
        index, pause = made.source
        assert corpus.utterances[index].speaker == first.speaker and PHONES[pause] in ("sp", ",", ".")
        inside = mel[spoken + 12 : spoken + silence - 2] - 1000 * index
        start = sum(DURATIONS[:pause])
        assert set(inside.tolist()) <= set(range(start, start + DURATIONS[pause]))
        assert np.abs(np.diff(inside)).max() <= 1
    assert 0.3 - FRAME_S <= min(silences) < max(silences) <= 0.7 + FRAME_S


def test_lengths_durations_and_prosody_agree_at_every_level(corpus):
    made = further_utterances(corpus.utterances, replace(NEVER, phrases_share=2, joined_share=1))
    assert {type(each) for each in made} == {Phrase, JoinedPair}
    for pitch_level, energy_level in (("phone", "frame"), ("frame", "phone"), (None, None)):
        data = AcousticData(
            corpus.utterances,
            {"tiny": corpus.store},
            corpus.voice,
            pitch_level=pitch_level,
            energy_level=energy_level,
            further=made,
        )
        for index in range(len(data)):
            example = data[index]
            assert len(example.mel) == example.durations.sum() == data.lengths[index]
            sizes = {"phone": len(example.phoneme_ids), "frame": len(example.mel)}
            for level, values in ((pitch_level, example.pitch), (energy_level, example.energy)):
                assert values is None if level is None else len(values) == sizes[level]
    assert len(data.weights({"tiny": 0.5})) == len(data) and set(data.weights({"tiny": 0.5})) == {0.5}


def test_shares_count_whole_utterances_and_the_same_are_chosen_each_time(corpus):
    def made(**shares):
        return further_utterances(corpus.utterances, replace(NEVER, **shares))

    assert made() == []
    assert len(made(phrases_share=0.5)) == 4 and len(made(phrases_share=99)) == 24
    assert made(phrases_share=0.5, joined_share=1) == made(phrases_share=0.5, joined_share=1)
    assert made(joined_share=1, max_duration_s=2 * sum(DURATIONS) * FRAME_S / 2) == []
    alone = [replace(each, speaker=each.id) for each in corpus.utterances]
    assert further_utterances(alone, replace(NEVER, joined_share=2)) == []


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a model whose utterances have TextGrids of one word per phone, and pauses that are short but suffice."""
    for name in ("_MIN_SOURCE_S", "_MIN_WORD_S"):
        monkeypatch.setattr(f"processors.datasets.further_utterances.{name}", FRAME_S)
    monkeypatch.setattr("processors.datasets.word_starts._QUIET", 2.0)
    model = TinyModel("FastSpeech2", tmp_path, "train.batch_size=4", "train.precision=fp32")
    for utterance in read_manifest(model.processed_dir / "tiny" / "train.jsonl"):
        spoken = [phone for phone in utterance.phones if phone not in PAUSES]
        intervals = tuple(Interval(number, number + 1.0, phone) for number, phone in enumerate(spoken))
        path = model.processed_dir / "tiny" / "TextGrid" / utterance.speaker / f"{utterance.id}.TextGrid"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_textgrid(path, Alignment(intervals, intervals))
    return model


SHARES = ("preprocess.phrases_share=2", "preprocess.joined_share=1")


@pytest.mark.slow
def test_only_the_training_split_has_further_utterances_and_without_shares_nothing_changes(tiny):
    def ids(planned):
        return [id_ for group in planned.groups(0) for batch in group for id_ in batch.ids]

    task, before = tiny.task(*SHARES), tiny.task()
    trained, whole = ids(task.train_batches()), set(ids(before.train_batches()))
    assert any("+" in id_ for id_ in trained) and any("[" in id_ for id_ in trained) and whole < set(trained)
    assert ids(tiny.task(*SHARES).train_batches()) == trained
    assert not any("+" in id_ or "[" in id_ for batch in task.valid_batches() for id_ in batch.ids)
    voice = open_voice(tiny.processed_dir, ["tiny"])
    plain = open_acoustic_data(tiny.processed_dir, ["tiny"], "train", voice)
    examples = {example.id: example for example in map(plain.__getitem__, range(len(plain)))}
    for batch in (batch for group in before.train_batches().groups(0) for batch in group):
        expected = collate_acoustic([examples[id_] for id_ in batch.ids], length_step=8)
        for name, value in vars(batch).items():
            same = torch.equal(value, vars(expected)[name]) if isinstance(value, torch.Tensor) else True
            assert same, name
    (tiny.processed_dir / "tiny" / "TextGrid").rename(tiny.folder / "TextGrid")
    assert not any("[" in id_ for id_ in ids(tiny.task(*SHARES).train_batches()))
    given = f"preprocess.textgrid_dir={tiny.folder / 'TextGrid'}"
    assert ids(tiny.task(*SHARES, given).train_batches()) == trained


@pytest.mark.slow
def test_a_run_with_further_utterances_resumes_exactly(tiny):
    whole = tiny.train("whole", 9, *SHARES).task
    tiny.train("broken", 4, *SHARES)
    resumed = tiny.train("broken", 9, *SHARES, resume=True).task
    for key, tensor in whole.modules["network"].state_dict().items():
        assert torch.equal(tensor, resumed.modules["network"].state_dict()[key]), key
