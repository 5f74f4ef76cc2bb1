"""Every registered model at its tiniest, with made-up data to match."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from config.load import load_settings
from models.registry import MODELS, make_task, settings_class
from tests.support.tiny_features import PREPROCESS, write_features
from utils.processes import Processes
from utils.trainer import Trainer, TrainerOptions

# Overrides that make a model small and free of chance. One that is so by its defaults needs none.
SMALL = {
    "Aligner": (
        "preprocess.trim_silence=true",  # as the made-up features say they are
        "model.hidden_size=32",
        "model.space_size=16",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
        "train.binarize_from_step=0",
    ),
    "DelightfulTTS": (
        "model.hidden_size=16",
        "model.encoder_layers=1",
        "model.decoder_layers=1",
        "model.n_heads=2",
        "model.feed_forward_size=24",
        "model.speaker_size=6",
        "model.language_size=3",
        "model.aligner_size=16",
        "model.reference_channels=[8, 8, 8]",
        "model.reference_size=8",
        "model.style_tokens=4",
        "model.style_size=8",
        "model.utterance_prosody_size=8",
        "model.prosody_predictor_size=16",
        "model.dropout=0",
        "model.predictor_dropout=0",
        "model.prosody_dropout=0",
        "model.style_dropout=0",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
        "train.binarization_warmup_steps=1",
    ),
    "FastPitch": (
        "model.hidden_size=16",
        "model.head_size=8",
        "model.encoder_layers=1",
        "model.decoder_layers=1",
        "model.conv_filter_size=24",
        "model.predictor_filter_size=16",
        "model.dropout=0",
        "model.predictor_dropout=0",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
        "train.binarization_warmup_steps=1",
    ),
    "FastSpeech2": (
        "model.hidden_size=16",
        "model.encoder_layers=1",
        "model.decoder_layers=1",
        "model.conv_filter_size=24",
        "model.predictor_filter_size=16",
        "model.postnet_filter_size=16",
        "model.postnet_layers=3",
        "model.n_bins=16",
        "model.dropout=0",
        "model.predictor_dropout=0",
        "model.postnet_dropout=0",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
    ),
    "HiFiGAN": (
        "model.upsample_rates=[8, 8]",
        "model.upsample_kernel_sizes=[16, 16]",
        "model.upsample_initial_channel=16",
        "model.resblock_kernel_sizes=[3]",
        "model.resblock_dilation_sizes=[[1, 3]]",
        "model.mpd_periods=[2, 3]",
        "model.discriminator_channel_divisor=16",
        "train.segment_size=512",
        "train.learning_rate=0.002",
        "train.adversarial_stft_loss_weight=1",
    ),
    "Lyre": (
        "model.hidden_size=16",
        "model.inner_size=24",
        "model.n_blocks=2",
        "model.f0_hidden_size=12",
        "model.f0_inner_size=16",
        "model.f0_n_blocks=1",
        "train.segment_size=1024",
        "train.adversarial_start_step=0",
        "train.generator_alone_steps=0",
        "train.learning_rate=0.01",
        "train.warmup_steps=0",
        "train.mel_blur_share=0",
    ),
    "UnivNet": (
        "model.channels=4",
        "model.strides=[8, 8]",
        "model.dilations=[1, 3]",
        "model.noise_size=8",
        "model.predictor_size=12",
        "model.mpd_periods=[2, 3]",
        "model.mpd_channels=[4, 8, 8, 8, 8]",
        "model.mrd_channels=4",
        "train.segment_size=1280",
        "train.mel_loss_weight=45",
        "train.learning_rate=0.005",
    ),
    "WaveGlow": (
        "model.n_flows=3",
        "model.n_early_every=2",
        "model.channels=8",
        "model.n_layers=2",
        "model.upsample_kernel_size=128",
        "train.segment_size=1024",
        "train.learning_rate=0.01",
    ),
}


class TinyModel:
    """A registered model as an experiment of few parameters over made-up features.

    Args:
        model_type: its name in the registry.
        folder: for the settings and, where there are none yet, the features.
        overrides: of settings, beside those that make it small.
    """

    def __init__(self, model_type: str, folder: Path, *overrides: str) -> None:
        self.model_type, self.folder, self.overrides = model_type, folder, overrides
        self.processed_dir = folder / "processed"
        if not self.processed_dir.exists():
            write_features(self.processed_dir)
        self.config = folder / f"{model_type}.json"
        recipe = {"base_config": MODELS[model_type].config, "dataset": ["tiny"], "dataset_path": {"tiny": "none"}}
        self.config.write_text(json.dumps(recipe | {"log_dir": str(folder)}))

    def layers(self, *overrides: str) -> list[str]:
        """Return all overrides, these last."""
        quick = ("train.num_workers=0", "train.sample_texts=[]", "train.keep_samples=0")
        own = (*PREPROCESS, *SMALL.get(self.model_type, ()), *quick, *self.overrides)
        return [f"preprocess.processed_dir={self.processed_dir}", *own, *overrides]

    def flags(self, *overrides: str) -> list[str]:
        """Return the flags by which a command is given its settings."""
        return ["--config", str(self.config), *(part for layer in self.layers(*overrides) for part in ("--set", layer))]

    def settings(self, *overrides: str):
        return load_settings(self.config, self.layers(*overrides), settings_class).settings

    def task(self, *overrides: str, seed: int = 0):
        torch.manual_seed(seed)
        return make_task(self.settings(*overrides))

    def batch(self):
        """Return all of the training set in one batch."""
        [batch] = batches_of(self.task("train.batch_size=64"))
        return batch

    def train(self, name: str, max_steps: int, *overrides: str, resume: bool = False, **options) -> Trainer:
        """Train in a folder of this name, from its newest checkpoint if asked to; return the trainer."""
        task = self.task("train.batch_size=3", *overrides)
        options = TrainerOptions(max_steps=max_steps, **options)
        folder = self.folder / name
        trainer = Trainer(task, task.train_batches(), task.valid_batches(), folder, options, Processes(cpu=True))
        trainer.fit(trainer.checkpoints.newest() if resume else None)
        return trainer


def batches_of(task):
    """Return the batches of a task's first epoch."""
    return [batch for group in task.train_batches().groups(0) for batch in group]
