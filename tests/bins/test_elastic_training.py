"""Training by torchrun on two machines, here both 127.0.0.1, of which one loses its process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.load import write_settings
from config.paths import REPOSITORY
from tests.support.commands import start_two
from tests.support.tiny_models import TinyModel

STEPS, SAVE_EVERY = 120, 20


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc for the process to kill")
def test_a_killed_process_is_restarted_to_the_result_of_an_uninterrupted_run(tmp_path):
    config = tmp_path / "settings.json"
    never = ("log", "valid", "sample")
    settings = TinyModel("FastSpeech2", tmp_path).settings(
        f"log_dir={tmp_path / 'log'}",
        f"train.max_steps={STEPS}",
        f"train.save_every_steps={SAVE_EVERY}",
        "train.max_epochs=0",
        "train.num_workers=0",
        "train.batch_size=2",
        "train.precision=fp32",
        *(f"train.{name}_every_steps={STEPS}" for name in never),
    )
    write_settings(config, settings)
    straight = start_two("bins.train", "--config", config, "--name", "straight")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    flags = "--nnodes 2 --nproc_per_node 1 --max_restarts 3 --rdzv_backend c10d --rdzv_id test --local_addr 127.0.0.1"
    command = [sys.executable, "-m", "torch.distributed.run", *flags.split(), "--rdzv_endpoint", endpoint]
    command += ["-m", "bins.train", "--config", str(config), "--name", "elastic"]
    machines = [
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        )
        for _ in range(2)
    ]
    try:
        checkpoints = tmp_path / "log" / "elastic" / "checkpoint"
        while not list(checkpoints.glob("step-*")):
            assert machines[1].poll() is None, machines[1].communicate()[0]
            time.sleep(0.02)
        (process,) = Path(f"/proc/{machines[1].pid}/task/{machines[1].pid}/children").read_text().split()
        os.kill(int(process), signal.SIGKILL)
        outputs = [machine.communicate(timeout=300)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.terminate()  # a torchrun that is killed leaves its processes behind
            machine.wait(60)
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    assert sum(each.count("resuming from") for each in outputs) == 1, outputs
    assert [process.wait(300) for process in straight] == [0, 0]
    last = f"checkpoint/step-{STEPS:08d}/network.safetensors"
    ours, theirs = ((tmp_path / "log" / name / last).read_bytes() for name in ("elastic", "straight"))
    assert ours == theirs
