"""Processor threads: waiting, denormals, and the number that an experiment keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.paths import REPOSITORY
from config.schema import TrainSettings
from models.runs.experiment_settings import with_threads
from tests.support.tiny_voice import tiny_settings


def python(code, **environment):
    plain = {name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=plain | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("package", ["bins", "models"])
def test_threads_sleep_soon_unless_the_environment_says_otherwise(package):
    show = f"import {package}, os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    assert python(show) == "1000 False"
    assert python(show, GOMP_SPINCOUNT="7") == "7 False"
    assert python(show, OMP_WAIT_POLICY="active") == "None False"


@pytest.mark.slow
def test_denormals_are_flushed_on_every_thread():
    code = (
        "import torch\n"
        "from utils.threads import flush_denormals\n"
        "flush_denormals()\n"
        "torch.set_num_threads(2)\n"
        "smallest = torch.full((1 << 22,), 1e-30)\n"
        "print(torch.get_num_threads(), int((smallest * 1e-10).count_nonzero()))\n"
    )
    assert python(code) == "2 0"


def test_an_experiment_keeps_the_number_of_threads_it_began_with():
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        settings = with_threads(tiny_settings())
        assert settings.train.num_threads == 2
        torch.set_num_threads(1)
        assert with_threads(settings).train.num_threads == 2 == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def test_older_settings_have_no_number_of_threads():
    assert TrainSettings.model_fields["num_threads"].default == 0
