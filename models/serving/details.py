"""Speech with what it is made of: words, phones, pitch and mel, as JSON for clients that show and change it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from models.inference.speech_plan import SpeechPlan
from models.inference.symbol_prosody import symbol_places
from models.inference.synthesizer import Speech
from processors.audio.audio_stream import encode
from processors.text.ipa import is_voiced


def details_line(plan: SpeechPlan, speech: Speech, hop_size: int, *, start_s: float, first_word: int) -> bytes:
    """Return a part of a text as a line of JSON; `egs/serve/README.md` describes its keys.

    Args:
        plan: of the part.
        speech: of the plan.
        hop_size: of the mel, in samples.
        start_s: when the part begins in the speech of the whole text.
        first_word: index of its first word in the whole text.
    """
    frame_s = hop_size / speech.sample_rate
    ends = np.cumsum(speech.durations)
    [places] = symbol_places([plan.sequence])
    phones: list[dict[str, Any]] = []
    words: dict[int, dict[str, Any]] = {}
    for (word, index), phone, first, end in zip(
        places, plan.sequence.phones, (ends - speech.durations).tolist(), ends.tolist(), strict=True
    ):
        if word < 0 or end <= first:
            continue
        times = {"start": round(start_s + first * frame_s, 4), "end": round(start_s + end * frame_s, 4)}
        f0_hz = float(speech.f0_hz[first:end].mean())
        phones.append(
            {"word": first_word + word, "index": index, "phone": phone}
            | times
            | {"f0_hz": round(f0_hz, 2), "voiced": is_voiced(phone)}
        )
        label = {"index": first_word + word, "word": plan.sequence.words[word]}
        words[word] = words.get(word, label | times) | {"end": times["end"]}
    line = {
        "audio": base64.b64encode(encode(speech.waveform, speech.sample_rate, "wav")).decode(),
        "sample_rate": speech.sample_rate,
        "hop_size": hop_size,
        "start": round(start_s, 4),
        "duration": round(speech.duration_s, 4),
        "words": list(words.values()),
        "phones": phones,
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
