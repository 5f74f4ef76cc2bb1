"""Stage 3: make a trained model speak a text, a list of texts, or a test set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bins.command import add_vocoder_flags, choose_device, choose_gpus, chosen_experiment, load, make_parser, run
from config.paths import SHIPPED_VOICE
from models.bundles.formats import describe_published

if TYPE_CHECKING:
    from config.schema import ExperimentSettings
    from models.inference.synthesize import Request
    from models.inference.synthesizer import Synthesizer


def main(arguments: argparse.Namespace) -> int:
    choose_gpus(arguments.gpu)
    settings = load(arguments).settings
    expt_dir, name = arguments.infer_expt_dir, arguments.name
    experiment = chosen_experiment(settings, expt_dir, name, "synthesize", otherwise=SHIPPED_VOICE)

    from models.contracts import Prosody
    from models.inference.synthesize import announce, speak_all
    from models.inference.synthesizer import Synthesizer, require_plausible
    from models.inference.vocoder import GriffinLimVocoder
    from utils.console import info

    prosody = Prosody(arguments.duration_control, arguments.pitch_control, arguments.energy_control)
    require_plausible(prosody)
    names = ("sentence_pause_s", "sigma", "denoising_strength")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    synthesizer = Synthesizer.open(experiment, arguments.vocoder_dir, choose_device(), **options)
    requests = _requests(arguments, settings, synthesizer)
    if arguments.vocoder_dir is None and isinstance(synthesizer.vocoder, GriffinLimVocoder):
        info("no trained vocoder fits this voice: Griffin-Lim is used; --vocoder_dir takes a better one")
    folder = Path(arguments.infer_output_dir or experiment / "result")
    single = arguments.infer_mode == "single"
    announce(speak_all(synthesizer, requests, folder, prosody, overwrite=arguments.overwrite, number_existing=single))
    return 0


def _requests(arguments: argparse.Namespace, settings: ExperimentSettings, synthesizer: Synthesizer) -> list[Request]:
    from dataclasses import replace

    from models.inference.synthesize import request_from_text, requests_from_dataset, requests_from_file

    if arguments.infer_mode == "single":
        requests = [request_from_text(arguments.infer_text)]
    elif arguments.infer_text is not None:
        requests = requests_from_file(Path(arguments.infer_text))
    else:
        requests = requests_from_dataset(
            settings.preprocess.processed_path,
            arguments.infer_dataset or settings.dataset[0],
            arguments.infer_testing_set,
            synthesizer.speakers,
        )
    if arguments.infer_language is not None:
        synthesizer.check_language(arguments.infer_language)
        requests = [replace(request, language=arguments.infer_language) for request in requests]
    if arguments.infer_speaker_name is not None:
        requests = [replace(request, speaker=arguments.infer_speaker_name) for request in requests]
    return requests


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("bins.synthesize", "Speak with a trained model: a text, a file of texts, or a test set.")
    add = parser.add_argument
    add("--infer_expt_dir", metavar="DIR", help="what speaks: an experiment, a checkpoint inside one, or a bundle")
    add(
        "--name",
        help="the experiment in log_dir that speaks, instead of --infer_expt_dir; without either, the only one there "
        "is, or the voice that comes with Recital",
    )
    add("--infer_output_dir", metavar="DIR", help="where recordings go; <infer_expt_dir>/result unless given")
    add("--infer_mode", choices=["single", "batch"], default="single", help="one text, or many")
    add(
        "--infer_text",
        metavar="TEXT",
        help="what to say; for batch, a file of texts: lines, a table, a filelist or JSON lines",
    )
    add("--infer_dataset", metavar="NAME", help="for batch: the corpus; the first of the settings unless given")
    sets = ["test", "valid", "train", "golden_test"]
    add("--infer_testing_set", choices=sets, default="test", help="for batch: which set of the corpus")
    add("--infer_speaker_name", metavar="NAME", help="the speaker, where the model has several")
    add(
        "--infer_language",
        metavar="CODE",
        help="language of the texts, such as de; what the speaker, or the recording in the corpus, speaks unless given",
    )
    add(
        "--vocoder_dir",
        metavar="DIR",
        help="the vocoder: an experiment, a checkpoint or a bundle, a folder with an original "
        f"{describe_published('vocoder')}, or griffin_lim; the voice's own or the shipped one unless given",
    )
    add("--pitch_control", type=float, default=1.0, metavar="X", help="factor on the pitch in Hz")
    add("--energy_control", type=float, default=1.0, metavar="X", help="factor on the energy")
    add("--duration_control", type=float, default=1.0, metavar="X", help="factor on durations; 2 is half as fast")
    add(
        "--sentence_pause_s",
        type=float,
        metavar="S",
        help="least pause between sentences, in seconds; 0.35 unless given",
    )
    add_vocoder_flags(parser)
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add("--overwrite", action="store_true", help="replace recordings that exist already")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    if arguments.infer_mode == "single":
        if arguments.infer_text is None:
            parser.error("--infer_mode single needs --infer_text")
        if arguments.infer_dataset is not None:
            parser.error("--infer_dataset needs --infer_mode batch")
    elif arguments.infer_text is not None and arguments.infer_dataset is not None:
        parser.error("--infer_mode batch speaks either the file --infer_text or the corpus --infer_dataset, not both")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
