"""The logbook: JSON lines and TensorBoard."""

from __future__ import annotations

import json
import math
import time

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.logbook import Logbook, read_logbook
from utils.task import Samples


def board(folder, run=""):
    events = EventAccumulator(str(folder / "tensorboard" / run), size_guidance={"images": 0, "audio": 0})
    events.Reload()
    return events


def test_scalars_are_lines_and_curves(tmp_path):
    logbook = Logbook(tmp_path)
    logbook.scalars(10, {"train/loss": 1.5}, epoch=0)
    logbook.scalars(20, {"train/loss": 1.25, "speed": 3.0}, epoch=1)
    logbook.close()
    assert read_logbook(tmp_path / "logbook.jsonl") == [
        {"step": 10, "epoch": 0, "train/loss": 1.5},
        {"step": 20, "epoch": 1, "train/loss": 1.25, "speed": 3.0},
    ]
    curve = board(tmp_path, "train").Scalars("loss")
    assert [(point.step, point.value) for point in curve] == [(10, 1.5), (20, 1.25)]


def test_resumed_logbook_drops_what_came_after_the_step(tmp_path):
    logbook = Logbook(tmp_path)
    for step in (10, 20, 30):
        logbook.scalars(step, {"loss": float(step)})
    logbook.close()
    # TensorBoard reads files in the order of their names: the second, then the process, then a number without leading
    # zeros, so that within one second "10" comes before "9". Another process takes over a second to get here.
    time.sleep(1.1)
    logbook = Logbook(tmp_path, after_step=20)
    logbook.scalars(30, {"loss": -30.0})
    logbook.close()
    assert [(line["step"], line["loss"]) for line in read_logbook(tmp_path / "logbook.jsonl")] == [
        (10, 10.0),
        (20, 20.0),
        (30, -30.0),
    ]
    assert [(point.step, point.value) for point in board(tmp_path).Scalars("loss")] == [
        (10, 10.0),
        (20, 20.0),
        (30, -30.0),
    ]


def test_a_term_has_one_tag_in_the_runs_of_training_validation_and_test(tmp_path):
    """TensorBoard's Time Series tab draws runs of a tag into one chart; a GAN's validation is of its generator."""
    logbook = Logbook(tmp_path)
    logbook.settings(0, {"train": {"batch_size": 3}})
    logbook.scalars(1, {"train/generator/mel": 1.0, "train/generator/loss": 2.0, "learning_rate/generator": 0.1})
    logbook.scalars(1, {"train/discriminator/loss": 3.0})
    for split in ("valid", "test"):
        logbook.scalars(1, {f"{split}/mel": 4.0, f"{split}/loss": 5.0, f"{split}/pesq": 6.0})
    logbook.close()
    tags = {run: set(board(tmp_path, run).Tags()["scalars"]) for run in ("", "train", "valid", "test")}
    shared = {"generator/mel", "generator/loss"}
    assert tags[""] == {"learning_rate/generator"} and tags["train"] == {*shared, "discriminator/loss"}
    assert tags["valid"] == tags["test"] == {*shared, "generator/pesq"}
    text = board(tmp_path).Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '\n        "batch_size": 3\n' in text


def test_line_cut_in_half_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "logbook.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "lo')
    assert [line["step"] for line in read_logbook(path)] == [10]
    logbook = Logbook(tmp_path, after_step=20)
    logbook.scalars(20, {"loss": 2.0})
    logbook.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20]


def test_nan_and_infinity_are_logged_as_valid_json(tmp_path):
    logbook = Logbook(tmp_path)
    logbook.scalars(1, {"nan": math.nan, "inf": math.inf})
    logbook.close()

    def refuse(constant):
        raise AssertionError(constant)

    line = json.loads((tmp_path / "logbook.jsonl").read_text(), parse_constant=refuse)
    assert line == {"step": 1, "nan": None, "inf": None}


def test_pictures_and_sounds_are_shown_and_loud_sounds_do_not_wrap(tmp_path):
    logbook = Logbook(tmp_path)
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    picture[1, 2] = 255
    waveform = np.array([0.0, 1.0, 1.5, -2.0], dtype=np.float64)
    logbook.samples(5, Samples({"valid/mel": picture}, {"valid/speech": waveform}, 22050, {"valid/text": "hello"}))
    logbook.close()
    events = board(tmp_path)
    [image] = events.Images("valid/mel")
    assert (image.step, image.width, image.height) == (5, 6, 4)
    [sound] = events.Audio("valid/speech")
    assert sound.sample_rate == 22050
    data = np.frombuffer(sound.encoded_audio_string[44:], dtype="<i2")
    assert data.tolist() == [0, 32767, 32767, -32767]
