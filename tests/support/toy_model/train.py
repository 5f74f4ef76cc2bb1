"""`bins.train`, with the toy model in the registry; its arguments are the same."""

from __future__ import annotations

import runpy

from models.registry import MODELS
from tests.support.toy_model import TOY

MODELS["Toy"] = TOY

if __name__ == "__main__":
    runpy.run_module("bins.train", run_name="__main__")
