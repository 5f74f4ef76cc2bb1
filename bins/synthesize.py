"""Stage 3: make a trained model speak a text, a list of texts, or a test set."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import BinaryIO

from bins.command import begin_stage_3, choose_device, make_parser, require_voice, results_folder, run
from bins.speech_flags import (
    add_device_flags,
    add_nvidia_flags,
    add_prosody_flags,
    add_text_flags,
    add_times_flags,
    add_voice_flags,
    check_outputs,
    opening_options,
    prosody_of,
    times_of,
)
from config.paths import SHIPPED_VOICE
from models.bundles.formats import describe_published
from utils.memory import limit_kernel_caches


def main(arguments: argparse.Namespace) -> int:
    sound = sys.stdout.buffer
    # Standard output is for the sound alone; messages go where warnings go.
    with contextlib.redirect_stdout(sys.stderr) if arguments.stream else contextlib.nullcontext():
        return _synthesize(arguments, sound)


def _synthesize(arguments: argparse.Namespace, sound: BinaryIO) -> int:
    limit_kernel_caches()
    settings, experiment = begin_stage_3(arguments, "synthesize", otherwise=SHIPPED_VOICE)

    from models.inference.stream_output import stream_speech
    from models.inference.synthesize import announce, choose_requests, speak_all, with_recording
    from models.inference.synthesizer import Synthesizer
    from models.inference.vocoder import GriffinLimVocoder
    from utils.console import info

    prosody, times = prosody_of(arguments), times_of(arguments)
    single = arguments.infer_mode == "single"
    synthesizer = Synthesizer.open(experiment, arguments.vocoder_dir, choose_device(), **opening_options(arguments))
    requests = choose_requests(
        synthesizer,
        settings or synthesizer.settings,
        text=arguments.infer_text,
        is_file=not single,
        dataset=arguments.infer_dataset,
        testing_set=arguments.infer_testing_set,
        speaker=arguments.infer_speaker_name,
        language=arguments.infer_language,
        markup=arguments.markup,
    )
    if arguments.prosody_from is not None:
        prosody = with_recording(prosody, synthesizer, arguments.prosody_from, requests[0])
    if arguments.vocoder_dir is None and isinstance(synthesizer.vocoder, GriffinLimVocoder):
        info("no trained vocoder fits this voice: Griffin-Lim is used; --vocoder_dir takes a better one")
    if arguments.stream is not None:
        stream_speech(synthesizer, requests[0], prosody, sound, arguments.stream)
        return 0
    folder = results_folder(arguments, experiment)
    options = {"overwrite": arguments.overwrite, "number_existing": single}
    announce(speak_all(synthesizer, requests, folder, prosody, times=times, **options), folder, times)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.synthesize", "Speak with a trained model: a text, a file of texts, or a test set.", config_required=False
    )
    add = parser.add_argument
    add(
        "--infer_expt_dir",
        "--fastpitch",
        metavar="DIR",
        help="what speaks: an experiment, a checkpoint inside one, a bundle, or a published "
        f"{describe_published('acoustic')}; then --config may be left out",
    )
    add(
        "--name",
        help="the experiment in log_dir that speaks, instead of --infer_expt_dir; without either, the only one there "
        "is, or the voice that comes with Recital",
    )
    add(
        "--infer_output_dir",
        "--output",
        "-o",
        metavar="DIR",
        help="where recordings go; <infer_expt_dir>/result unless given",
    )
    add_text_flags(parser)
    add(
        "--stream",
        choices=["wav", "raw"],
        help="write the sound to standard output as it is computed, as WAV or as 16-bit samples without a header; no "
        "files are written",
    )
    add_times_flags(parser)
    add_voice_flags(parser)
    add_prosody_flags(parser)
    add_device_flags(parser)
    add("--overwrite", action="store_true", help="replace recordings that exist already")
    add_nvidia_flags(parser)
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    require_voice(parser, arguments)
    check_outputs(parser, arguments)
    if arguments.infer_mode == "single":
        if arguments.infer_text is None:
            parser.error("--infer_mode single needs --infer_text")
        if arguments.infer_dataset is not None:
            parser.error("--infer_dataset needs --infer_mode batch")
    elif arguments.stream is not None:
        parser.error("--stream needs --infer_mode single")
    elif arguments.prosody_from is not None:
        parser.error("--prosody_from needs --infer_mode single: it is a recording of one text")
    elif arguments.infer_text is not None and arguments.infer_dataset is not None:
        parser.error("--infer_mode batch speaks either the file --infer_text or the corpus --infer_dataset, not both")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
