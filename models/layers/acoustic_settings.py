"""Settings shared by the networks of acoustic models."""

from __future__ import annotations

from typing import Literal

from config.schema import Settings, setting


class AcousticModelSettings(Settings):
    """The network of an acoustic model; subclasses add `pitch_level` and, if used, `energy_level`."""

    hidden_size: int = setting("width of encoder and decoder", ge=2)
    speaker_conditioning: Literal["table", "encoder", "none"] = setting(
        "how the model is conditioned on the speaker: table: a learned embedding each; encoder: a projection of the "
        "speaker embeddings of preprocess.speaker_encoder; none: not at all, for one speaker",
        default="table",
    )
    decoder_noise_size: int = setting(
        "values of Gaussian noise per frame in the decoder's input, so that a text need not have one mel; 0 for none",
        default=0,
        ge=0,
    )
