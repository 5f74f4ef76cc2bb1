"""Evaluation of a model in training by the speech that it makes of validation utterances."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from config.paths import resolve_path
from config.schema import ExperimentSettings
from models.bundle import Bundle, BundleError
from models.bundles.locate import find_bundle
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import GRIFFIN_LIM, NeuralVocoder, Vocoder, open_vocoder_for
from models.registry import kind_of
from models.runs.spoken_texts import open_evaluation_vocoder, speak_texts
from processors.audio.audio_file import write_flac
from processors.datasets.open_split import open_split
from processors.datasets.vocoder_data import MEL_FEATURES
from processors.evaluation.evaluate_folders import EvaluationError
from processors.evaluation.metric import Measurement, weighted_mean
from processors.evaluation.metrics import METRICS, measure_pair
from processors.evaluation.pair import Pair
from processors.evaluation.transcriber import Transcriber
from processors.feature_store import FeatureStore
from processors.utterance import Utterance
from utils.checkpoint import step_of
from utils.console import warn
from utils.evaluation_process import EvaluationProcess
from utils.files import atomic_folder
from utils.process_pool import Note, Work
from utils.sample_folder import ENDING, SampleFolder, file_stem

_NICENESS = 15
# While the trainer replaces the bundle that a checkpoint's settings are read from.
_ATTEMPTS, _PAUSE_S = 5, 1.0


def evaluation_process(settings: ExperimentSettings) -> EvaluationProcess | None:
    """Return a process that evaluates the checkpoints of an experiment; None where its settings ask for none.

    Warns of metrics whose packages are missing; without any metric left, and no speech to keep, there is no process.

    Raises:
        RecitalError: the vocoder, the validation split or the Whisper model cannot be opened.
    """
    train = settings.train
    if not train.evaluate_every_steps:
        return None
    metrics = [metric for metric in METRICS if metric.name in train.evaluate_metrics]
    if missing := [metric.name for metric in metrics if not metric.is_installed]:
        instead = "; checkpoints are ranked by loss" if train.keep_best_by in missing else ""
        warn(
            f"train.evaluate_metrics: no {', '.join(missing)} without their packages, which sh env.sh evaluate "
            f"installs{instead}"
        )
    if not any(metric.is_installed for metric in metrics) and not train.keep_samples:
        return None
    SpeechEvaluation(settings)  # its errors come before the training, not in another process
    return EvaluationProcess(_make_work, settings)


def ranked_by(settings: ExperimentSettings) -> str:
    """Return what the best checkpoints are chosen by: `train.keep_best_by` where its package is installed."""
    name = settings.train.keep_best_by
    return name if any(metric.name == name and metric.is_installed for metric in METRICS) else "loss"


def _make_work(settings: ExperimentSettings) -> Work:
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    evaluation = SpeechEvaluation(settings)

    def work(folder: str, note: Note) -> dict[str, float]:
        return evaluation.evaluate(Path(folder))

    return work


@dataclass(frozen=True)
class _Item:
    """A validation utterance and the store of its features."""

    utterance: Utterance
    store: FeatureStore

    @property
    def recording(self) -> np.ndarray | None:
        """(T_wav,) in [-1, 1); None if the store has no waveforms."""
        if not self.store.has(self.utterance.id, ("waveform",)):
            return None
        return np.asarray(self.store.read(self.utterance.id, "waveform"), dtype=np.float32) / 32768.0


class SpeechEvaluation:
    """Free speech of an acoustic model, or a vocoder's copies, of some validation utterances, and its metrics.

    The speech is kept in the experiment's `samples/`, with that of `train.sample_texts`.

    Args:
        settings: of the experiment; those named `train.evaluate_...`.

    Raises:
        RecitalError: the vocoder, the validation split or the Whisper model cannot be opened.
    """

    def __init__(self, settings: ExperimentSettings) -> None:
        train, self._settings = settings.train, settings
        self._metrics = [each for each in METRICS if each.name in train.evaluate_metrics and each.is_installed]
        self._is_acoustic = kind_of(settings.model_type) == "acoustic"
        self._items = self._validation_items(train.evaluate_sentences)
        self._vocoder: Vocoder | None = None
        if self._is_acoustic:
            self._vocoder = open_evaluation_vocoder(settings)
        needs_transcriber = any("text" in metric.takes for metric in self._metrics)
        whisper = resolve_path(train.evaluate_whisper_model)
        model = str(whisper) if whisper.is_dir() else train.evaluate_whisper_model
        self._transcriber = Transcriber(model) if needs_transcriber else None

    def evaluate(self, checkpoint: Path) -> dict[str, float]:
        """Return the means of the metrics over the utterances, by name."""
        bundle = _find_bundle(checkpoint)
        make, texts = self._speak(bundle) if self._is_acoustic else (self._vocode(bundle), {})
        figures: dict[str, list[Measurement]] = {}
        made: list[tuple[_Item, np.ndarray]] = []
        for item in self._items:
            made.append((item, make(item)))
            pair = Pair(
                item.recording,
                made[-1][1],
                self._settings.preprocess.sample_rate,
                has_equal_timing=not self._is_acoustic,
                text=item.utterance.text,
                language=item.utterance.language,
                transcriber=self._transcriber,
            )
            for name, figure in measure_pair(pair, self._metrics).items():
                figures.setdefault(name, []).append(figure)
        if self._settings.train.keep_samples:
            self._keep(checkpoint, made, texts)
        return {name: weighted_mean(found) for name, found in figures.items()}

    def _keep(
        self, checkpoint: Path, made: Sequence[tuple[_Item, np.ndarray]], texts: Mapping[str, np.ndarray]
    ) -> None:
        """Write the speech of a checkpoint to the experiment's samples, and remove the steps beyond those to keep."""
        kept = SampleFolder(checkpoint.parent.parent)
        rate = self._settings.preprocess.sample_rate
        spoken = {file_stem(item.utterance.id): waveform for item, waveform in made}
        described = {file_stem(item.utterance.id): (item.utterance.id, item.utterance.text) for item, _ in made}
        spoken |= {file_stem(text): waveform for text, waveform in texts.items()}
        described |= {file_stem(text): ("", text) for text in texts}
        with atomic_folder(kept.of_step(step_of(checkpoint))) as folder:
            for stem, waveform in spoken.items():
                write_flac(folder / f"{stem}{ENDING}", waveform, rate)
        for item, _ in made:
            path = kept.recorded / f"{file_stem(item.utterance.id)}{ENDING}"
            if not path.exists() and (recording := item.recording) is not None:
                write_flac(path, recording, rate)
        kept.write_sentences(described)
        kept.prune(self._settings.train.keep_samples)

    def _validation_items(self, count: int) -> list[_Item]:
        """Return utterances of the validation split, spread evenly over it."""
        preprocess = self._settings.preprocess
        utterances, stores = open_split(preprocess.processed_path, self._settings.dataset, "valid")
        usable = [each for each in utterances if each.phones or not self._is_acoustic]
        if not usable:
            raise EvaluationError(
                "train.evaluate_every_steps: the validation split has no utterances; set preprocess.valid_size and run "
                "stage 1, or train.evaluate_every_steps to 0"
            )
        indices = np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int)
        return [_Item(usable[index], stores[usable[index].dataset]) for index in indices]

    def _speak(self, bundle: Bundle) -> tuple[Callable[[_Item], np.ndarray], Mapping[str, np.ndarray]]:
        """Return a function that speaks utterances, and the speech of texts that no one recorded."""
        synthesizer = Synthesizer(bundle, self._vocoder or open_vocoder_for(bundle, GRIFFIN_LIM))

        def speak(item: _Item) -> np.ndarray:
            speaker = item.utterance.speaker if item.utterance.speaker in synthesizer.speakers else None
            return synthesizer(item.utterance.text, speaker=speaker, language=item.utterance.language).waveform

        return speak, speak_texts(synthesizer, self._settings) if self._settings.train.keep_samples else {}

    def _vocode(self, bundle: Bundle) -> Callable[[_Item], np.ndarray]:
        vocoder = NeuralVocoder(bundle)
        feature = MEL_FEATURES[getattr(self._settings.train, "mel_source", "recorded")]

        def vocode(item: _Item) -> np.ndarray:
            mel = np.ascontiguousarray(item.store.read(item.utterance.id, feature).T)
            return vocoder.waveform(torch.from_numpy(mel)).clamp(-1, 1).numpy()

        return vocode


def _find_bundle(checkpoint: Path) -> Bundle:
    """Open a checkpoint as a bundle, waiting while the trainer replaces its experiment's bundle."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return find_bundle(checkpoint)
        except (BundleError, OSError):
            time.sleep(_PAUSE_S)
    return find_bundle(checkpoint)
