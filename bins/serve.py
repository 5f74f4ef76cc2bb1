"""A server of speech, with OpenAI's interface."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bins.command import SERVER_TOKEN, choose_device, choose_gpus, make_parser, require_there, run
from config.paths import SHIPPED_VOICE
from utils.memory import limit_kernel_caches
from utils.precision import PRECISIONS


def main(arguments: argparse.Namespace) -> None:
    limit_kernel_caches()
    for name, place in arguments.voice:
        require_there(f"--voice {name}:", Path(place))
    choose_gpus(arguments.gpu)

    from models.bundles.hub import local_path
    from models.serving.app import AppOptions
    from models.serving.run import ServerOptions, serve
    from models.serving.voices import voices_in

    voices = {name: local_path(place) for name, place in arguments.voice}
    if arguments.voices_dir is not None:
        voices |= {name: place for name, place in voices_in(Path(arguments.voices_dir)).items() if name not in voices}
    if not voices:
        voices = {SHIPPED_VOICE.name: SHIPPED_VOICE}
    app = AppOptions(
        arguments.max_chars, arguments.arrival_s, os.environ.get(SERVER_TOKEN) or None, tuple(arguments.allow_origin)
    )
    serve(
        ServerOptions(
            voices,
            dict(arguments.alias),
            app,
            host=arguments.host,
            port=arguments.port,
            n_threads=arguments.threads or os.cpu_count() or 1,
            max_waiting=arguments.max_waiting,
            time_limit_s=arguments.time_limit_s,
            shutdown_s=arguments.shutdown_s,
            max_voices=arguments.max_voices,
            device=choose_device(),
            precision=arguments.precision,
        )
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("bins.serve", "Speak for others, over HTTP.", with_config=False)
    add = parser.add_argument
    add(
        "--voice",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a voice: its name, and an experiment, bundle, .recital file or hf://owner/name; may be repeated, "
        "the first is the default; the voice that comes with Recital unless given",
    )
    add(
        "--voices_dir",
        metavar="DIR",
        help="a folder of bundles, each a voice by its folder's name or, for a .recital file, its own",
    )
    add(
        "--alias",
        type=_pair,
        action="append",
        default=[],
        metavar="ALIAS=NAME",
        help="another name of a voice; OpenAI's names mean the default voice unless given; may be repeated",
    )
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for other machines, too")
    add("--port", type=int, default=8880, metavar="N", help="0 for any free one")
    add("--threads", type=int, metavar="N", help="requests spoken at the same time; as many as cores unless given")
    add("--max_waiting", type=int, default=64, metavar="N", help="requests that may wait; others are answered 429")
    add("--max_voices", type=int, default=4, metavar="N", help="voices kept in memory")
    add("--max_chars", type=int, default=4096, metavar="N", help="longest text of a request")
    add("--time_limit_s", type=float, default=60.0, metavar="S", help="longest time of a request, waiting included")
    add("--arrival_s", type=float, default=20.0, metavar="S", help="longest time that a request may take to arrive")
    add("--shutdown_s", type=float, default=30.0, metavar="S", help="time for what still runs at the end")
    add("--allow_origin", action="append", default=[], metavar="URL", help="a web page elsewhere that may call it")
    add("--precision", choices=PRECISIONS, help="arithmetic; the fastest that the device has unless given")
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    parser.epilog = f"Clients must send the token in the environment variable {SERVER_TOKEN}, where it is set."
    return parser


if __name__ == "__main__":
    run(main, _parser())
