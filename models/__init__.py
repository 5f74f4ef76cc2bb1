"""What is learned: networks, losses, tasks, bundles, the Synthesizer."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from utils.threads import limit_spinning

_MODULES_OF_USERS = {
    "models.synthesizer": "models.inference.synthesizer",
    "models.vocoder": "models.inference.vocoder",
}
"""Modules under the names by which users import them, to the files that hold them."""


class _ModulesOfUsers(MetaPathFinder, Loader):
    """Import a module of `_MODULES_OF_USERS` as the very module that its file makes, when it is first asked for."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _MODULES_OF_USERS else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system returns what stands in sys.modules once this is done.
        sys.modules[module.__name__] = importlib.import_module(_MODULES_OF_USERS[module.__name__])


sys.meta_path.append(_ModulesOfUsers())
limit_spinning()
