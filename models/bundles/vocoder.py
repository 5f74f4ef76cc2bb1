"""Bundles of vocoders, and whether one was trained on the mels to vocode."""

from __future__ import annotations

from pathlib import Path

from config.schema import PreprocessSettings
from models.bundle import VOCODER_FOLDER, Bundle, BundleError
from models.bundles.locate import find_bundle, open_bundle
from models.registry import kind_of
from processors.audio.mel_settings import mel_differences
from utils.bundle_file import is_folder
from utils.errors import RecitalError


class VocoderError(RecitalError):
    """A vocoder that cannot be used as requested."""


def find_vocoder(path: Path | str, expect: PreprocessSettings | None = None, *, otherwise: str = "") -> Bundle:
    """Open the bundle of a vocoder.

    Args:
        path: see `find_bundle`; of an acoustic model's bundle, the vocoder within is taken.
        expect: settings of the mels to vocode; None for no check.
        otherwise: ends the message; what else the user may choose.

    Raises:
        BundleError: there is no such model, or it is not a vocoder.
        VocoderError: it was trained on mels of other settings.
    """
    bundle = vocoder_within(find_bundle(path))
    require_vocoder(bundle, otherwise=otherwise)
    if expect is not None and (differing := mel_differences(vars(bundle.settings.preprocess), vars(expect))):
        raise VocoderError(
            f"{path}: this vocoder was trained on other mels: {differing}; choose one trained with the same "
            f"settings{otherwise}"
        )
    return bundle


def vocoder_within(bundle: Bundle) -> Bundle:
    """Return the vocoder within the bundle of an acoustic model; the bundle itself where there is none."""
    within = bundle.folder / VOCODER_FOLDER
    is_acoustic = kind_of(bundle.settings.model_type) == "acoustic"
    return open_bundle(within) if is_acoustic and bundle.folder != Path() and is_folder(within) else bundle


def require_vocoder(bundle: Bundle, *, otherwise: str = "") -> None:
    """Raise a BundleError, its message ending in `otherwise`, unless a bundle is a vocoder's."""
    if kind_of(bundle.settings.model_type) != "vocoder":
        raise BundleError(f"{bundle.folder}: holds a {bundle.settings.model_type}, which is not a vocoder{otherwise}")
