"""Settings shared by the networks of acoustic models."""

from __future__ import annotations

from typing import ClassVar, Literal

from config.schema import Settings, setting
from processors.datasets.acoustic_example import Level


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

    @property
    def learns_durations(self) -> bool:
        """Whether an aligner within the model finds the durations, so that stage 1 need not."""
        return False


class LearnedDurationSettings(AcousticModelSettings):
    """The network of an acoustic model that can learn durations itself."""

    # Of the dataset: the network averages over symbols itself, since it may find their durations itself.
    pitch_level: ClassVar[Level] = "frame"

    durations: Literal["learned", "stored"] = setting(
        "whose durations the model learns from: learned: those of an aligner within it; stored: those of stage 1"
    )
    alignment_prior: Literal["paper", "transposed"] = setting(
        "the aligner's beta-binomial prior: over symbols for each frame, as in the paper, or transposed: over frames "
        "for each symbol, as NVIDIA's checkpoints were trained",
        default="paper",
    )

    @property
    def learns_durations(self) -> bool:
        return self.durations == "learned"
