"""Settings that networks of acoustic models share."""

from __future__ import annotations

from typing import Literal

from config.schema import Settings, setting


class AcousticModelSettings(Settings):
    """The network of an acoustic model; it has a `pitch_level` and perhaps an `energy_level` besides."""

    hidden_size: int = setting("width of encoder and decoder", ge=2)
    speaker_conditioning: Literal["table", "encoder"] = setting(
        "how the model knows its speakers: by a learned vector each, or by what preprocess.speaker_encoder hears",
        default="table",
    )
