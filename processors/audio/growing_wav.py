"""WAV files of any size, whose header is written last."""

from __future__ import annotations

import struct

HEADER_BYTES = 80
"""Size of every header here, so that the samples can be written before their number is known."""
_MOST_BYTES = 2**32 - 1
_SEE_DS64 = 2**32 - 1


def wav_header(n_samples: int, sample_rate: int) -> bytes:
    """Return the header of 16-bit mono samples: RIFF, or RF64 (EBU Tech 3306) for what does not fit into 4 GB.

    Both are of the same size: RIFF has a chunk `JUNK` in place of the 64-bit sizes.
    """
    n_bytes = 2 * n_samples
    riff_bytes = HEADER_BYTES - 8 + n_bytes
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    if riff_bytes <= _MOST_BYTES:
        start = b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVE" + b"JUNK" + struct.pack("<I28x", 28)
        return start + form + b"data" + struct.pack("<I", n_bytes)
    sizes = struct.pack("<IQQQI", 28, riff_bytes, n_bytes, n_samples, 0)
    start = b"RF64" + struct.pack("<I", _SEE_DS64) + b"WAVE" + b"ds64" + sizes
    return start + form + b"data" + struct.pack("<I", _SEE_DS64)
