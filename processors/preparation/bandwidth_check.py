"""Corpora whose recordings lack the high frequencies of the settings, such as those of a telephone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from config.schema import PreprocessSettings
from processors.audio.audio_file import AudioError, read_recording
from processors.audio.bandwidth import NARROWER_BAND, bandwidth, power_spectrogram
from processors.utterance import Utterance

_N_MEASURED = 20
_HOP_S = 0.02
_MAX_S = 30.0


def note_on_bandwidth(utterances: Sequence[Utterance], settings: PreprocessSettings) -> str:
    """Return a note if the recordings' median bandwidth is far below that of the mel; empty if it is not.

    Twenty recordings, spread over the corpus, are measured; unreadable ones are reported when they are prepared.
    """
    step = max(len(utterances) // _N_MEASURED, 1)
    found: list[tuple[float, int]] = []
    for utterance in utterances[::step][:_N_MEASURED]:
        try:
            recording = read_recording(utterance.audio_path, max_duration_s=_MAX_S)
        except (AudioError, OSError):
            continue
        frequencies, _, power = power_spectrogram(recording.waveform, recording.sample_rate, _HOP_S)
        found.append((bandwidth(frequencies, power, recording.sample_rate), recording.sample_rate))
    if not found:
        return ""
    median_hz = float(np.median([hz for hz, _ in found]))
    expected_hz = settings.fmax
    if median_hz >= NARROWER_BAND * expected_hz:
        return ""
    rates = ", ".join(str(rate) for rate in sorted({rate for _, rate in found}))
    return (
        f"recordings hold nothing above {median_hz:.0f} Hz (median of {len(found)}; files of {rates} Hz), the mels of "
        f"these settings reach {expected_hz:.0f} Hz: a voice trained on them sounds muffled. Bring the original "
        "recordings, or lower preprocess.sample_rate and fmax"
    )
