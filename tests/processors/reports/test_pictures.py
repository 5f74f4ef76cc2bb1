"""Pictures are drawn off screen, whatever the values, and leave nothing behind."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest

from config.paths import REPOSITORY
from processors.reports.speech_pictures import curves_picture, mels_picture, utterance_picture
from utils.pictures import Curve, Panel, draw, pixels, png


def utterance(frames=60, hop_size=256, seed=0):
    generator = np.random.default_rng(seed)
    mel = generator.uniform(-11.5, 1.0, (frames, 80)).astype(np.float32)
    waveform = generator.integers(-9000, 9000, frames * hop_size, dtype=np.int16)
    f0_hz = np.where(np.arange(frames) % 20 < 10, 120.0, 0.0).astype(np.float32)
    return waveform, mel, f0_hz


def picture_of(durations, phones, **changes):
    waveform, mel, f0_hz = utterance()
    parts = {"f0_hz": f0_hz, "phones": phones, "durations": durations, "sample_rate": 22050, "hop_size": 256}
    return utterance_picture(waveform, mel, **{**parts, **changes})


def test_png_is_a_png_file_of_the_width_asked_for():
    figure = draw([Panel(curves=[Curve(np.arange(5.0))])], width=4.0, panel_height=1.5)
    content = png(figure)
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">I", content[16:20]) == (400,)


def test_same_picture_is_the_same_file():
    phones, durations = ["sil", "AH0", "."], [20, 30, 10]
    assert png(picture_of(durations, phones)) == png(picture_of(durations, phones))


@pytest.mark.slow
def test_pixels_are_red_green_blue_and_not_blank():
    image = pixels(picture_of([20, 30, 10], ["sil", "AH0", "."]))
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100


def test_phones_without_length_and_crowds_of_phones_are_drawn():
    picture_of([0, 60, 0], ["sil", "AH0", "."])
    picture_of([1] * 60, ["AH0"] * 60)


def test_unvoiced_silent_and_empty_curves_are_drawn():
    waveform, mel, f0_hz = utterance()
    pixels(picture_of([60], ["sil"], f0_hz=np.zeros_like(f0_hz)))
    pixels(utterance_picture(np.zeros_like(waveform), np.full_like(mel, -11.5), sample_rate=22050, hop_size=256))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(curves_picture({"recorded": np.full(4, np.nan), "predicted": np.zeros(0)}, y_label="log Hz"))


def test_dollar_signs_in_a_text_are_no_formula():
    waveform, mel, _ = utterance()
    figure = utterance_picture(waveform, mel, sample_rate=22050, hop_size=256, title=r"It costs $5, not $\badcommand.")
    pixels(figure)


@pytest.mark.slow
def test_letters_that_the_font_lacks_are_drawn_without_a_warning():
    # In a process of its own, for pytest has filters of its own for warnings.
    program = (
        "import numpy as np\nfrom processors.reports.speech_pictures import utterance_picture\n"
        "from utils.pictures import pixels\n"
        "pixels(utterance_picture(np.zeros(2560, 'h'), np.zeros((10, 80), 'f'), sample_rate=22050, hop_size=256, "
        "title='日本'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Glyph" not in done.stderr, done.stderr


def test_mels_of_other_lengths_share_one_axis():
    _, mel, _ = utterance()
    figure = mels_picture({"recorded": mel, "predicted": mel[:20]}, seconds_per_frame=0.01)
    assert [axis.get_xlim() for axis in figure.axes] == [(0.0, pytest.approx(0.6))] * 2


def test_long_waveform_is_drawn_as_its_envelope():
    peak_at = 77_777
    values = np.zeros(200_000)
    values[peak_at] = 1.0
    (axis,) = draw([Panel(curves=[Curve(values)])]).axes
    (envelope,) = axis.collections
    assert np.asarray(envelope.get_paths()[0].vertices).max(axis=0)[1] == 1.0


@pytest.mark.slow
def test_pyplot_is_not_needed():
    program = (
        "import sys, numpy as np\n"
        "from processors.reports.speech_pictures import mels_picture\n"
        "from utils.pictures import png\n"
        "png(mels_picture({'': np.zeros((10, 80))}, seconds_per_frame=0.01))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_phones_stand_above_the_mel():
    figure = picture_of([20, 40], ["sil", "AH0"])
    assert {"sil", "AH0"} <= {text.get_text() for axis in figure.axes for text in axis.texts}
