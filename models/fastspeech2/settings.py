"""What may be set of FastSpeech 2 and its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from config.schema import Contradiction, ExperimentSettings, TrainSettings, setting
from models.layers.acoustic_settings import AcousticModelSettings

Level = Literal["phone", "frame"]


class FastSpeech2ModelSettings(AcousticModelSettings):
    """The network."""

    n_heads: int = setting("attention heads; a divisor of hidden_size", ge=1)
    encoder_layers: int = setting("transformer blocks over phones", ge=1)
    decoder_layers: int = setting("transformer blocks over frames", ge=1)
    conv_filter_size: int = setting("width between the two convolutions of a transformer block", ge=1)
    conv_kernel_sizes: tuple[int, int] = setting("how many steps the two convolutions of a block see; odd numbers")
    norm_first: bool = setting(
        "whether blocks normalise their input (needs little warm-up) or, as in the paper, the sum that leaves them"
    )
    dropout: float = setting("share dropped in encoder and decoder", ge=0, lt=1)
    predictor_filter_size: int = setting("width of the duration, pitch and energy predictors", ge=1)
    predictor_kernel_size: int = setting("how many steps a convolution of the predictors sees; odd", ge=1)
    predictor_dropout: float = setting("share dropped in the predictors", ge=0, lt=1)
    pitch_level: Level = setting("whether pitch is predicted per phone or per frame")
    energy_level: Level = setting("whether energy is predicted per phone or per frame")
    n_bins: int = setting("steps into which pitch and energy are quantised before they are embedded", ge=2)
    postnet_layers: int = setting("convolutions that refine the mel; 0 for none", ge=0)
    postnet_filter_size: int = setting("width of the postnet", ge=1)
    postnet_kernel_size: int = setting("how many frames a convolution of the postnet sees; odd", ge=1)
    postnet_dropout: float = setting("share dropped in the postnet", ge=0, lt=1)

    def contradictions(self) -> Iterator[Contradiction]:
        if self.hidden_size % self.n_heads or self.hidden_size % 2:
            yield Contradiction(
                ("hidden_size", "n_heads"), f"{self.hidden_size} is not an even multiple of n_heads ({self.n_heads})"
            )
        if any(size < 1 or size % 2 == 0 for size in self.conv_kernel_sizes):
            yield Contradiction(("conv_kernel_sizes",), f"{list(self.conv_kernel_sizes)} are not odd numbers")
        for name in ("predictor_kernel_size", "postnet_kernel_size"):
            if getattr(self, name) % 2 == 0:
                yield Contradiction((name,), f"{getattr(self, name)} is not an odd number")
        if self.postnet_layers == 1:
            yield Contradiction(("postnet_layers",), "a postnet has at least 2 layers; 0 leaves it out")


class FastSpeech2TrainSettings(TrainSettings):
    """Training with Adam: warm-up, a long decay, and annealing."""

    learning_rate: float = setting("highest learning rate, reached at the end of the warm-up", gt=0)
    adam_betas: tuple[float, float] = setting("Adam's decay of the gradients' mean and of their square")
    adam_eps: float = setting("Adam's epsilon", gt=0)
    warmup_steps: int = setting("optimizer steps over which the learning rate rises", ge=0)
    decay: Literal["inverse_sqrt", "cosine"] = setting(
        "how the learning rate falls after the warm-up: with one over the square root of the step, "
        "or along a cosine that ends at decay_steps"
    )
    decay_steps: int = setting("optimizer step at which the cosine ends, at a hundredth of learning_rate", ge=1)
    anneal_steps: tuple[int, ...] = setting("optimizer steps after each of which anneal_rate is applied once more")
    anneal_rate: float = setting("factor on the learning rate at each of anneal_steps", gt=0, le=1)

    @property
    def last_decay_step(self) -> int:
        return self.decay_steps if self.decay == "cosine" else 0

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if any(not 0 <= beta < 1 for beta in self.adam_betas):
            yield Contradiction(("adam_betas",), f"{list(self.adam_betas)} are not both from 0 to below 1")
        if self.decay == "cosine" and self.decay_steps <= self.warmup_steps:
            yield Contradiction(("decay_steps", "warmup_steps"), f"{self.decay_steps} is not behind warmup_steps")


class FastSpeech2Settings(ExperimentSettings):
    """Everything a FastSpeech 2 recipe can set."""

    model: FastSpeech2ModelSettings = setting("the network")
    train: FastSpeech2TrainSettings = setting("how the network is trained")

    def contradictions(self) -> Iterator[Contradiction]:
        yield from super().contradictions()
        if self.model.speaker_conditioning == "encoder" and self.preprocess.speaker_encoder == "none":
            yield Contradiction(
                ("model.speaker_conditioning", "preprocess.speaker_encoder"),
                '"encoder" wants a preprocess.speaker_encoder, such as "statistics"',
            )
