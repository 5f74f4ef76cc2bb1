"""Texts that no one recorded, as a model in training speaks them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from config.paths import resolve_path
from config.schema import ExperimentSettings
from models.bundles.locate import find_bundle
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import GRIFFIN_LIM, Vocoder, open_vocoder, open_vocoder_for, shipped_vocoder_for
from processors.text.language_codes import primary_language
from utils.console import warn
from utils.errors import RecitalError
from utils.task import Samples, Task

# The beginning of Aesop's fable, by which phoneticians compare languages.
_NORTH_WIND = {
    "de": ("Einst stritten sich Nordwind und Sonne, wer von ihnen beiden wohl der Stärkere wäre.",),
    "en": (
        "The North Wind and the Sun were disputing which was the stronger, when a traveler came along.",
        "Will it rain on the 21st of March, or shall we walk?",
    ),
    "es": ("El viento norte y el sol discutían sobre cuál de ellos era el más fuerte.",),
    "fr": ("La bise et le soleil se disputaient, chacun assurant qu'il était le plus fort.",),
    "it": ("Si bisticciavano un giorno il vento di tramontana e il sole.",),
    "nl": ("De noordenwind en de zon hadden een discussie over wie van hun tweeën de sterkste was.",),
    "zh": ("有一回，北风跟太阳在那儿争论谁的本领大。",),
}


def open_evaluation_vocoder(settings: ExperimentSettings) -> Vocoder | None:
    """Open the vocoder of `train.evaluate_vocoder`, or the shipped one where it fits; None for Griffin-Lim."""
    folder = settings.train.evaluate_vocoder or shipped_vocoder_for(settings.preprocess)
    return None if folder == GRIFFIN_LIM else open_vocoder(resolve_path(folder), expect=settings.preprocess)


def speak_texts(synthesizer: Synthesizer, settings: ExperimentSettings) -> dict[str, np.ndarray]:
    """Return the waveforms of `train.sample_texts`, by the first speaker; without those that cannot be spoken."""
    speaker = next(iter(synthesizer.speakers), None)
    language = synthesizer.languages.get(speaker or "", settings.preprocess.language)
    texts = settings.train.sample_texts
    if texts is None:
        texts = _NORTH_WIND.get(primary_language(language), ())
    spoken = {}
    for text in texts:
        try:
            spoken[text] = synthesizer(text, speaker=speaker, markup="none").waveform
        except RecitalError as error:
            _warn_once(f"train.sample_texts: {error}")
    return spoken


@cache
def _warn_once(message: str) -> None:
    warn(message)


class SpokenTexts:
    """Speaks texts with the present weights of an acoustic model, for TensorBoard.

    A failure is a warning, once: samples are no reason to end a training.

    Args:
        settings: of the experiment.
        task: in training.
    """

    def __init__(self, settings: ExperimentSettings, task: Task) -> None:
        self._settings, self._task = settings, task
        self._vocoder: Vocoder | None = None
        self._is_open = self._has_failed = False

    def __call__(self) -> Samples:
        """Return what is spoken; none after a failure."""
        if self._has_failed:
            return Samples()
        try:
            if not self._is_open:
                self._vocoder, self._is_open = open_evaluation_vocoder(self._settings), True
            with tempfile.TemporaryDirectory() as folder:
                self._task.bundle(Path(folder))
                bundle = find_bundle(folder)
                synthesizer = Synthesizer(bundle, self._vocoder or open_vocoder_for(bundle, GRIFFIN_LIM))
                return as_samples(speak_texts(synthesizer, self._settings), synthesizer.sample_rate)
        except (RecitalError, OSError) as error:  # such as a full disk for temporary files
            self._has_failed = True
            warn(f"train.sample_texts are not spoken: {error}")
            return Samples()


def as_samples(spoken: Mapping[str, np.ndarray], sample_rate: int) -> Samples:
    """Return spoken texts as samples, numbered."""
    named = {f"text_{number}": text for number, text in enumerate(spoken)}
    return Samples(
        audio={f"{name}/spoken": spoken[text] for name, text in named.items()}, sample_rate=sample_rate, texts=named
    )
