"""Bundles of vocoders, and whether one was trained on the mels to vocode."""

from __future__ import annotations

from pathlib import Path

from config.schema import PreprocessSettings
from models.bundle import Bundle, BundleError
from models.bundles.locate import find_bundle
from models.registry import kind_of
from processors.audio.mel_settings import mel_differences
from utils.errors import RecitalError


class VocoderError(RecitalError):
    """A vocoder that cannot be used as requested."""


def find_vocoder(path: Path | str, expect: PreprocessSettings | None = None, *, otherwise: str = "") -> Bundle:
    """Open the bundle of a vocoder.

    Args:
        path: see `find_bundle`.
        expect: settings of the mels to vocode; None for no check.
        otherwise: ends the message; what else the user may choose.

    Raises:
        BundleError: there is no such model, or it is not a vocoder.
        VocoderError: it was trained on mels of other settings.
    """
    bundle = find_bundle(path)
    require_vocoder(bundle, otherwise=otherwise)
    if expect is not None and (differing := mel_differences(vars(bundle.settings.preprocess), vars(expect))):
        raise VocoderError(
            f"{path}: this vocoder was trained on other mels: {differing}; choose one trained with the same "
            f"settings{otherwise}"
        )
    return bundle


def require_vocoder(bundle: Bundle, *, otherwise: str = "") -> None:
    """Raise a BundleError, its message ending in `otherwise`, unless a bundle is a vocoder's."""
    if kind_of(bundle.settings.model_type) != "vocoder":
        raise BundleError(f"{bundle.folder}: holds a {bundle.settings.model_type}, which is not a vocoder{otherwise}")
