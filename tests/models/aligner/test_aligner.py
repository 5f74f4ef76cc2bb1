"""The aligner's search, forward sum, states and prior."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from models.aligner.loss import forward_sum
from models.layers.beta_binomial import beta_binomial_prior
from processors.alignment.monotonic_search import best_durations
from processors.alignment.phone_states import StateScores, phone_states


def ways(n_phones, n_frames, optional):
    """Yield every monotonic path: one or more frames per phone, none or more per optional one."""
    for durations in itertools.product(range(n_frames + 1), repeat=n_phones):
        if sum(durations) == n_frames and all(duration or optional[phone] for phone, duration in enumerate(durations)):
            yield durations


def score(log_probabilities, durations):
    phones = np.repeat(np.arange(len(durations)), durations)
    return log_probabilities[np.arange(len(phones)), phones].sum()


CASES = [  # frames, phones, optional ones
    (1, 1, ()),
    (5, 1, (0,)),
    (4, 4, ()),
    (6, 3, ()),
    (6, 3, (0, 2)),
    (7, 4, (1,)),
    (3, 5, (0, 2, 4)),
    (6, 5, (0, 2, 4)),
    (2, 3, (0, 2)),
]


def made_up(case, seed):
    n_frames, n_phones, optional = case
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_frames, n_phones)).astype(np.float32) * 2
    return values, np.isin(np.arange(n_phones), optional)


def batch_of(seed):
    """Return all cases in one batch, with arbitrary values on padding."""
    cases = [made_up(case, seed) for case in CASES]
    n_frames, n_phones = max(case[0] for case in CASES), max(case[1] for case in CASES)
    values = np.random.default_rng(seed + 1).normal(size=(len(CASES), n_frames, n_phones)).astype(np.float32)
    optional = np.zeros((len(CASES), n_phones), dtype=bool)
    for row, (value, is_optional) in enumerate(cases):
        values[row, : value.shape[0], : value.shape[1]] = value
        optional[row, : value.shape[1]] = is_optional
    lengths = np.array([case[1] for case in CASES]), np.array([case[0] for case in CASES])
    return values, *lengths, optional


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_the_best_of_all_paths(seed):
    values, phoneme_lengths, mel_lengths, optional = batch_of(seed)
    found = best_durations(values, phoneme_lengths, mel_lengths, optional)
    for row, case in enumerate(CASES):
        own, own_optional = made_up(case, seed)
        best = max(ways(case[1], case[0], own_optional), key=lambda durations: score(own, durations))
        assert found[row, : case[1]].tolist() == list(best)
        assert not found[row, case[1] :].any()


def test_the_search_takes_less_than_a_millisecond():
    values = np.random.default_rng(0).normal(size=(1, 800, 100)).astype(np.float32)
    lengths, optional = (np.array([100]), np.array([800])), (np.arange(100) % 5 == 0)[None]
    best_durations(values, *lengths, optional)  # compiles it

    def seconds():
        start = time.perf_counter()
        best_durations(values, *lengths, optional)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(20)) < 1e-3


def test_too_few_frames_have_no_path():
    values = np.zeros((1, 2, 3), dtype=np.float32)
    assert not best_durations(values, np.array([3]), np.array([2]), np.zeros((1, 3), dtype=bool)).any()
    scores = torch.zeros(1, 2, 3, requires_grad=True)
    total = forward_sum(scores, torch.tensor([3]), torch.tensor([2]), torch.zeros(1, 3, dtype=torch.bool))
    total.sum().backward()
    assert total.item() == 0.0
    assert not scores.grad.any()


@pytest.mark.parametrize("seed", range(3))
def test_the_forward_sum_is_that_of_all_paths(seed):
    values, phoneme_lengths, mel_lengths, optional = batch_of(seed)
    scores = torch.from_numpy(values).double().requires_grad_()
    lengths = torch.from_numpy(phoneme_lengths), torch.from_numpy(mel_lengths)
    found = forward_sum(scores, *lengths, torch.from_numpy(optional))
    for row, case in enumerate(CASES):
        own, own_optional = made_up(case, seed)
        every = [score(own.astype(np.float64), durations) for durations in ways(case[1], case[0], own_optional)]
        assert found[row].item() == pytest.approx(np.logaddexp.reduce(every))
    assert torch.autograd.gradcheck(
        lambda each: forward_sum(each, *lengths, torch.from_numpy(optional)), scores, fast_mode=True
    )


def test_a_phone_passes_through_its_states_and_a_pause_through_one():
    ids, optional = torch.tensor([[1, 5, 1, 6, 0], [5, 6, 7, 1, 5]]), torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0]])
    states = phone_states(ids, torch.tensor([4, 5]), torch.tensor([6, 11]), optional.bool(), n_states=3)
    assert states.lengths.tolist() == [8, 5]  # the second has too few frames for three states of four phones
    assert states.symbols[0].tolist() == [1, 5, 5, 5, 1, 6, 6, 6]
    assert states.parts[0].tolist() == [0, 0, 1, 2, 0, 0, 1, 2]
    assert states.phones[0].tolist() == [0, 1, 1, 1, 2, 3, 3, 3]
    assert states.is_optional[0].tolist() == [1, 0, 0, 0, 1, 0, 0, 0]
    assert states.symbols[1, :5].tolist() == [5, 6, 7, 1, 5]
    assert states.parts[1, :5].tolist() == [1, 1, 1, 0, 1]
    scores = torch.zeros(2, 11, 8)
    scores[0, 2, 1] = 5.0  # the third frame sounds like the beginning of the second phone
    durations = StateScores(states, scores).durations(torch.tensor([6, 11]))
    of_phones = states.durations_of_phones(durations, 5)
    assert of_phones.sum(dim=1).tolist() == [6, 11]
    assert (of_phones[0, [1, 3]] >= 3).all() and not of_phones[0, 4]
    assert (of_phones[1, [0, 1, 2, 4]] >= 1).all()


def test_the_prior_is_the_beta_binomial_distribution():
    from scipy.stats import betabinom

    lengths = torch.tensor([4, 3]), torch.tensor([9, 5])
    prior = beta_binomial_prior(*lengths, n_phones=4, n_frames=9, sharpness=1.5).exp()
    assert torch.isfinite(prior).all()
    for row, (n_phones, n_frames) in enumerate([(4, 9), (3, 5)]):
        for t in range(1, n_frames + 1):
            exact = betabinom(n_phones - 1, 1.5 * t, 1.5 * (n_frames - t + 1)).pmf(np.arange(n_phones))
            np.testing.assert_allclose(prior[row, t - 1, :n_phones].numpy(), exact, rtol=1e-3)
