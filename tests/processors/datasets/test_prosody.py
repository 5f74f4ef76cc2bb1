"""Averages per phone, and interpolation over unvoiced frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.datasets.prosody import average_per_phone, interpolate_unvoiced


def test_unvoiced_frames_are_interpolated_linearly():
    values = np.array([9.0, 1.0, 9.0, 9.0, 4.0, 9.0])
    is_voiced = np.array([False, True, False, False, True, False])
    bridged = interpolate_unvoiced(values, is_voiced)
    np.testing.assert_allclose(bridged, [1, 1, 2, 3, 4, 4])
    assert bridged.dtype == np.float32


def test_an_unvoiced_utterance_is_all_zero():
    assert not interpolate_unvoiced(np.ones(5), np.zeros(5, dtype=bool)).any()
    assert interpolate_unvoiced(np.ones(0), np.zeros(0, dtype=bool)).shape == (0,)


def test_phones_get_the_mean_of_their_frames():
    values = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 2.0])
    np.testing.assert_allclose(average_per_phone(values, np.array([2, 1, 3])), [2, 5, 6])


def test_a_phone_of_no_frames_takes_the_value_at_its_place():
    values = np.array([1.0, 3.0, 5.0])
    np.testing.assert_allclose(average_per_phone(values, np.array([0, 2, 0, 1, 0, 0])), [1, 2, 5, 5, 5, 5])


def test_inputs_are_not_modified():
    values = np.array([1.0, 3.0, 5.0], dtype=np.float32)
    average_per_phone(values, np.array([1, 2]))
    interpolate_unvoiced(values, np.array([True, False, True]))
    np.testing.assert_array_equal(values, [1, 3, 5])


def test_durations_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="add up to 4 frames, the values to 3"):
        average_per_phone(np.ones(3), np.array([2, 2]))


def test_empty_arrays_stay_empty():
    assert average_per_phone(np.ones(0), np.zeros(3, dtype=np.int32)).tolist() == [0, 0, 0]
    assert average_per_phone(np.ones(0), np.zeros(0, dtype=np.int32)).shape == (0,)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=30), st.integers(0, 2**31))
def test_averages_equal_those_of_a_plain_loop(durations: list[int], seed: int):
    values = np.random.default_rng(seed).uniform(0, 400, sum(durations)).astype(np.float32)
    averages = average_per_phone(values, np.array(durations, dtype=np.int32))
    place = 0
    for average, duration in zip(averages, durations, strict=True):
        if duration:
            assert average == pytest.approx(values[place : place + duration].mean(), rel=1e-5)
        place += duration
