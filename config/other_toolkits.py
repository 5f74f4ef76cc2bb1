"""Names of other toolkits' settings and flags, with the names here."""

from __future__ import annotations

from fnmatch import fnmatchcase

_FEATURES = "is not needed: the model decides which features it reads"
_MODEL = "is not a setting: the network's sizes are under model"
_FILES_OF_STAGE_1 = "is not needed: stage 1 names the files in preprocess.processed_dir"
_TRIMMING = "is preprocess.trim_silence and preprocess.edge_silence_ms here"
_NORMALISED = "is not needed: pitch and energy are normalised by the statistics of stage 1, mels are not"
_BATCHING = "is not needed: batches hold utterances of similar length"
_DISCRIMINATORS = "is not needed: those of HiFi-GAN are used"
_TRACKER = "is train.trackers here; TensorBoard's files are always written, and need no entry"
_SILENCE = ("num_silent_frames", "trim_fft_size", "trim_hop_size", "trim_top_db")
_PLACES = (
    "raw_data", "audio_dir", "wav_dir", "lab_dir", "mel_dir", "linear_dir", "mcep_dir", "pitch_dir", "energy_dir",
    "uv_dir", "phone_dir", "phone_pitch_dir", "phone_energy_dir", "dur_dir", "duration_dir", "phone_seq_file",
    "file_lst",
)  # fmt: skip

_NAMES = {
    # Amphion: exp_config.json and the files under its config/
    "task_type": "is not needed: model_type names the model",
    "supported_model_type": "is not needed: model_type names the model",
    "use_custom_dataset": "is not needed: name the corpus in dataset, dataset_path and dataset_layout",
    "dataset_path_root": "is dataset_path here, a folder per corpus",
    "preprocess.add_blank": "is not needed: phones stand without blanks between them",
    "preprocess.f0_min_mel": "is not needed: f0_min and f0_max are in Hz",
    "preprocess.min_level_db": "is not needed: mels are natural logarithms",
    "preprocess.ref_level_db": "is not needed: mels are natural logarithms",
    "preprocess.is_mu_law": "is not needed: waveforms are stored as they are",
    "preprocess.bits": "is not needed: waveforms are stored as they are",
    "preprocess.is_label": "is not needed: waveforms are stored as they are",
    "preprocess.data_augment": "is not needed: recordings are used as they are",
    **{f"preprocess.{name}": _TRIMMING for name in _SILENCE},
    "preprocess.mel_extract_mode": "is not needed: there is one mel, HiFi-GAN's",
    "preprocess.mel_min": _NORMALISED,
    "preprocess.mel_max": _NORMALISED,
    "preprocess.energy_extract_mode": "is not needed: there is one kind of energy",
    "preprocess.pitch_remove_outlier": "is not needed: pitch is limited to what its statistics find usual",
    "preprocess.pitch_bin": "is model.n_bins here",
    "preprocess.pitch_max": "is preprocess.f0_max here",
    "preprocess.pitch_min": "is preprocess.f0_min here",
    "preprocess.align_mel_duration": "is not needed: durations add up to the mel's frames",
    **{f"preprocess.{name}": _FILES_OF_STAGE_1 for name in _PLACES},
    "preprocess.emo2id": "is not needed: there are no labels of emotion",
    "preprocess.utt2emo": "is not needed: there are no labels of emotion",
    "preprocess.cut_mel_frame": "is train.segment_size here, in samples",
    "preprocess.n_fft_size": "is preprocess.n_fft here",
    "preprocess.fs": "is preprocess.sample_rate here",
    "preprocess.train_file": "is not needed: stage 1 names the splits",
    "preprocess.valid_file": "is not needed: stage 1 names the splits",
    "preprocess.spk2id": "is not needed: stage 1 numbers the speakers",
    "preprocess.utt2spk": "is not needed: stage 1 numbers the speakers",
    "preprocess.symbols_dict": "is not needed: stage 1 writes the symbols",
    "preprocess.text_preprocessing": "is preprocess.normalizer here",
    "preprocess.text_cleaners": "is preprocess.normalizer here",
    "train.max_epoch": "is train.max_epochs here",
    "train.epochs": "is train.max_epochs here",
    "train.total_step": "is train.max_steps here",
    "train.total_steps": "is train.max_steps here",
    "train.total_training_steps": "is train.max_steps here",
    "train.save_summary_steps": "is train.log_every_steps here",
    "train.sort_sample": _BATCHING,
    "train.drop_last": _BATCHING,
    "train.group_size": _BATCHING,
    "train.reducelronplateau": "is train.warmup_steps, train.decay and train.decay_steps here",
    "train.criterions": "is not needed: the losses are those of the model's paper",
    "train.num_train_steps": "is train.max_steps here",
    "train.max_iterations": "is train.max_steps here",
    "train.gradient_accumulation_step": "is train.gradient_accumulation_steps here",
    "train.grad_acc_step": "is train.gradient_accumulation_steps here",
    "train.save_checkpoint_stride": "is train.save_every_steps here, in steps",
    "train.save_checkpoints_steps": "is train.save_every_steps here",
    "train.save_step": "is train.save_every_steps here",
    "train.valid_interval": "is train.valid_every_steps here",
    "train.val_step": "is train.valid_every_steps here",
    "train.log_step": "is train.log_every_steps here",
    "train.synth_step": "is train.sample_every_steps here",
    "train.run_eval": "is train.valid_every_steps here",
    "train.random_seed": "is train.seed here",
    "train.adam": "is train.learning_rate, train.adam_betas and train.adam_eps here",
    "train.adamw": "is train.learning_rate, train.adam_betas and train.adam_eps here",
    "train.scheduler": "is train.warmup_steps, train.decay and train.decay_steps here",
    "train.lr_scheduler": "is train.warmup_steps, train.decay and train.decay_steps here",
    "train.exponential_lr": "is train.lr_decay here, of models that have it",
    "train.warmup_step": "is train.warmup_steps here",
    "train.warm_up_step": "is train.warmup_steps here",
    "train.lr": "is train.learning_rate here",
    "train.lr_warmup_steps": "is train.warmup_steps here",
    "train.grad_clip_thresh": "is train.gradient_clip here",
    "train.clip_grad_norm": "is train.gradient_clip here",
    "train.dataloader": "is train.num_workers here",
    "train.tracker": _TRACKER,
    "train.ddp": "is not needed: --gpu chooses, and accelerate starts, the processes",
    "train.multi_speaker_training": "is not needed: speakers are learnt where the corpora have several",
    "train.keep_checkpoint_max": "is train.keep_last here",
    "model.max_seq_len": "is not needed: lengths have no limit",
    "model.variance_predictor": "is model.predictor_filter_size, predictor_kernel_size and predictor_dropout here",
    "model.transformer": "is model.hidden_size, encoder_layers, decoder_layers, n_heads and their like here",
    "model.variance_embedding": "is model.n_bins, pitch_level and energy_level here",
    "model.multi_speaker": "is model.speaker_conditioning here",
    "model.vocoder": _MODEL,
    "model.generator": "is not needed: model_type names the model",
    "model.hifigan": "is no section: its settings have the same names under model here",
    "model.discriminators": _DISCRIMINATORS,
    "model.mpd": "is model.mpd_periods here",
    "model.msd": _DISCRIMINATORS,
    "model.mssbcqtd": _DISCRIMINATORS,
    "model.msstftd": _DISCRIMINATORS,
    "inference": "is no section: the flags of stage 3 choose",
}
# Of names that are in neither `_NAMES` nor the settings here.
_PATTERNS = {
    "preprocess.use_*": _FEATURES,
    "preprocess.extract_*": _FEATURES,
    "preprocess.*_norm": _NORMALISED,
}
_VALUES = {
    ("preprocess.pitch_extractor", "pyworld"): "pyworld's are dio and harvest",
    ("preprocess.phone_extractor", "pypinyin"): "espeak reads Mandarin",
    ("preprocess.phone_extractor", "pypinyin_initials_finals"): "espeak reads Mandarin",
}
_MODELS = {"GANVocoder": "HiFiGAN", "Fastspeech2": "FastSpeech2"}
_FILES = {
    "config/fs2.json": "config/fastspeech2.json",
    "config/tts.json": "config/fastspeech2.json",
    "config/vocoder.json": "config/hifigan_v1.json",
    "egs/vocoder/gan/exp_config_base.json": "config/hifigan_v1.json",
}

# Flags of NVIDIA's inference.py without effect here: switches, and those with a value.
NVIDIA_SWITCHES = {
    "cuda": "is not needed: the first GPU is used where there is one; --gpu chooses",
    "amp": "is not needed: the fastest arithmetic that the device has is used",
    "amp_run": "is not needed: the fastest arithmetic that the device has is used",
    "cudnn_benchmark": "is not needed here",
    "energy_conditioning": "is not needed: the checkpoint says what its network has",
}
NVIDIA_FLAGS = {
    "wn_channels": "is not needed: the sizes of a WaveGlow are read from its file",
    "sampling_rate": "is not needed: the sample rate is read from the checkpoint",
    "stft_hop_length": "is not needed: the hop size is read from the checkpoint",
    "text_cleaners": "is not needed: a voice keeps the front end that it was trained with",
    "symbol_set": "is not needed: a voice keeps the symbols that it was trained with",
    "p_arpabet": "is not needed: a voice keeps the front end that it was trained with",
    "batch_size": "is not needed: texts of similar length are batched",
}


def answer_for(name: str) -> str:
    """Return how the setting of another toolkit is called here, or why there is none; empty if it is unknown."""
    if name in _NAMES:
        return _NAMES[name]
    section = name.rpartition(".")[0]
    if section in _NAMES:
        return _NAMES[section]
    return next((answer for pattern, answer in _PATTERNS.items() if fnmatchcase(name, pattern)), "")


def answer_for_value(name: str, value: object) -> str:
    """Return what stands here for another toolkit's value of a setting; empty if it is unknown."""
    return next((answer for (setting, theirs), answer in _VALUES.items() if (setting, theirs) == (name, value)), "")


def model_here(model_type: str) -> str:
    """Return the `model_type` here that stands for another toolkit's; empty if it is unknown."""
    return _MODELS.get(model_type, "")


def file_here(path: str) -> str:
    """Return the file here that stands for a `base_config` of another toolkit; empty if it is unknown."""
    return _FILES.get(path, "")
