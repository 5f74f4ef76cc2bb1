"""The toy regression as a model that settings name."""

from __future__ import annotations

import numpy as np
from torch import nn

from tests.support.toy_tasks import ToyBatches, ToyRegression, make_batch


class ToyTask(ToyRegression):
    def __init__(self, settings):
        super().__init__(settings.model.dropout, settings.train.learning_rate)
        width = settings.model.hidden_size
        layers = [nn.Linear(3, width), nn.Tanh(), nn.Dropout(settings.model.dropout), nn.Linear(width, 1)]
        self.modules["network"] = nn.Sequential(*layers)
        self.settings = settings

    @classmethod
    def from_settings(cls, settings):
        return cls(settings)

    def train_batches(self, rank=0, world_size=1):
        train = self.settings.train
        return ToyBatches(24, train.batch_size, train.gradient_accumulation_steps, rank, world_size, train.seed)

    def valid_batches(self, rank=0, world_size=1):
        return [make_batch(np.arange(100, 104))][rank:]
