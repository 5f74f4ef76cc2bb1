"""Speed from recordings to features, and from text to sound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from config.schema import PreprocessSettings
from models.benchmarks.timing import Plan, Section, percentiles_ms, time_in_turn
from models.bundles.locate import find_bundle
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import GRIFFIN_LIM, GriffinLimVocoder, open_vocoder_for
from processors.audio.mel import MelSpectrogram
from processors.audio.pitch import extract_pitch

# The third has 128 characters, a length that published measurements of latency use; the last lasts ten seconds.
_TEXTS = (
    "Hello there.",
    "The quick brown fox jumps over the lazy dog.",
    "She had your dark suit in greasy wash water all year, and nobody in the whole town ever thought of asking her for "
    "a reason why.",
    "The quick brown fox jumped over the lazy dog near the old river bank while the children played happily in the "
    "green garden behind the big white house and their mother watched them from the window.",
)


def measure_system(acoustic: str, vocoder: str | None, plan: Plan) -> list[Section]:
    """Measure an acoustic model and a vocoder together, text by text.

    Args:
        acoustic: an experiment, a checkpoint or a bundle.
        vocoder: as `acoustic`, or "griffin_lim"; None for the voice's own or the shipped one.
        plan: runs of each text, and precisions of the vocoder; the acoustic model and Griffin-Lim are fp32.

    Raises:
        BundleError: a folder holds no such model.
        VocoderError: the vocoder was trained on mels of another kind.
    """
    bundle, device = find_bundle(acoustic), torch.device(plan.device)
    voices: dict[str, Synthesizer] = {}
    for name in plan.precisions:
        chosen = open_vocoder_for(bundle, vocoder, device=device, precision=name)
        voices["fp32" if isinstance(chosen, GriffinLimVocoder) else name] = Synthesizer(bundle, chosen, device=device)
    rows = []
    for text in _TEXTS:
        times = time_in_turn({precision: partial(voice, text) for precision, voice in voices.items()}, plan.runs)
        first_sounds = time_in_turn(
            {name: partial(_first_sound, voice, text) for name, voice in voices.items()}, plan.runs
        )
        for precision, seconds in times.items():
            speech_s, median_s = voices[precision](text).duration_s, float(np.median(seconds))
            rows.append(
                {
                    "voice": acoustic,
                    "vocoder": str(getattr(voices[precision].vocoder, "folder", GRIFFIN_LIM)),
                    "precision": precision,
                    "characters": len(text),
                    "speech s": speech_s,
                    "speech s per s": speech_s / median_s,
                    "s per speech s": median_s / speech_s,
                    "samples per s": speech_s * voices[precision].sample_rate / median_s,
                    **percentiles_ms(seconds),
                    **{
                        f"first sound {name}": value
                        for name, value in percentiles_ms(first_sounds[precision], ranks=(50, 95)).items()
                    },
                }
            )
    return [
        Section(
            "Text to sound",
            "one text at a time, front end included; s per speech s is the real-time factor; first sound: of a stream",
            rows,
        )
    ]


def _first_sound(voice: Synthesizer, text: str) -> np.ndarray:
    """Return the first piece of a stream."""
    return next(voice.stream(text))


def measure_extraction(preprocess: PreprocessSettings, plan: Plan) -> list[Section]:
    """Measure what stage 1 computes of one recording in one process: mel and energy, and pitch."""
    definition = MelSpectrogram.from_settings(preprocess)
    recording = _harmonic_tone(preprocess.sample_rate)
    waveform = torch.from_numpy(recording)
    pitch = partial(
        extract_pitch,
        recording,
        sample_rate=preprocess.sample_rate,
        hop_size=preprocess.hop_size,
        f0_min=preprocess.f0_min,
        f0_max=preprocess.f0_max,
        extractor=preprocess.pitch_extractor,
    )
    features: dict[str, Callable[[], Any]] = {
        "mel and energy": partial(definition.mel_and_energy, waveform),
        preprocess.pitch_extractor: pitch,
    }
    recorded_s = len(recording) / preprocess.sample_rate
    rows = [
        {"feature": name, "speech s": recorded_s, "speech s per s": recorded_s / float(np.median(seconds))}
        | percentiles_ms(seconds)
        for name, seconds in time_in_turn(features, plan.runs).items()
    ]
    return [Section("Extraction", "one synthetic recording, voiced with pauses, in one process", rows)]


def _harmonic_tone(sample_rate: int) -> np.ndarray:
    """Return six seconds of a gliding harmonic tone with pauses and a little noise, (T_wav,) float32."""
    time_s = np.arange(6 * sample_rate) / sample_rate
    phase = 2 * np.pi * np.cumsum(150 + 50 * np.sin(2 * np.pi * time_s)) / sample_rate
    tone = sum(np.sin(number * phase) / number for number in range(1, 20)) * (np.sin(2 * np.pi * 0.7 * time_s) > -0.5)
    noise = np.random.default_rng(0).normal(size=len(time_s))
    return (0.1 * tone + 0.003 * noise).astype(np.float32)
