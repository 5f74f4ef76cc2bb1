"""Optional packages of metrics (`sh env.sh evaluate` installs them)."""

from __future__ import annotations

import importlib.util


def are_installed(packages: tuple[str, ...]) -> bool:
    """Return whether all packages, by the names they are imported by, are installed."""
    return all(importlib.util.find_spec(package) is not None for package in packages)
