"""Names of other toolkits' settings and flags, with the names here."""

from __future__ import annotations

_FEATURES = "is not needed: the model decides which features it reads"
_MODEL = "is not a setting: the network's sizes are under model"
_TRACKER = "is not needed: TensorBoard's files are always written"

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
    "train.run_eval": "is train.valid_every_steps here, 0 for never",
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
}
_PREFIXES = {
    "preprocess.use_": _FEATURES,
    "preprocess.extract_": _FEATURES,
}
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
    return next((answer for prefix, answer in _PREFIXES.items() if name.startswith(prefix)), "")


def file_here(path: str) -> str:
    """Return the file here that stands for a `base_config` of another toolkit; empty if it is unknown."""
    return _FILES.get(path, "")
