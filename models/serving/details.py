"""Speech with what it is made of: words, phones, pitch and mel, as JSON for clients that show and change it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from models.inference.synthesizer import Speech
from processors.audio.audio_stream import encode
from processors.text.ipa import is_voiced


def details_line(speech: Speech, hop_size: int, start_s: float) -> bytes:
    """Return a part of a text as a line of JSON; `egs/serve/README.md` describes its keys.

    Args:
        speech: of the part.
        hop_size: of the mel, in samples.
        start_s: when the part begins in the speech of the whole text.
    """
    described = speech.times.beginning_at(start_s).as_json("words", "phones")
    for phone in described["phones"]:
        first, end = (round((phone[edge] - start_s) * speech.sample_rate / hop_size) for edge in ("start", "end"))
        phone |= {"f0_hz": round(float(speech.f0_hz[first:end].mean()), 2), "voiced": is_voiced(phone["phone"])}
    line = {
        "audio": base64.b64encode(encode(speech.waveform, speech.sample_rate, "wav")).decode(),
        "sample_rate": speech.sample_rate,
        "hop_size": hop_size,
        "start": round(start_s, 6),
        "duration": round(speech.duration_s, 6),
        **described,
        "mel": _picture(speech.mel),
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _picture(mel: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Return a (M, T_mel) log-mel with a byte per value, frame by frame."""
    low, high = float(mel.min()), float(mel.max())
    values = np.rint((mel.T - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return {
        "n_mel": mel.shape[0],
        "n_frames": mel.shape[1],
        "min": round(low, 4),
        "max": round(high, 4),
        "values": base64.b64encode(values.tobytes()).decode(),
    }
