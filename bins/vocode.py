"""Stage 3 of a vocoder: make mels audible, of a corpus's set, of stored features, or of recordings."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bins.command import begin_stage_3, choose_device, make_parser, require_voice, results_folder, run
from bins.speech_flags import add_vocoder_flags, opening_options
from models.bundles.formats import describe_published
from utils.precision import PRECISIONS

if TYPE_CHECKING:
    from config.schema import ExperimentSettings, PreprocessSettings
    from models.inference.vocode import Source


def main(arguments: argparse.Namespace) -> int:
    settings, experiment = begin_stage_3(arguments, "vocode")

    from models.inference.vocode import vocode_all
    from models.inference.vocoder import open_vocoder

    options = opening_options(arguments)
    vocoder = open_vocoder(experiment, device=choose_device(), **options)
    mel = vocoder.settings.preprocess  # the vocoder's own settings, not those of --config
    sources = _sources(arguments, settings or vocoder.settings, mel)
    folder = results_folder(arguments, experiment)
    vocode_all(vocoder, sources, folder, mel.sample_rate, overwrite=arguments.overwrite)
    return 0


def _sources(arguments: argparse.Namespace, settings: ExperimentSettings, mel: PreprocessSettings) -> list[Source]:
    from models.inference.vocode import sources_from_audio, sources_from_dataset, sources_from_features

    if arguments.infer_mode == "infer_from_audio":
        return sources_from_audio(Path(arguments.infer_audio_dir), mel)
    if arguments.infer_mode == "infer_from_feature":
        return sources_from_features(Path(arguments.infer_feature_dir), mel, arguments.mel_scale)
    processed_dir = settings.preprocess.processed_path
    datasets = _names(arguments.infer_datasets, settings.dataset) if arguments.infer_datasets else settings.dataset
    testing_set, mel_source = arguments.infer_testing_set or "test", arguments.infer_mel_source or "recorded"
    return sources_from_dataset(processed_dir, datasets, testing_set, mel, mel_source)


def _names(given: list[str], known: tuple[str, ...]) -> list[str]:
    """Part names at commas and spaces; a corpus of the settings may have a space in its name."""
    names = [name for text in given for name in ([text] if text in known else re.split(r"[,\s]+", text)) if name]
    return list(dict.fromkeys(names))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "bins.vocode", "Make mels audible with a trained vocoder: pred/ and, where known, gt/.", config_required=False
    )
    add = parser.add_argument
    add(
        "--infer_expt_dir",
        metavar="DIR",
        help="what makes the sound: an experiment, a checkpoint inside one, a bundle, or a folder with an original "
        f"{describe_published('vocoder')}; then --config may be left out",
    )
    add("--name", help="the experiment in log_dir that makes the sound, instead of --infer_expt_dir")
    add("--infer_output_dir", metavar="DIR", help="where pred/ and gt/ go; <infer_expt_dir>/result unless given")
    modes = ["infer_from_dataset", "infer_from_feature", "infer_from_audio"]
    add("--infer_mode", choices=modes, default=modes[0], help="where mels come from")
    add(
        "--infer_datasets",
        nargs="+",
        metavar="NAME",
        help="corpora that stage 1 has prepared, parted by commas or spaces; those of the settings unless given",
    )
    sets = ["test", "valid", "train", "golden_test"]
    add("--infer_testing_set", choices=sets, help="which set of the corpora; test unless given")
    add(
        "--infer_mel_source",
        choices=["recorded", "predicted"],
        help="the mels of the recordings, or those that bins.predict_mels wrote beside them; recorded unless given",
    )
    add("--infer_feature_dir", metavar="DIR", help="a feature store, <processed_dir>/<dataset>, or a folder of .npy")
    scales = ["natural", "log10", "log2", "linear"]
    add(
        "--mel_scale",
        choices=scales,
        help="scale of .npy files: logarithms by their base, or magnitudes; natural, and checked, unless given",
    )
    add("--infer_audio_dir", metavar="DIR", help="a folder of recordings, sub-folders included")
    add("--precision", choices=PRECISIONS, default="fp32", help="arithmetic; fp16 needs a GPU")
    add_vocoder_flags(parser)
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add("--overwrite", action="store_true", help="replace sounds that exist already")
    return parser


_MODE_OF = {
    "infer_datasets": "infer_from_dataset",
    "infer_testing_set": "infer_from_dataset",
    "infer_mel_source": "infer_from_dataset",
    "infer_feature_dir": "infer_from_feature",
    "mel_scale": "infer_from_feature",
    "infer_audio_dir": "infer_from_audio",
}


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, as wrong usage."""
    require_voice(parser, arguments)
    if arguments.infer_datasets is not None and not "".join(arguments.infer_datasets).strip(", "):
        parser.error("--infer_datasets names no corpus")
    for flag, mode in _MODE_OF.items():
        given = getattr(arguments, flag)
        if given is not None and mode != arguments.infer_mode:
            parser.error(f"--{flag} needs --infer_mode {mode}")
        if flag.endswith("_dir") and not given and mode == arguments.infer_mode:
            parser.error(f"--infer_mode {mode} needs --{flag}")


if __name__ == "__main__":
    run(main, _parser(), check=_check)
