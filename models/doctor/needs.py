"""Memory and disk that an experiment needs, computed from its settings, corpora and network."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from config.schema import ExperimentSettings
from models.benchmarks.made_up import made_up_task
from models.doctor.disk_space import LITTLE_DISK, existing, free_space
from models.doctor.finding import Finding, Subject, size
from models.registry import features_for
from processors.audio.audio_file import audio_info
from processors.preparation.textgrid_origin import aligner_of
from processors.utterance import Utterance
from utils.checkpoint import CheckpointFolder
from utils.errors import RecitalError
from utils.machine import available_memory

# Python, torch and the libraries of training, before there is a network.
_PROGRAM = 2**29
_STATES = 4  # of each parameter: itself, its gradient, and two means of the optimizer
_SAVED_STATES = 3  # of these, those in a checkpoint
_N_MEASURED = 20
_BYTES_PER_VALUE = 4  # of mel, F0 and energy; a sample of the waveform takes 2


def needs(subject: Subject) -> Iterator[Finding]:
    """Compare free memory and disk space with what stages 1 and 2 have left to take."""
    settings = subject.known_settings
    parameters = _parameter_bytes(settings)
    needed, free = _STATES * parameters + _PROGRAM, available_memory()
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
    text = f"training needs {size(needed)} of memory at the least, batches not counted"
    measure = subject.call("bins.memory")
    if free and needed > free:
        yield Finding(f"{text}, and {size(free)} are free", measure)
    else:
        yield Finding(f"{text}; {measure} measures a step")
    features, checkpoints = _feature_bytes(subject), _checkpoint_bytes(subject, parameters)
    processed, experiments = settings.preprocess.processed_path, settings.log_path
    if existing(processed).stat().st_dev == existing(experiments).stat().st_dev:
        is_known = subject.corpora.keys() == set(settings.dataset)
        of_features = size(features) if is_known else "not known without the corpus"
        both = f"features ({of_features}), checkpoints ({size(checkpoints)}), logbooks and reports"
        for folder in (processed, experiments):
            yield from free_space(folder, features + checkpoints + LITTLE_DISK, both)
    else:
        yield from free_space(processed, features + LITTLE_DISK, "the features that stage 1 has left to make")
        yield from free_space(
            experiments, checkpoints + LITTLE_DISK, "the checkpoints that stage 2 keeps, and logbooks"
        )


def _parameter_bytes(settings: ExperimentSettings) -> int:
    """Return the size of all parameters that are trained, discriminators included."""
    task = made_up_task(settings)
    return sum(each.nbytes for module in task.modules.values() for each in module.parameters())


def _checkpoint_bytes(subject: Subject, parameters: int) -> int:
    """Return what the checkpoints that are not there yet take, one more than is kept, and the bundle."""
    settings = subject.known_settings
    train = settings.train
    folders = CheckpointFolder(settings.log_path / subject.name / "checkpoint").folders() if subject.name else []
    one = (_SAVED_STATES + (train.ema_decay > 0)) * parameters
    if folders:
        one = sum(path.stat().st_size for path in folders[-1].iterdir())
    n_missing = max(train.keep_last + train.keep_best - len(folders), 0) + 1
    return n_missing * one + parameters


def _feature_bytes(subject: Subject) -> int:
    """Return what the features of all utterances that stage 1 has left to prepare take."""
    missing = [utterance for utterances in subject.unprepared.values() for utterance in utterances]
    return round(_seconds(missing) * bytes_per_second(subject.known_settings))


def bytes_per_second(settings: ExperimentSettings) -> float:
    """Return what the features of a second of speech take, durations and phonemes, which are few, left aside."""
    preprocess, features = settings.preprocess, features_for(settings)
    values = preprocess.n_mel + len({"f0", "energy"}.intersection(features))
    if "durations" in features and aligner_of(preprocess) == "learned":
        values += preprocess.n_mel  # the aligner's own mels, untrimmed
    per_frame = _BYTES_PER_VALUE * values
    samples = 2 * preprocess.sample_rate if "waveform" in features else 0
    return per_frame * preprocess.sample_rate / preprocess.hop_size + samples


def _seconds(utterances: list[Utterance]) -> float:
    """Return the length of recordings, from the corpus where it states them, else from the headers of some."""
    stated = [each.duration_s for each in utterances if each.duration_s]
    unstated = [each for each in utterances if not each.duration_s]
    measured = []
    for utterance in unstated[:: max(len(unstated) // _N_MEASURED, 1)]:
        try:
            measured.append(audio_info(utterance.audio_path).duration_s)
        except RecitalError:  # as the check of the data reports
            continue
    mean = sum(measured) / len(measured) if measured else 0.0
    return sum(stated) + mean * len(unstated)
