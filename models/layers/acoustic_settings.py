"""Settings shared by the networks of acoustic models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from config.schema import Contradiction, Settings, setting
from processors.features import Level

BlockName = Literal["transformer", "conformer", "convolution"]
_BLOCKS = (
    "transformer: attention and convolutions; conformer: both, and convolutions twice, as in DelightfulTTS; "
    "convolution: ConvNeXt, without attention"
)


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
        """Return whether an aligner within the model finds the durations, so that stage 1 need not."""
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


class BlockSettings(AcousticModelSettings):
    """The network of an acoustic model whose encoder and decoder are stacks of blocks (`block_stack`)."""

    encoder_block: BlockName = setting(f"blocks over phones; {_BLOCKS}", default="transformer")
    decoder_block: BlockName = setting("blocks over frames, likewise", default="transformer")
    encoder_layers: int = setting("blocks over phones", ge=1)
    decoder_layers: int = setting("blocks over frames", ge=1)
    block_kernel_size: int = setting(
        "kernel size of the depthwise convolutions in Conformer and ConvNeXt blocks; odd", default=7, ge=1
    )
    n_heads: int = setting("attention heads; in Conformers a divisor of hidden_size", ge=1)
    conv_filter_size: int = setting("channels within a block, between its convolutions or linear layers", ge=1)
    dropout: float = setting("dropout in encoder and decoder", ge=0, lt=1)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.block_kernel_size % 2 == 0:
            yield Contradiction(("block_kernel_size",), f"{self.block_kernel_size} is not an odd number")
        if self.hidden_size % 2:
            yield Contradiction(("hidden_size",), f"{self.hidden_size} is not an even number")
        elif "conformer" in (self.encoder_block, self.decoder_block) and self.hidden_size % self.n_heads:
            yield Contradiction(
                ("hidden_size", "n_heads"), f"{self.hidden_size} is not a multiple of n_heads ({self.n_heads})"
            )
