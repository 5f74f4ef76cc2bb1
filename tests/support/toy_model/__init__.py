"""A model for tests of what serves every model."""

from models.registry import Model

TOY = Model(
    package="tests.support.toy_model",
    kind="acoustic",
    settings="ToySettings",
    network="",
    config="",
    features=("mel",),
    task="ToyTask",
)
