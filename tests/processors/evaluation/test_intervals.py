"""Bootstrap intervals hold the mean, are narrower for more values, and use that pairs belong together."""

from __future__ import annotations

import numpy as np
import pytest

from processors.evaluation.intervals import Sample, mean_interval


def sample(n: int, *, mean: float = 0.0, seed: int = 0) -> Sample:
    return Sample(mean + np.random.default_rng(seed).standard_normal(n), np.ones(n))


def test_the_interval_is_that_of_the_normal_distribution_for_many_values():
    found = mean_interval(sample(400))
    width = 2 * 1.96 * sample(400).values.std() / 20
    assert found.high - found.low == pytest.approx(width, rel=0.1)
    assert found.low < found.mean < found.high
    assert found == mean_interval(sample(400))


def test_means_are_weighted():
    found = mean_interval(Sample(np.array([0.0, 10.0]), np.array([3.0, 1.0])))
    assert found.mean == 2.5 and (found.low, found.high) == (0, 10)


def test_differences_are_paired():
    one = sample(30)
    better = Sample(one.values + 0.1 + 0.01 * sample(30, seed=1).values, one.weights)
    paired = mean_interval(better, one)
    assert paired.mean == pytest.approx(0.1, abs=0.01) and 0.09 < paired.low < paired.high < 0.11
    apart = mean_interval(better)
    assert apart.high - apart.low > 0.5


def test_a_single_value_is_its_own_interval():
    assert mean_interval(sample(1)) == (sample(1).values[0],) * 3
