"""Batches: a deterministic order, little padding, and nothing read twice."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from processors.audio.mel import MEL_FLOOR
from processors.datasets.acoustic_data import collate_acoustic, open_acoustic_data, open_voice
from processors.datasets.batches import BatchError, BatchPlan, OrderedBatches, PlannedBatches, micro_batches
from processors.features import DataError
from tests.support.tiny_features import N_MEL, write_features


def lengths_like_kathleen():
    return np.random.default_rng(0).gamma(6.0, 44.0, 1000).astype(int) + 60


def members(groups):
    return [sorted(int(index) for batch in group for index in batch) for group in groups]


def padding_share(lengths, groups):
    batches = [batch for group in groups for batch in group]
    places = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1.0 - sum(lengths[batch].sum() for batch in batches) / places


@pytest.mark.parametrize(("batch_size", "max_frames"), [(16, 0), (32, 0), (64, 8000)])
def test_less_than_a_tenth_is_padding(batch_size, max_frames):
    lengths = lengths_like_kathleen()
    plan = BatchPlan(lengths, batch_size=batch_size, max_frames_per_batch=max_frames)
    assert padding_share(lengths, plan.groups(0)) < 0.1


@pytest.mark.parametrize(("batch_size", "max_frames"), [(7, 0), (16, 3000)])
@pytest.mark.parametrize("micro_batches", [1, 4])
def test_every_utterance_is_seen_once_per_epoch(batch_size, max_frames, micro_batches):
    lengths = lengths_like_kathleen()[:203]
    plan = BatchPlan(
        lengths, batch_size=batch_size, max_frames_per_batch=max_frames, micro_batches=micro_batches, seed=5
    )
    groups = plan.groups(3)
    assert Counter(index for group in members(groups) for index in group) == Counter(range(203))
    for group in groups:
        assert len(group) == micro_batches
        for batch in group:
            assert 1 <= len(batch) <= batch_size
            assert not max_frames or len(batch) * lengths[batch].max() <= max_frames


def test_no_batch_is_much_smaller_than_the_others():
    sizes = [len(batch) for [batch] in BatchPlan(lengths_like_kathleen()[:129], batch_size=16).groups(0)]
    assert min(sizes) >= 8


def test_the_order_follows_from_seed_and_epoch_alone():
    lengths = lengths_like_kathleen()
    first, again = BatchPlan(lengths, batch_size=8, seed=1), BatchPlan(lengths, batch_size=8, seed=1)
    assert members(first.groups(4)) == members(again.groups(4))
    assert members(first.groups(4)) != members(first.groups(5))
    assert members(first.groups(4)) != members(BatchPlan(lengths, batch_size=8, seed=2).groups(4))


def test_batches_differ_between_epochs():
    plan = BatchPlan(lengths_like_kathleen(), batch_size=8)
    assert not {tuple(group) for group in members(plan.groups(0))} & {tuple(group) for group in members(plan.groups(1))}


def test_micro_batches_hold_together_what_one_large_batch_holds():
    lengths = lengths_like_kathleen()
    one = BatchPlan(lengths, batch_size=16, micro_batches=1)
    four = BatchPlan(lengths, batch_size=4, micro_batches=4)
    assert members(one.groups(2)) == members(four.groups(2))


def test_one_utterance_per_batch_still_fills_every_group():
    groups = BatchPlan([1000] * 7, batch_size=8, max_frames_per_batch=1000, micro_batches=3).groups(0)
    assert all(len(batch) == 1 for group in groups for batch in group)
    assert {index for group in members(groups) for index in group} == set(range(7))


def test_too_few_utterances_are_refused():
    with pytest.raises(BatchError, match=r"3 training utterances .* 4 micro-batches"):
        BatchPlan([10, 10, 10], batch_size=8, micro_batches=4)


def test_an_utterance_beyond_the_budget_is_refused():
    with pytest.raises(BatchError, match=r"1200 frames, .*\(1000\)"):
        BatchPlan([10, 1200], batch_size=8, max_frames_per_batch=1000)


def test_weights_say_how_often_an_utterance_is_drawn():
    weights = [0.5] * 40 + [1.0] * 30 + [2.5] * 20
    plan = BatchPlan(lengths_like_kathleen()[:90], batch_size=8, micro_batches=2, seed=3, weights=weights)
    seen: Counter[int] = Counter()
    for epoch in range(4):
        drawn = Counter(index for group in members(plan.groups(epoch)) for index in group)
        assert [sum(drawn[index] for index in part) for part in (range(40), range(40, 70), range(70, 90))] == [
            20,
            30,
            50,
        ]
        seen.update(drawn)
    # In turn: after four epochs none of them is ahead.
    assert [seen[index] for index in range(90)] == [2] * 40 + [4] * 30 + [10] * 20
    assert members(plan.groups(0)) != members(plan.groups(1))


def test_weights_of_one_change_nothing():
    lengths = lengths_like_kathleen()
    plain, weighted = BatchPlan(lengths, batch_size=8), BatchPlan(lengths, batch_size=8, weights=[1.0] * len(lengths))
    assert members(plain.groups(2)) == members(weighted.groups(2))


def test_weights_that_leave_too_few_utterances_are_refused():
    with pytest.raises(BatchError, match="2 training utterances are too few for 4 micro-batches"):
        BatchPlan([10] * 20, batch_size=8, micro_batches=4, weights=[0.1] * 20)


def test_a_weighted_epoch_resumes_in_the_middle_exactly():
    data = Numbers(30)
    plan = BatchPlan(list(range(50, 80)), batch_size=4, weights=[2.5] * 10 + [1.0] * 20)
    batches = PlannedBatches(data, list, plan, by_epoch=True)
    whole = [batch for group in batches.groups(1) for batch in group]
    assert [batch for group in batches.groups(1, start_group=5) for batch in group] == whole[5:]
    places = [place for batch in whole for place in batch]
    assert len(set(places)) == len(places) == 45
    assert {turn for index, _, turn in places if index >= 10} == {0}


class Numbers(Dataset):
    """Returns its index, and records the indices that were read."""

    def __init__(self, length):
        self.length = length
        self.asked: list[int] = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        return index


def planned(data, **options):
    plan = BatchPlan(list(range(50, 50 + len(data))), batch_size=4, micro_batches=options.pop("micro_batches", 1))
    return PlannedBatches(data, torch.tensor, plan, **options)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_resumes_in_the_middle_exactly(num_workers):
    batches = planned(Numbers(30), num_workers=num_workers)
    whole = [[batch.tolist() for batch in group] for group in batches.groups(1)]
    rest = [[batch.tolist() for batch in group] for group in batches.groups(1, start_group=3)]
    assert len(whole) == batches.groups_per_epoch(1)
    assert rest == whole[3:]
    abandoned = batches.groups(2)
    next(abandoned)
    assert [[batch.tolist() for batch in group] for group in batches.groups(1)] == whole


def test_skipped_batches_are_never_read():
    data = Numbers(30)
    rest = [batch.tolist() for group in planned(data).groups(0, start_group=5) for batch in group]
    assert sorted(data.asked) == sorted(index for batch in rest for index in batch)


def test_processes_share_a_group():
    alone = members([[batch.numpy() for batch in group] for group in planned(Numbers(32), micro_batches=2).groups(0)])
    shares = [
        [
            [batch.numpy() for batch in group]
            for group in planned(Numbers(32), micro_batches=2, rank=rank, world_size=2).groups(0)
        ]
        for rank in range(2)
    ]
    assert all(len(group) == 1 for share in shares for group in share)
    assert members([first + second for first, second in zip(*shares, strict=True)]) == alone


def test_loading_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(planned(Numbers(30)).groups(0))
    assert torch.equal(torch.rand(3), expected)


def test_validation_reads_everything_once_in_a_fixed_order():
    lengths = lengths_like_kathleen()[:50]
    shares = [
        OrderedBatches(
            Numbers(50), torch.tensor, lengths, batch_size=8, max_frames_per_batch=2000, rank=rank, world_size=2
        )
        for rank in range(2)
    ]
    seen = [[batch.tolist() for batch in share] for share in shares]
    assert seen == [[batch.tolist() for batch in share] for share in shares]
    assert [len(share) for share in shares] == [len(batches) for batches in seen]
    assert sorted(index for share in seen for batch in share for index in batch) == list(range(50))


# Acoustic data


@pytest.fixture
def processed(tmp_path):
    write_features(tmp_path)
    return tmp_path


def acoustic_data(processed, **levels):
    return open_acoustic_data(processed, ["tiny"], "train", open_voice(processed, []), **levels)


def test_time_adds_up_in_every_batch(processed):
    data = acoustic_data(processed)
    batch = collate_acoustic([data[index] for index in range(len(data))])
    assert batch.mel.shape == (10, N_MEL, int(batch.mel_lengths.max()))
    assert torch.equal(batch.durations.sum(dim=1), batch.mel_lengths)
    assert batch.mel_lengths.tolist() == data.lengths.tolist()
    assert batch.pitch.shape == batch.energy.shape == batch.durations.shape == batch.phoneme_ids.shape
    assert batch.counts["frames"] == int(batch.mel_lengths.sum())


def test_padding_is_silent(processed):
    data = acoustic_data(processed)
    batch = collate_acoustic([data[index] for index in range(len(data))])
    for row, n_frames in enumerate(batch.mel_lengths.tolist()):
        assert torch.allclose(batch.mel[row, :, n_frames:], torch.tensor(MEL_FLOOR).log())
        assert (batch.mel[row, :, :n_frames] != torch.tensor(MEL_FLOOR).log()).any()
    assert not batch.phoneme_ids[batch.durations.cumsum(1) > batch.mel_lengths[:, None]].any()


def test_pitch_and_energy_come_per_phone_or_per_frame(processed):
    example = acoustic_data(processed, pitch_level="frame")[0]
    assert len(example.pitch) == len(example.mel)
    assert len(example.energy) == len(example.durations)


def test_speakers_keep_their_rows(processed):
    data = acoustic_data(processed)
    assert [data[index].speaker_id for index in range(4)] == [0, 1, 0, 1]


def test_several_corpora_make_one_dataset(processed):
    write_features(processed, dataset="other", n_train=4)
    data = open_acoustic_data(processed, ["tiny", "other"], "train", open_voice(processed, []))
    assert len(data) == 14
    assert data[13].id == "utterance-03"


def test_missing_output_of_stage_1_is_named(tmp_path):
    with pytest.raises(DataError, match=r"symbols.json: no such file; run stage 1 first"):
        open_voice(tmp_path, [])
    write_features(tmp_path)
    with pytest.raises(DataError, match=r"missing/train.jsonl: no such file; run stage 1 first"):
        open_acoustic_data(tmp_path, ["missing"], "train", open_voice(tmp_path, []))


def test_a_speaker_without_a_row_is_named(processed):
    (processed / "speakers.json").write_text('{"a": 0}')
    with pytest.raises(DataError, match="lacks b, the speaker of utterance-01"):
        acoustic_data(processed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_trainer(number):
    batches = planned(Numbers(40), num_workers=1)
    groups = batches.groups(0)
    next(groups)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, number)
    assert len(list(groups)) == batches.groups_per_epoch(0) - 1


@pytest.mark.slow
def test_workers_end_with_their_loader():
    batches = planned(Numbers(40), num_workers=1)
    next(batches.groups(0))
    workers = multiprocessing.active_children()
    assert workers
    del batches
    gc.collect()
    assert not any(worker.is_alive() for worker in workers)


def test_lengths_are_rounded_up_where_asked(tmp_path):
    write_features(tmp_path)
    data = open_acoustic_data(
        tmp_path, ["tiny"], "train", open_voice(tmp_path, []), pitch_level="phone", energy_level="frame"
    )
    exact, rounded = (collate_acoustic([data[0], data[1]], length_step=step) for step in (1, 8))
    assert rounded.mel.shape[2] % 8 == rounded.phoneme_ids.shape[1] % 8 == rounded.energy.shape[1] % 8 == 0
    assert 0 <= rounded.mel.shape[2] - exact.mel.shape[2] < 8
    assert torch.equal(rounded.mel[:, :, : exact.mel.shape[2]], exact.mel)
    assert rounded.counts == exact.counts


@pytest.mark.parametrize(("world_size", "expected"), [(1, 8), (2, 8), (4, 8)])
def test_a_global_batch_size_means_the_same_step_on_any_number_of_processes(world_size, expected):
    train = SimpleNamespace(global_batch_size=64, batch_size=8, gradient_accumulation_steps=1)
    assert micro_batches(train, world_size) == expected
    with pytest.raises(BatchError, match=r"64 makes 8 batches of .* 8, which 3 processes"):
        micro_batches(train, 3)
    by_hand = SimpleNamespace(global_batch_size=0, batch_size=8, gradient_accumulation_steps=3)
    assert micro_batches(by_hand, world_size) == 3 * world_size
