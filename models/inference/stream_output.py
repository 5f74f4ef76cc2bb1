"""Speech written to a pipe as it is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Literal

import numpy as np

from models.contracts import Prosody
from models.inference.synthesize import Request
from models.inference.synthesizer import Synthesizer
from processors.audio.audio_stream import endless_wav_header, pcm_bytes

StreamFormat = Literal["wav", "raw"]


def stream_speech(
    synthesizer: Synthesizer, request: Request, prosody: Prosody, file: BinaryIO, stream_format: StreamFormat
) -> None:
    """Speak a text into a file as it is computed; see `Synthesizer.stream` for the errors."""
    pieces = synthesizer.stream(
        request.text, speaker=request.speaker, language=request.language, prosody=prosody, markup=request.markup
    )
    write_stream(pieces, synthesizer.sample_rate, file, stream_format)


def write_stream(
    pieces: Iterable[np.ndarray], sample_rate: int, file: BinaryIO, stream_format: StreamFormat = "wav"
) -> None:
    """Write a waveform as 16-bit mono samples, each piece as soon as it is computed.

    Args:
        pieces: float32 samples in [-1, 1], in order.
        sample_rate: in Hz.
        file: gets them.
        stream_format: `wav` with a header that states no length, or `raw` without any header.
    """
    if stream_format == "wav":
        file.write(endless_wav_header(sample_rate))
    for piece in pieces:
        file.write(pcm_bytes(piece))
        file.flush()
