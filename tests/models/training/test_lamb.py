"""LAMB against steps worked by hand."""

from __future__ import annotations

import pytest
import torch

from models.training.lamb import Lamb


def test_two_steps_are_those_worked_by_hand():
    weights = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    untouched = torch.nn.Parameter(torch.ones(1))
    optimizer = Lamb([weights, untouched], lr=0.1, betas=(0.9, 0.98), eps=0.0, weight_decay=0.5)
    weights.grad = torch.tensor([2.0, -1.0])
    optimizer.step()
    # Bias-corrected, the first step is the gradient's sign: (1, -1) + 0.5 * (3, 4) = (2.5, 1), of norm 7.25 ** 0.5.
    ratio = 5.0 / 7.25**0.5
    assert weights.tolist() == pytest.approx([3.0 - 0.1 * ratio * 2.5, 4.0 - 0.1 * ratio])
    before = weights.detach().clone()
    weights.grad = torch.tensor([0.0, -1.0])
    optimizer.step()
    # mean: 0.9 * 0.1 * (2, -1) + 0.1 * (0, -1) over 0.19; square: 0.98 * 0.02 * (4, 1) + 0.02 * (0, 1) over 0.0396.
    mean, square = torch.tensor([0.18, -0.19]) / 0.19, torch.tensor([0.0784, 0.0396]) / 0.0396
    update = mean / square.sqrt() + 0.5 * before
    expected = before - 0.1 * before.norm() / update.norm() * update
    torch.testing.assert_close(weights.detach(), expected)
    assert untouched.item() == 1.0


def test_a_tensor_of_zeros_takes_adams_step():
    weights = torch.nn.Parameter(torch.zeros(2))
    weights.grad = torch.tensor([1.0, -2.0])
    Lamb([weights], lr=0.1, eps=0.0).step()
    assert weights.tolist() == pytest.approx([-0.1, 0.1])
