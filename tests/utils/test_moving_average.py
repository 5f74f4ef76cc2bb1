"""The moving average of a network's weights, and what it does with buffers."""

from __future__ import annotations

import torch
from torch import nn

from models.layers.positions import SinusoidalPositions
from utils.moving_average import MovingAverage


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.positions = SinusoidalPositions(4)
        self.register_buffer("n_seen", torch.tensor(0))

    def forward(self, x):
        self.n_seen += len(x)
        return self.linear(self.positions(x))


def test_a_table_that_grows_with_a_long_row_stays_the_networks_own():
    network = Network()
    average = MovingAverage(network, 0.9)
    network(torch.zeros(1, 3000, 4))
    average.update(network)
    assert len(network.positions.table) > len(average.network.positions.table)
    torch.testing.assert_close(average.network(torch.zeros(1, 3000, 4)), network(torch.zeros(1, 3000, 4)))


def test_buffers_that_are_saved_are_the_latest_and_weights_the_average():
    network = Network()
    average = MovingAverage(network, 0.9)
    before = network.linear.weight.detach().clone()
    network(torch.zeros(2, 3, 4))
    with torch.no_grad():
        network.linear.weight += 1.0
    average.update(network)
    assert average.network.n_seen == network.n_seen == 2
    # The decay of the first step is 1 / 10.
    torch.testing.assert_close(average.network.linear.weight, before + 0.9)
