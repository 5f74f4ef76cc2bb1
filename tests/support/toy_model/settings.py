"""Settings of the toy model."""

from __future__ import annotations

from config.schema import ExperimentSettings, Settings, TrainSettings, setting


class ToyModelSettings(Settings):
    hidden_size: int = setting("width of the network", ge=1)
    dropout: float = setting("dropout", ge=0, lt=1)


class ToyTrainSettings(TrainSettings):
    learning_rate: float = setting("learning rate", gt=0)
    decay_steps: int = setting("step at which the schedule ends; 0 for never", default=0)

    @property
    def last_decay_step(self):
        return self.decay_steps


class ToySettings(ExperimentSettings):
    model: ToyModelSettings = setting("the network")
    train: ToyTrainSettings = setting("how it is trained")
