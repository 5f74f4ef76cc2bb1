"""Stage 3: make a trained model speak a text, a list of texts, or a test set."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import BinaryIO

from bins.command import begin_stage_3, choose_device, make_parser, require_voice, results_folder, run
from bins.speech_flags import (
    add_device_flags,
    add_form_flags,
    add_nvidia_flags,
    add_prosody_flags,
    add_text_flags,
    add_times_flags,
    add_voice_flags,
    check_outputs,
    opening_options,
    prosody_of,
    require_texts,
    sound_facts,
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

    from models.inference.long_text import is_long, models_of, speak_long
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
        text_file=arguments.text_file,
    )
    if arguments.prosody_from is not None:
        prosody = with_recording(prosody, synthesizer, arguments.prosody_from, requests[0])
    if arguments.vocoder_dir is None and isinstance(synthesizer.vocoder, GriffinLimVocoder):
        info("no trained vocoder fits this voice: Griffin-Lim is used; --vocoder_dir takes a better one")
    if arguments.stream is not None:
        stream_speech(synthesizer, requests[0], prosody, sound, arguments.stream)
        return 0
    folder = results_folder(arguments, experiment)
    if single and is_long(requests[0], arguments.text_file, arguments.wav_per):
        made_by = models_of(experiment, arguments.vocoder_dir, synthesizer) | sound_facts(arguments)
        forms = {"wav_per": arguments.wav_per, "overwrite": arguments.overwrite}
        speak_long(synthesizer, requests[0], folder, prosody, made_by, times=times, **forms)
        return 0
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
    add_form_flags(parser)
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
    require_texts(parser, arguments)


if __name__ == "__main__":
    run(main, _parser(), check=_check)
