"""What may be set of the toy model."""

from __future__ import annotations

from config.schema import ExperimentSettings, Settings, TrainSettings, setting


class ToyModelSettings(Settings):
    hidden_size: int = setting("width of the network", ge=1)
    dropout: float = setting("share dropped", ge=0, lt=1)


class ToyTrainSettings(TrainSettings):
    learning_rate: float = setting("learning rate", gt=0)


class ToySettings(ExperimentSettings):
    model: ToyModelSettings = setting("the network")
    train: ToyTrainSettings = setting("how it is trained")
