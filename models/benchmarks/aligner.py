"""Speed of aligners in training and alignment."""

from __future__ import annotations

import numpy as np
import torch

from config.schema import ExperimentSettings
from models.benchmarks.made_up import FRAMES_PER_PHONE, bucketed_lengths, made_up_task, untrained_bundle
from models.benchmarks.timing import PeakMemory, Plan, Section, Stepper, percentiles_ms, time_in_turn
from models.registry import open_aligner
from processors.datasets.aligner_data import AlignerBatch, AlignerExample, collate_aligner
from processors.text.arpabet import INVENTORY
from utils.precision import autocast


def measure(config: str, settings: ExperimentSettings, plan: Plan) -> list[Section]:
    """Measure training and alignment of one configuration."""
    batches = [made_up_batch(lengths, settings) for lengths in bucketed_lengths(settings, plan.steps)]
    middle = batches[len(batches) // 2].to(plan.device)
    seconds_per_frame = settings.preprocess.hop_size / settings.preprocess.sample_rate
    network = open_aligner(untrained_bundle(settings), plan.device)
    trained, aligned = [], []
    for precision in plan.precisions:
        peak = PeakMemory(plan.device)
        stepper = Stepper(made_up_task(settings), precision, settings.train.gradient_clip, plan.device)
        stepper.warm_up(batches[0])
        for batch in batches:
            stepper.take(batch)
        row = {"config": config, "precision": precision, "batch": len(middle.ids)}
        speed = stepper.frames / stepper.seconds
        trained.append(row | {"frames per s": speed, "peak memory MiB": peak.mib()})
        peak = PeakMemory(plan.device)
        with torch.inference_mode(), autocast(precision, plan.device):
            align = {"": lambda: network.score(middle).durations(middle.mel_lengths)}
            seconds = time_in_turn(align, plan.runs, plan.device)[""]
        frames, median_s = middle.counts["frames"], float(np.median(seconds))
        speech_s = frames * seconds_per_frame
        speeds = {"speech s per s": speech_s / median_s, "s per speech s": median_s / speech_s}
        aligned.append(row | {"frames": frames} | speeds | percentiles_ms(seconds) | {"peak memory MiB": peak.mib()})
    return [
        Section("Aligner training", "real mel frames per second, whole steps, LJSpeech's lengths", trained),
        Section("Alignment", "scores of a batch of utterances and the search through them", aligned),
    ]


def made_up_batch(lengths: np.ndarray, settings: ExperimentSettings) -> AlignerBatch:
    """Return recordings of these numbers of frames."""
    rng = np.random.default_rng(0)
    return collate_aligner(
        [
            AlignerExample(
                id=f"made-up-{number}",
                phoneme_ids=rng.integers(8, len(INVENTORY), max(length // FRAMES_PER_PHONE, 1)).astype(np.int32),
                mel=rng.normal(-5.0, 2.0, (length, settings.preprocess.n_mel)).astype(np.float32),
            )
            for number, length in enumerate(lengths.tolist())
        ]
    )
