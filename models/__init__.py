"""Networks, losses, tasks, bundles and the Synthesizer."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from utils.threads import limit_spinning

_PUBLIC_MODULES = {
    "models.synthesizer": "models.inference.synthesizer",
    "models.vocoder": "models.inference.vocoder",
}
"""Public names of modules, to the files that hold them."""


class _PublicModules(MetaPathFinder, Loader):
    """Import a module of `_PUBLIC_MODULES` as the module of its file, when it is first imported."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _PUBLIC_MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system returns what is in sys.modules once this is done.
        sys.modules[module.__name__] = importlib.import_module(_PUBLIC_MODULES[module.__name__])


sys.meta_path.append(_PublicModules())
limit_spinning()
