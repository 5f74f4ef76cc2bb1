"""Settings of Lyre and its training."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Contradiction, Settings, setting
from models.training.settings import GanVocoderSettings


class LyreModelSettings(Settings):
    """The generator and its F0 predictor."""

    hidden_size: int = setting("channels of the ConvNeXt blocks", ge=1)
    inner_size: int = setting("channels within their perceptrons", ge=1)
    n_blocks: int = setting("how many blocks", ge=0)
    f0_hidden_size: int = setting("channels of the F0 predictor's blocks", ge=1)
    f0_inner_size: int = setting("channels within their perceptrons", ge=1)
    f0_n_blocks: int = setting("how many blocks the F0 predictor has", ge=0)


class LyreSettings(GanVocoderSettings):
    """Everything a recipe of Lyre can set."""

    model: LyreModelSettings = setting("the generator and its F0 predictor")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        n_fft, hop_size = self.preprocess.n_fft, self.preprocess.hop_size
        if n_fft % hop_size or n_fft < 2 * hop_size:
            yield Contradiction(
                ("preprocess.hop_size", "preprocess.n_fft"),
                f"n_fft ({n_fft}) is not a multiple of hop_size ({hop_size}): frames are put together by overlap",
            )
