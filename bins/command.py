"""The common part of all commands: arguments, settings, and errors without a traceback."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from config.paths import REPOSITORY, VOCODERS
from utils.version import VERSION, is_old_python, python_needed

if TYPE_CHECKING:
    from config.load import Resolved
    from config.schema import ExperimentSettings

INTERRUPTED = 130
SERVER_TOKEN = "RECITAL_TOKEN"
"""Environment variable with the token that a server asks for."""

# Flags of any command, and one argument, whose value must exist already; words that stand in place of a folder.
INPUTS = (
    "infer_expt_dir", "vocoder_dir", "checkpoint", "bundle", "infer_feature_dir", "infer_audio_dir", "reference_folder",
    "generated_folder", "compare_folder", "texts", "file", "folder", "lexicon", "prosody", "prosody_from",
    "pitch_function", "transcriber", "pitch_transform_custom", "voices_dir", "reference_audio",
    "text_file", "onnx_dir", "speaker_encoder", "recordings", "against",
)  # fmt: skip
_MODELS = ("infer_expt_dir", "vocoder_dir", "checkpoint", "bundle")  # of them, what may be on the Hub
_WORDS = ("griffin_lim", "none", "-", "statistics", "resemblyzer")
_ENVIRONMENT = (
    "use the Python that sh env.sh makes (. .venv/bin/activate; unset PYTHON), or install requirements/base.txt into "
    "this one; python -m bins.doctor names all that it lacks"
)

if is_old_python():  # whatever fails because of it, while other modules are imported
    sys.excepthook = lambda *_: print(f"error: {python_needed()}", file=sys.stderr)


def make_parser(
    module: str, description: str, *, with_config: bool = True, config_required: bool = True
) -> argparse.ArgumentParser:
    """Return a parser with the flags that all commands share.

    Args:
        module: how the command is called, e.g. `bins.preprocess`.
        description: one sentence on what it does.
        with_config: whether the command reads an `exp_config.json`.
        config_required: whether it does so in every case.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        allow_abbrev=False,  # a flag mistyped is a mistake, never a guess
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if with_config:
        parser.add_argument("--config", required=config_required, metavar="FILE", help="the recipe's exp_config.json")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="change one setting; may be repeated"
        )
    parser.add_argument("--version", action="version", version=f"Recital {VERSION}")
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    return parser


def refuse_flags(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, names: Iterable[str], reason: str
) -> None:
    """Refuse, as wrong usage, those of these flags that are given and change something."""
    for name in sorted(names):
        if getattr(arguments, name) != parser.get_default(name):
            parser.error(f"argument --{name}: {reason}")


def add_cluster_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--cluster`, for commands that map over recordings."""
    parser.add_argument(
        "--cluster",
        default="",
        metavar="ADDRESS",
        help="work on a Dask cluster whose machines share the file system: the address of its scheduler, as "
        "tcp://host:8786, or its scheduler file",
    )


def check_cluster(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse `--num_workers`, which counts processes of this machine, beside `--cluster`."""
    if arguments.cluster and arguments.num_workers:
        parser.error("argument --num_workers: is for one machine; --cluster uses every worker of the cluster")


def load(arguments: argparse.Namespace) -> Resolved:
    """Load and check the settings that `--config` and `--set` name."""
    from config.load import load_settings
    from models.registry import settings_class

    return load_settings(arguments.config, arguments.set, settings_class, getattr(arguments, "data_config", None))


def add_sharing_flags(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add `--shard`, for several machines with one folder of results, named as the user knows it, and `--cluster`."""
    parser.add_argument(
        "--shard",
        metavar="N/M",
        help=f"prepare only the N-th of M shares, as one of several machines with the same {folder}; the last one "
        "completes the whole",
    )
    add_cluster_flag(parser)


def share_numbers(shard: str) -> tuple[int, int]:
    """Return the numbers of `3/8`; (0, 0) where it is nothing of the kind."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", shard)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def check_sharing(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse, as wrong usage, a `--shard` that is none, or with `--overwrite` or `--cluster`; see `check_cluster`."""
    check_cluster(parser, arguments)
    if not arguments.shard:
        return
    number, count = share_numbers(arguments.shard)
    if not 1 <= number <= count:
        parser.error(f"argument --shard: {arguments.shard} is no share, as 3/8 is the third of eight")
    if arguments.overwrite:
        parser.error("argument --shard: --overwrite would delete what the other machines make")
    if arguments.cluster:
        parser.error("argument --shard: --cluster divides the work by itself")


def results_folder(arguments: argparse.Namespace, model: Path) -> Path:
    """Return where stage 3 writes: `--infer_output_dir`, else `result` in the model's folder, or beside its file.

    Of a model from the Hub, `result` and its name in the current folder.
    """
    from utils.hub import cached_repository

    if not arguments.infer_output_dir and (repository := cached_repository(model)):
        return Path("result", Path(repository).name)
    folder = model.parent if model.is_file() else model
    return Path(arguments.infer_output_dir or folder / "result")


def require_voice(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse, as wrong usage, what needs `--config` without it: flags, and finding an experiment by its name."""
    if arguments.config:
        return
    if not arguments.infer_expt_dir:
        parser.error("name the model, --infer_expt_dir, or a recipe's --config")
    require_config(parser, arguments)


def require_config(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse `--set` and `--name` without `--config`, as wrong usage."""
    if not arguments.config and (arguments.set or arguments.name):
        parser.error(f"--{'set' if arguments.set else 'name'} needs --config")


def say_next(arguments: argparse.Namespace, module: str, stage: int, *flags: str) -> None:
    """Print how to go on: with the recipe's own call where its `run.sh` has called this command, else with a module's.

    Args:
        arguments: of this command, whose settings are to be used again.
        module: the command that comes next.
        stage: its number in a recipe.
        flags: of either call.
    """
    import shlex

    from utils.console import info

    flags += tuple(part for change in arguments.set for part in ("--set", change))
    recipe = os.environ.get("RECITAL_RUN")  # of egs/driver.sh; empty where the next stage follows by itself
    if recipe is None:
        info(f"next: {shlex.join(['python', '-m', module, '--config', arguments.config, *flags])}")
    elif recipe:
        info(f"next: {recipe} {shlex.join(['--stage', str(stage), *flags])}")


def choose_gpus(gpus: str | None) -> None:
    """Make only the GPUs visible to torch that `--gpu` lists: none where it is empty, all where it was not given.

    The first one, which scripts ask for everywhere, may be missing: the CPU takes its place, with a warning.

    Raises:
        RecitalError: there are fewer GPUs than were asked for.
    """
    if gpus is None:
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus  # before torch looks for them
    if gpus == "0":
        import torch

        from utils.console import warn

        if not torch.cuda.device_count():
            warn("--gpu 0: torch finds no GPU; using the CPU")
    elif gpus:
        from utils.gpus import require_gpus

        require_gpus(gpus)


def make_visible(device: str | None) -> None:
    """Make only the device of `--device` visible to torch: `cpu`, `cuda` or `cuda:N`; all where it was not given.

    Raises:
        RecitalError: torch finds no such GPU.
    """
    if device is None:
        return
    kind, _, number = device.partition(":")
    if kind == "cpu" or number:
        os.environ["CUDA_VISIBLE_DEVICES"] = number  # before torch looks for them
    if kind == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        from utils.gpus import GpuError

        raise GpuError(f"--device {device}: torch finds no such GPU; --device cpu uses the CPU")


def choose_device() -> str:
    """Return the device to compute on: the first GPU that torch finds, else the CPU."""
    import torch

    from utils.threads import flush_denormals

    flush_denormals()
    return "cuda" if torch.cuda.is_available() else "cpu"


def chosen_experiment(
    settings: ExperimentSettings | None,
    infer_expt_dir: str | None,
    name: str | None,
    verb: str,
    otherwise: Path | None = None,
) -> Path:
    """Return the experiment for stage 3: the given folder, else the one of that name, else the only one in `log_dir`.

    Args:
        settings: those of `--config`, whose `log_dir` is searched; None where a folder is given.
        infer_expt_dir: the flag.
        name: the flag.
        verb: what it is used for, for messages.
        otherwise: the bundled model, used if there is no experiment yet.

    Raises:
        RecitalError: there is no experiment and no bundled model, or there are several experiments.
    """
    from utils.console import info
    from utils.errors import RecitalError

    if infer_expt_dir:
        return Path(infer_expt_dir)
    assert settings is not None, "require_voice"
    folder = settings.log_path
    if name:
        require_there(f"--name {name}:", folder / name)
        return folder / name
    found = sorted(bundle.parent for bundle in folder.glob("*/bundle"))
    if len(found) == 1:
        return found[0]
    if not found and otherwise is not None:
        info(f"{folder}: no experiment yet: using the bundled model {otherwise} to {verb}")
        return otherwise
    there = f"found {', '.join(path.name for path in found)}" if found else "none has a bundle yet: run stage 2"
    raise RecitalError(f"{folder}: which experiment to {verb} with? Set --infer_expt_dir or --name; {there}")


def begin_stage_3(
    arguments: argparse.Namespace, verb: str, otherwise: Path | None = None
) -> tuple[ExperimentSettings | None, Path]:
    """Choose GPUs, and return the settings, None without `--config`, and the experiment; see `chosen_experiment`."""
    choose_gpus(arguments.gpu)
    make_visible(getattr(arguments, "device", None))
    settings = load(arguments).settings if arguments.config else None
    return settings, chosen_experiment(settings, arguments.infer_expt_dir, arguments.name, verb, otherwise)


def require_there(flag: str, path: Path) -> None:
    """Raise a `RecitalError` where a path does not exist, with the name that was most likely meant, or is damaged."""
    from utils.bundle_file import is_folder, require_sound

    require_sound(path)
    if is_folder(path) or path.exists() or (path.name == "checkpoints" and path.with_name("checkpoint").is_dir()):
        return
    from utils.errors import RecitalError
    from utils.suggestions import near_path

    raise RecitalError(f"{flag} {path}: there is no such folder or file{near_path(path)}")


def _require_inputs(arguments: argparse.Namespace) -> None:
    """Look at the paths of the command line before anything slow is imported, and download models from the Hub.

    Raises:
        RecitalError: there is nothing at one of them.
    """
    from utils.hub import is_hub_place

    for name in _MODELS:
        if (place := getattr(arguments, name, None)) and is_hub_place(place):
            from models.bundles.hub import local_path

            setattr(arguments, name, str(local_path(place)))
    given = {name: getattr(arguments, name, None) for name in INPUTS}
    for name in ("pitch_function", "transcriber"):
        if function := given[name]:
            given[name] = function.rpartition(":")[0]  # FILE.py:NAME
    if getattr(arguments, "infer_mode", None) == "batch":
        given["infer_text"] = getattr(arguments, "infer_text", None)  # a file in this mode alone
    for name, value in given.items():
        for path in value if isinstance(value, list) else [value]:
            if path and str(path) not in _WORDS and not (VOCODERS / path).exists():
                require_there(name if name == "folder" else f"--{name}", Path(path))


def run(
    command: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
    check: Callable[[argparse.ArgumentParser, argparse.Namespace], None] | None = None,
    *,
    any_python: bool = False,
) -> None:
    """Parse the arguments, run the command and exit: 0 done, 1 an error, 2 wrong usage, 130 interrupted.

    Args:
        command: takes the arguments and returns the exit code; None is 0.
        parser: from `make_parser`.
        check: may call `parser.error` on conflicting arguments.
        any_python: whether the command runs on an older Python than Recital needs.
    """
    if is_old_python() and not any_python:
        sys.exit(f"error: {python_needed()}")

    from utils.errors import RecitalError
    from utils.failures import disk_sentence, is_disk_full
    from utils.process_exit import leave

    arguments = parser.parse_args(_with_underscores(sys.argv[1:]))
    if check is not None:
        check(parser, arguments)
    try:
        _require_inputs(arguments)
        code = command(arguments) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed the pipe (`| head`): no error, and none while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        # Printed here, because what an error on its way out still holds, such as a loader of batches, ends with it.
        if isinstance(error, (RecitalError, OSError)) and not arguments.debug:
            print(f"error: {disk_sentence(error) if is_disk_full(error) else error}", file=sys.stderr)
        elif (package := _lacking_package(error)) and not arguments.debug:
            print(f"error: {sys.executable} has no {package}; {_ENVIRONMENT}", file=sys.stderr)
        else:
            traceback.print_exc()
        code = 1
    leave(code)


def _lacking_package(error: Exception) -> str:
    """Return the package that this Python lacks; empty for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    is_ours = (REPOSITORY / package).is_dir()
    return "" if is_ours else package


def _with_underscores(arguments: list[str]) -> list[str]:
    """Return arguments with `--infer_text` for `--infer-text`, as other toolkits write flags."""
    written = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        is_flag = flag.startswith("--") and len(flag) > 2
        written.append(f"--{flag[2:].replace('-', '_')}{equals}{value}" if is_flag else argument)
    return written
