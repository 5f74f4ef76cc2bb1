"""What is FastPitch's own: the control of its energy."""

from __future__ import annotations

import math

import torch

from models.benchmarks.made_up import made_up_settings, made_up_task
from tests.support.tiny_models import SMALL


def test_a_factor_on_energy_is_one_on_the_amplitude_of_the_frame():
    settings = made_up_settings("config/fastpitch.json", SMALL["FastPitch"])
    adaptor, speaker = made_up_task(settings).modules["network"].variance_adaptor, torch.tensor([0])
    log_mel, factors = torch.tensor([-8.0, -5.0, -3.0]), torch.tensor([[0.5, 2.0, 4.0]])

    def energy(log_mel):  # of frames whose bands are alike
        return (math.sqrt(settings.preprocess.n_mel) * log_mel.abs()).log1p().unsqueeze(0)

    changed = adaptor.scaled("energy", energy(log_mel), speaker, factors)
    torch.testing.assert_close(changed, energy(log_mel + factors[0].log()), rtol=0, atol=1e-5)
    torch.testing.assert_close(adaptor._denormalised("energy", energy(log_mel), speaker), log_mel.exp().unsqueeze(0))
    # Values that no recording has, as an untrained network predicts them, change likewise, and 1 changes no bit.
    odd = torch.tensor([[-0.4, 0.0, 3.0]])
    there = adaptor.scaled("energy", odd, speaker, 3.0)
    torch.testing.assert_close(adaptor.scaled("energy", there, speaker, 1 / 3), odd, rtol=0, atol=1e-5)
    assert torch.equal(adaptor.scaled("energy", odd, speaker, 1.0), odd)
