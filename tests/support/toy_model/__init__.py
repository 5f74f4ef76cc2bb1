"""A toy model, for tests of code shared by all models."""

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
