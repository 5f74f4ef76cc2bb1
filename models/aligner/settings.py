"""Settings of the aligner and its training."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Contradiction, ExperimentSettings, Settings, setting
from models.training.settings import AdamTrainSettings


class AlignerModelSettings(Settings):
    """The network."""

    hidden_size: int = setting("width of the mel encoder", ge=1)
    kernel_size: int = setting("kernel size of its two convolutions, in frames; odd", ge=1)
    space_size: int = setting("embedding size of phones and frames", ge=1)
    n_states: int = setting("states that a phone passes through, a frame or more each", ge=1)
    dropout: float = setting("dropout in the mel encoder", ge=0, lt=1)
    prior_sharpness: float = setting(
        "sharpness of the prior that expects phones along the diagonal, as if all lasted alike; 0 for none", ge=0
    )
    frequency_weight: float = setting(
        "how far frequent phones are kept from taking the frames of rare ones; 0 for not at all", ge=0, le=1
    )

    def contradictions(self) -> Iterator[Contradiction]:
        if self.kernel_size % 2 == 0:
            yield Contradiction(("kernel_size",), f"{self.kernel_size} is not an odd number")


class AlignerTrainSettings(AdamTrainSettings):
    """Training with Adam: warm-up, then a cosine down to max_steps."""

    warmup_steps: int = setting("optimizer steps over which the learning rate rises", ge=0)
    decay_steps: int = setting("optimizer step at which the cosine ends, at a hundredth of learning_rate", ge=1)
    binarize_from_step: int = setting("optimizer step from which the binarization loss is added", ge=0)
    binarization_weight: float = setting("weight of the binarization loss, towards the one best path", ge=0)

    @property
    def last_decay_step(self) -> int:
        return self.decay_steps

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.decay_steps <= self.warmup_steps:
            yield Contradiction(("decay_steps", "warmup_steps"), f"{self.decay_steps} is not after warmup_steps")
        if self.evaluate_every_steps:
            yield Contradiction(("evaluate_every_steps",), "an aligner makes no speech to evaluate; leave it at 0")


class AlignerSettings(ExperimentSettings):
    """All settings of an aligner recipe."""

    model: AlignerModelSettings = setting("the network")
    train: AlignerTrainSettings = setting("how the network is trained")
