"""Speak with a voice exported as ONNX: by numpy, onnxruntime and the front end, without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from bins.command import make_parser, run
from bins.speech_flags import add_change_flags, prosody_of


def main(arguments: argparse.Namespace) -> None:
    from models.inference.onnx_voice import OnnxVoice
    from models.inference.output_files import refuse_existing
    from processors.audio.audio_file import write_wav
    from utils.console import info

    output, prosody = Path(arguments.output_file), prosody_of(arguments)
    if not arguments.overwrite:
        refuse_existing([output], "--output_file")
    voice = OnnxVoice(arguments.onnx_dir, arguments.threads, lexicon=arguments.lexicon)
    waveform = voice(
        arguments.text,
        speaker=arguments.speaker,
        language=arguments.language,
        prosody=prosody,
        markup=arguments.markup,
    )
    write_wav(output, waveform, voice.sample_rate)
    info(f"{output}: {len(waveform) / voice.sample_rate:.1f} s")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.speak_onnx", "Speak a text with a voice exported as ONNX; torch is not needed.", with_config=False
    )
    add = parser.add_argument
    add("--onnx_dir", required=True, metavar="DIR", help="the folder that bins.export --format onnx has written")
    add("--text", required=True, help="what to say")
    add("--output_file", required=True, metavar="FILE", help="the WAV to write")
    add("--speaker", metavar="NAME", help="the speaker, where the voice has several")
    add("--language", metavar="CODE", help="of the text; what the speaker speaks unless given")
    add(
        "--markup",
        choices=["auto", "ssml", "none"],
        default="auto",
        help="whether the text is SSML; see docs/markup.md",
    )
    add("--lexicon", metavar="FILE", help="pronunciations over those of the voice; see docs/pronunciation.md")
    add("--threads", type=int, metavar="N", help="threads of onnxruntime; its own choice unless given")
    add("--overwrite", action="store_true", help="replace a file that exists already")
    add_change_flags(parser)
    return parser


if __name__ == "__main__":
    run(main, _parser())
