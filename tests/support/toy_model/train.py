"""`bins.train`, with the toy model in the registry; its arguments are the same."""

from __future__ import annotations

from bins.command import run
from bins.train import _parser, main
from models.registry import MODELS
from tests.support.toy_model import TOY

MODELS["Toy"] = TOY

if __name__ == "__main__":
    run(main, _parser())
