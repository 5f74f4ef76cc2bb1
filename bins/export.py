"""Write a trained model for others: as a bundle or one file to pass on, as ONNX, or in the layout of other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run
from models.bundles.export import FILE_FORMAT, OWN_FORMAT, Export, export
from models.bundles.formats import published_formats
from models.export.formats import INT8, ONNX, writers
from models.export.program_formats import SHERPA, TORCH_EXPORT, program_writers
from utils.precision import PRECISIONS, Precision

_OWN = f"{OWN_FORMAT} or {FILE_FORMAT}"


def main(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.output_dir)
    is_int8 = arguments.precision == INT8
    precision: Precision = "fp32" if is_int8 else arguments.precision or "fp32"
    request = Export(
        arguments.bundle,
        folder,
        precision,
        arguments.overwrite,
        arguments.vocoder_dir,
        repository=arguments.push,
        is_private=arguments.private,
        licence=arguments.licence,
        int8=is_int8,
    )
    export(request, writers()[arguments.format])


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.export",
        "Write a trained model for others: as a bundle or one file to pass on, as ONNX graphs, or in the layout that "
        "other programs read.",
        with_config=False,
    )
    add = parser.add_argument
    add(
        "--bundle",
        required=True,
        metavar="DIR",
        help="the model: an experiment or a checkpoint inside one (both with the training state), a bundle, a "
        "folder in a published layout, or hf://owner/name; weights are the moving average (EMA) where training keeps "
        "one",
    )
    formats = ", ".join(f"{name} for a {model_type}" for name, model_type in published_formats().items())
    add(
        "--format",
        required=True,
        choices=list(writers()),
        help=f"{OWN_FORMAT}: our own, of any model, without the folders of this machine; {FILE_FORMAT}: the same in a "
        f"file that holds its vocoder, too; {ONNX}: a folder of graphs for onnxruntime, its vocoder among them; "
        f"{TORCH_EXPORT}: one file that torch alone loads; {SHERPA}: a folder for "
        f"sherpa-onnx, of a voice with a lexicon or espeak-ng's phones; or whose layout: {formats}",
    )
    add(
        "--precision",
        choices=[*PRECISIONS, INT8],
        help=f"format of the weights: of a {_OWN} {', '.join(PRECISIONS)}; of {ONNX} fp32 or {INT8} (default: fp32)",
    )
    add(
        "--vocoder_dir",
        metavar="DIR",
        help=f"the vocoder that a {_OWN} of an acoustic model is used with: a folder as for --bundle, which is "
        f"copied into it, or the name of one in ckpts/vocoder, which a {FILE_FORMAT} gets a copy of, too; or the one "
        f"that {ONNX} gets the graphs of",
    )
    add(
        "--output_dir",
        required=True,
        metavar="DIR",
        help=f"folder for the files; created if missing; a {FILE_FORMAT} is DIR/NAME.recital, or DIR if it ends so",
    )
    add("--overwrite", action="store_true", help="replace files that exist already")
    add(
        "--push",
        metavar="OWNER/NAME",
        help="also upload the files to this repository of the Hugging Face Hub, created if missing, with a model card; "
        "a README.md that is in --output_dir already is taken as the card",
    )
    add("--private", action="store_true", help="create the repository of --push as a private one")
    add(
        "--licence",
        metavar="NAME",
        help="the licence of the weights, for the model card, such as mit; that of the sources of synthesized speech "
        "unless given",
    )
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    for name in ("precision", "vocoder_dir"):
        programs = program_writers() if name == "vocoder_dir" else {}
        if getattr(arguments, name) and arguments.format not in (OWN_FORMAT, FILE_FORMAT, ONNX, *programs):
            parser.error(f"--{name} needs --format {_OWN}, or {ONNX}")
    if arguments.precision not in (None, "fp32") and (arguments.precision == INT8) != (arguments.format == ONNX):
        parser.error(f"--precision {arguments.precision} is for --format {_OWN if arguments.format == ONNX else ONNX}")
    for name in ("private", "licence"):
        if getattr(arguments, name) and not arguments.push:
            parser.error(f"--{name} needs --push")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
