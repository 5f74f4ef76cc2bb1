"""Speech of trained models, made to be evaluated: of a split of a corpus, or of a list of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.schema import ExperimentSettings
from models.bundle import BundleError
from models.bundles.locate import find_bundle
from models.contracts import Prosody
from models.inference.synthesize import Request, requests_from_dataset, requests_from_file, speak_all
from models.inference.synthesizer import Synthesizer
from models.inference.vocode import (
    GROUND_TRUTH,
    PREDICTED,
    sources_from_audio,
    sources_from_dataset,
    vocode_all,
)
from models.inference.vocoder import open_vocoder
from models.registry import kind_of
from processors.audio.audio_file import AUDIO_SUFFIXES, read_recording, write_wav
from processors.datasets.open_split import read_split
from processors.evaluation.evaluate_folders import EvaluationError, Yardsticks
from processors.evaluation.texts import Text

CHECKPOINTS = "checkpoint"
"""Folder of an experiment's checkpoints."""


@dataclass(frozen=True)
class TestSpeech:
    """Speech of a model for a split, and the recordings.

    Attributes:
        recordings: folder of the split's recordings.
        generated: folder of the model's speech, under the same names.
        texts: by name.
    """

    recordings: Path
    generated: Path
    texts: Mapping[str, Text]


def speak_split(
    experiment: Path,
    settings: ExperimentSettings | None,
    folder: Path,
    *,
    testing_set: str = "test",
    vocoder_dir: str | None = None,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    asked: Yardsticks | None = None,
) -> TestSpeech:
    """Make a split with a model: an acoustic model speaks the texts, a vocoder copies the mels of the recordings.

    What an earlier call has left is replaced.

    Args:
        experiment: the model.
        settings: name the corpora; None for the model's own.
        folder: gets `pred` and `gt`.
        testing_set: the split.
        vocoder_dir: of an acoustic model.
        device: to compute on.
        options: for opening the model, such as `precision`.
        asked: metrics that the speech is made for, which are checked first.

    Raises:
        EvaluationError: there are no splits, or a metric cannot be computed.
        ManifestError: the split was not prepared.
        AudioError: a recording cannot be read.
        SynthesisError, VocoderError: some could not be made.
    """
    own = find_bundle(experiment).settings
    _require_splits(experiment, settings or own, "its own settings name" if settings is None else "the settings name")
    if kind_of(own.model_type) == "vocoder":
        vocoder = open_vocoder(experiment, device=device, **(options or {}))
        settings, mel = settings or vocoder.settings, vocoder.settings.preprocess
        processed_dir = settings.preprocess.processed_path
        sources = sources_from_dataset(processed_dir, settings.dataset, testing_set, mel)
        vocode_all(vocoder, sources, folder, mel.sample_rate, overwrite=True)
        texts = _texts(processed_dir, settings.dataset, testing_set)
    else:
        if asked is not None:
            asked.require_for_free_speech(experiment)
        synthesizer = Synthesizer.open(experiment, vocoder_dir, device, **(options or {}))
        settings = settings or synthesizer.settings
        processed_dir = settings.preprocess.processed_path
        for dataset in settings.dataset:
            below = (dataset,) if len(settings.dataset) > 1 else ()
            requests = requests_from_dataset(processed_dir, dataset, testing_set, synthesizer.speakers)
            speak_all(synthesizer, requests, folder.joinpath(PREDICTED, *below), Prosody(), overwrite=True)
            for utterance in read_split(processed_dir, dataset, testing_set):
                recording = read_recording(utterance.audio_path)
                path = folder.joinpath(GROUND_TRUTH, *below, f"{utterance.id}.wav")
                write_wav(path, recording.waveform, recording.sample_rate)
        texts = _texts(processed_dir, settings.dataset, testing_set)
    return TestSpeech(folder / GROUND_TRUTH, folder / PREDICTED, texts)


def _require_splits(experiment: Path, settings: ExperimentSettings, named_by: str) -> None:
    """Raise an `EvaluationError` where stage 1 was not run, most often because the model comes from elsewhere."""
    processed_dir = settings.preprocess.processed_path
    if next(processed_dir.glob("*/*.jsonl"), None) is None:
        raise EvaluationError(
            f"{experiment}: {named_by} {', '.join(settings.dataset)} in {processed_dir}, where no splits are; name by "
            "--config a recipe whose stage 1 was run, or measure a folder of speech by bins.evaluate --generated_folder"
        )


def _texts(processed_dir: Path, datasets: Sequence[str], testing_set: str) -> dict[str, Text]:
    listed = [each for dataset in datasets for each in read_split(processed_dir, dataset, testing_set)]
    return {each.id: Text(each.text, each.language) for each in listed}


def _is_vocoder(path: Path) -> bool:
    return kind_of(find_bundle(path).settings.model_type) == "vocoder"


def named_systems(given: Sequence[str]) -> dict[str, Path]:
    """Return systems by name from `NAME=PATH` or `PATH`; the folder of an experiment's checkpoints is each of them.

    Raises:
        EvaluationError: two have the same name, or one does not exist.
    """
    systems: dict[str, Path] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        path = Path(value)
        if not path.exists():
            raise EvaluationError(f"--system {text}: {path}: there is no such folder or file")
        found = {name or path.name: path}
        if path.name == CHECKPOINTS and not (path / "settings.json").is_file():
            prefix = name or path.parent.name
            found = {f"{prefix}-{each.name}": each for each in sorted(path.iterdir()) if each.is_dir()}
        if twice := found.keys() & systems.keys():
            raise EvaluationError(f"--system {text}: another is called {min(twice)}; name them by NAME=PATH")
        systems |= found
    return systems


def speak_systems(
    systems: Mapping[str, Path],
    folder: Path,
    *,
    reference_dir: Path | None,
    texts: Path | None,
    vocoder_dir: str | None = None,
    device: str = "cpu",
    asked: Yardsticks | None = None,
) -> dict[str, Path]:
    """Return a folder of speech for each system, after the models among them have made theirs.

    Args:
        systems: folders of speech, experiments, checkpoints and bundles by name.
        folder: gets a folder for each model; what an earlier call has left is replaced.
        reference_dir: recordings, which vocoders copy.
        texts: file of texts, which acoustic models speak, all with their only or first speaker.
        vocoder_dir: of the acoustic models.
        device: to compute on.
        asked: metrics that the speech is made for, which are checked first.

    Raises:
        EvaluationError: a path is neither a model nor has it sounds, or what a model is to speak is missing.
    """
    spoken = {}
    for name, path in systems.items():
        try:
            is_vocoder = _is_vocoder(path)
        except BundleError as error:
            if not (path.is_dir() and any(each.suffix.lower() in AUDIO_SUFFIXES for each in path.rglob("*"))):
                raise EvaluationError(f"{path}: is neither a model nor a folder with sound files ({error})") from error
            spoken[name] = path
            continue
        made = folder / name
        if is_vocoder:
            if reference_dir is None:
                raise EvaluationError(f"{path}: a vocoder copies recordings: --reference_folder names them")
            vocoder = open_vocoder(path, device=device)
            mel = vocoder.settings.preprocess
            vocode_all(vocoder, sources_from_audio(reference_dir, mel), made, mel.sample_rate, overwrite=True)
            spoken[name] = made / PREDICTED
        else:
            if asked is not None and reference_dir is not None:
                asked.require_for_free_speech(path)
            if texts is None:
                raise EvaluationError(f"{path}: an acoustic model speaks texts: --texts names them")
            synthesizer = Synthesizer.open(path, vocoder_dir, device)
            speak_all(synthesizer, _requests(texts, synthesizer), made, Prosody(), overwrite=True)
            spoken[name] = made
    return spoken


def _requests(texts: Path, synthesizer: Synthesizer) -> list[Request]:
    speaker = synthesizer.speakers[0] if synthesizer.speakers else None
    return [Request(each.name, each.text, speaker, each.language) for each in requests_from_file(texts)]
