"""The flags of commands that speak: prosody, the sound of the vocoder, and those of NVIDIA's FastPitch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from config.other_toolkits import NVIDIA_FLAGS, NVIDIA_SWITCHES

if TYPE_CHECKING:
    from models.contracts import Prosody


def add_prosody_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change how a text is spoken."""
    add = parser.add_argument
    add("--pitch_control", type=float, default=1.0, metavar="X", help="factor on the pitch in Hz")
    add("--energy_control", type=float, default=1.0, metavar="X", help="factor on the energy")
    add("--duration_control", type=float, default=1.0, metavar="X", help="factor on durations; 2 is half as fast")


def prosody_of(arguments: argparse.Namespace) -> Prosody:
    """Return the prosody that the flags of `add_prosody_flags` ask for.

    Raises:
        SynthesisError: a value is out of range.
    """
    from models.contracts import Prosody
    from models.inference.symbol_prosody import require_plausible

    prosody = Prosody(arguments.duration_control, arguments.pitch_control, arguments.energy_control)
    require_plausible(prosody)
    return prosody


def add_vocoder_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change how a vocoder sounds."""
    parser.add_argument(
        "--sigma",
        type=float,
        metavar="X",
        help="spread of the noise that a WaveGlow makes waveforms from, 0 to 2; the vocoder's own unless given",
    )
    parser.add_argument(
        "--denoising_strength",
        type=float,
        default=0.0,
        metavar="X",
        help="share of the vocoder's constant sound that is subtracted, such as 0.01; 0 for none",
    )


def vocoder_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments for opening a vocoder that the flags of `add_vocoder_flags` give."""
    return {name: value for name in ("sigma", "denoising_strength") if (value := getattr(arguments, name)) is not None}


class _FileOfTexts(argparse.Action):
    """A file of texts, which chooses `--infer_mode batch`, too."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: object = None) -> None:
        namespace.infer_mode, namespace.infer_text = "batch", values


class _Answered(argparse.Action):
    """A flag without effect, answered by a line that says what replaces it."""

    def __call__(self, parser: object, namespace: object, values: object, option: str | None = None) -> None:
        print(f"{(option or '').replace('_', '-')}: {self.const}", flush=True)


def _inverse(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return 1 / number


def add_nvidia_flags(parser: argparse.ArgumentParser) -> None:
    """Accept flags of `inference.py` of NVIDIA's FastPitch; those without effect say what replaces them."""
    add, hidden = parser.add_argument, argparse.SUPPRESS
    add("--input", "-i", metavar="FILE", dest="infer_text", action=_FileOfTexts, help="a file of texts, as for batch")
    add(
        "--pace", metavar="X", dest="duration_control", type=_inverse, default=1.0, help="inverse of --duration_control"
    )
    for answers, n_values in ((NVIDIA_SWITCHES, 0), (NVIDIA_FLAGS, None)):
        for flag, answer in answers.items():
            add(f"--{flag}", action=_Answered, nargs=n_values, const=answer, default=hidden, help=hidden)
