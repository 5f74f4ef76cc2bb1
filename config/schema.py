"""Schema of the settings, with the meaning of each.

The classes here check settings that every model shares; a model's own `model` and `train` sections
are defined beside the model from `Settings`, `TrainSettings` and `setting`. Defaults are in the JSON5
files beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

from config.paths import resolve_path
from utils.precision import Precision
from utils.suggestions import did_you_mean


@dataclass(frozen=True)
class Contradiction:
    """Settings that are valid one by one but contradict each other.

    Args:
        names: the settings concerned, dotted from the section that checks them; the first is shown.
        message: what was found and what is expected.
    """

    names: tuple[str, ...]
    message: str


def base_files(base_config: str | Sequence[str]) -> Sequence[str]:
    """Return the files that a `base_config` names, in the order in which they are merged."""
    if isinstance(base_config, str):
        return [base_config] if base_config else []
    return base_config


class Settings(BaseModel):
    """A section of settings: frozen, typed, closed to unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between settings of this section; sections that can have any override this."""
        yield from ()


def setting(meaning: str, default: Any = PydanticUndefined, **constraints: Any) -> Any:
    """Declare one setting.

    Args:
        meaning: what it does, with its unit, as `python -m bins.settings` shows it.
        default: only for settings that older saved settings may lack; defaults live in `config/*.json`.
        constraints: pydantic's `ge`, `gt`, `le`, `lt`, `min_length`, ...
    """
    return Field(default=default, description=meaning, **constraints)


class PreprocessSettings(Settings):
    """Preprocessing: from a corpus to features."""

    processed_dir: str = setting("folder for features; relative paths start at the repository root", min_length=1)
    # Audio and mel
    sample_rate: int = setting("sample rate of stored and synthesized audio, in Hz", ge=4000, le=192000)
    n_fft: int = setting("length of the Fourier transform, in samples", ge=16)
    hop_size: int = setting("samples from one frame to the next", ge=1)
    win_size: int = setting("length of the analysis window, in samples", ge=16)
    n_mel: int = setting("number of mel bins", ge=1)
    fmin: float = setting("lowest frequency of the mel filters, in Hz", ge=0)
    fmax: float = setting("highest frequency of the mel filters, in Hz; at most half of sample_rate", gt=0)
    # Pitch
    pitch_extractor: Literal["parselmouth", "dio", "harvest", "pyin"] = setting("the pitch tracker")
    f0_min: float = setting("lowest F0 of the pitch tracker's search, in Hz", gt=0)
    f0_max: float = setting("highest F0 of the pitch tracker's search, in Hz", gt=0)
    pitch_scale: Literal["log", "hz"] = setting(
        "scale in which pitch is normalised: log, interpolated where unvoiced, or hz, 0 (the mean) where unvoiced, as "
        "FastPitch was published",
        default="log",
    )
    pitch_statistics: Literal["speaker", "corpus"] = setting(
        "whether pitch is normalised by each speaker's mean and standard deviation, or by those of all speakers "
        "together",
        default="speaker",
    )
    # Speakers
    speaker_encoder: Literal["none", "statistics", "resemblyzer", "onnx"] = setting(
        "what computes speaker embeddings, for models that take them: statistics (nothing to install), "
        "resemblyzer (pip install resemblyzer), onnx (your network), or none",
        default="none",
    )
    speaker_encoder_path: str = setting(
        "for onnx, the file of a network that maps a waveform at 16 kHz, (1, T), to a vector; else empty",
        default="",
    )
    # Text
    language: str = setting("language of the texts, as a code such as en; dataset_language overrides it", min_length=2)
    phone_extractor: Literal["lexicon", "espeak", "char", "mixed"] = setting(
        "how text becomes phones: lexicon (English, ARPAbet), espeak (a hundred languages, IPA; the extra espeak), "
        "char (the letters themselves, any script), or mixed (English as NVIDIA's FastPitch reads it: ARPAbet where "
        "CMUdict has one pronunciation, else letters)"
    )
    mixed_words: Literal["phones", "letters"] = setting(
        "for mixed, whether words become phones where CMUdict has one pronunciation, as in FastPitch 1.1, or all stay "
        "letters, as in FastPitch 1.0",
        default="phones",
    )
    lexicon_path: str = setting(
        "your own pronunciations, one `word PH O1 N Z` per line; empty for none; for mixed, in place of CMUdict's"
    )
    normalizer: Literal["rules", "wetext", "num2words"] = setting(
        "what spells out numbers and abbreviations: rules (English), wetext (English and Chinese; the extra wetext) "
        "or num2words (English by the rules, other languages' numbers; the extra num2words); other texts are unchanged"
    )
    # Alignment
    alignment: Literal["auto", "textgrid", "pocketsphinx", "learned", "mfa"] = setting(
        "where durations come from: textgrid (yours), pocketsphinx (English, nothing to install), learned (any "
        "language: stage 1 trains an aligner on the corpus), mfa (the Montreal Forced Aligner you have installed), or "
        "auto: textgrid where there are any, else pocketsphinx for English in ARPAbet, else learned"
    )
    aligner_config: str = setting(
        "settings file of the aligner that alignment: learned trains, from the repository root; of it, model and train "
        "are used, corpora and preprocess are the recipe's",
        default="config/aligner.json",
        min_length=1,
    )
    mfa_dictionary: str = setting("pronunciations for alignment: mfa, by MFA's name for them or a file", default="")
    mfa_acoustic_model: str = setting("acoustic model for alignment: mfa, by MFA's name for it or a file", default="")
    textgrid_dir: str = setting(
        "folder of your TextGrids, with {dataset} replaced by the dataset's name; searched for <id>.TextGrid in it "
        "and in its sub-folders; empty for <processed_dir>/<dataset>/TextGrid"
    )
    trim_silence: bool = setting("whether silence at both ends of a recording is trimmed")
    edge_silence_ms: float = setting("how much silence trimming leaves at each end, in milliseconds", ge=0)
    # Selection
    check_language: bool = setting(
        "whether stage 1 stops at a corpus whose words look like those of another language than its setting",
        default=True,
    )
    leave_out: str = setting(
        "file with the ids of recordings to leave out, one per line, as bins.check_data writes it, with {dataset} "
        "replaced by the dataset's name; empty for none",
        default="",
    )
    min_duration_s: float = setting("shorter recordings are rejected, in seconds", ge=0)
    max_duration_s: float = setting("longer recordings are rejected, in seconds", gt=0)
    phrases_share: float = setting(
        "for training acoustic models, phrases between pauses, a quarter of them single words, as further utterances: "
        "their number over that of whole utterances, at most as many as there are",
        default=0.0,
        ge=0,
    )
    joined_share: float = setting(
        "for training acoustic models, pairs of utterances joined by 300 to 700 ms of silence as further utterances: "
        "their number over that of whole utterances",
        default=0.0,
        ge=0,
    )
    max_bad_share: float = setting("stage 1 fails when a larger share of the recordings is rejected", ge=0, le=1)
    valid_size: int | float = setting("utterances for validation: a number of them, or a share below 1", ge=0)
    test_size: int | float = setting("utterances for testing: a number of them, or a share below 1", ge=0)
    split_seed: int = setting("seed of the split into train, valid and test")
    golden_test: tuple[str, ...] = setting(
        "ids of the utterances of the set golden_test; ten of the test split, short to long, if empty",
        default=(),
    )
    num_workers: int = setting("processes of stage 1; 0 for one per core", ge=0)

    @property
    def processed_path(self) -> Path:
        """`processed_dir`, resolved."""
        return resolve_path(self.processed_dir)

    @property
    def lexicon_file(self) -> Path | None:
        """`lexicon_path`, resolved; None for none."""
        return resolve_path(self.lexicon_path) if self.lexicon_path else None

    def textgrid_path(self, dataset: str) -> Path:
        """Return `textgrid_dir`, which must be set, resolved for a dataset."""
        return resolve_path(self.textgrid_dir.replace("{dataset}", dataset))

    def leave_out_file(self, dataset: str) -> Path:
        """Return `leave_out`, which must be set, resolved for a dataset."""
        return resolve_path(self.leave_out.replace("{dataset}", dataset))

    def contradictions(self) -> Iterator[Contradiction]:
        if self.fmax > self.sample_rate / 2:
            yield Contradiction(
                ("fmax", "sample_rate"),
                f"{self.fmax:g} Hz is above half of sample_rate ({self.sample_rate}); at most {self.sample_rate / 2:g}",
            )
        if self.fmin >= self.fmax:
            yield Contradiction(("fmin", "fmax"), f"{self.fmin:g} Hz is not below fmax ({self.fmax:g})")
        if self.f0_min >= self.f0_max:
            yield Contradiction(("f0_min", "f0_max"), f"{self.f0_min:g} Hz is not below f0_max ({self.f0_max:g})")
        if self.f0_max > self.sample_rate / 2:
            yield Contradiction(("f0_max", "sample_rate"), f"{self.f0_max:g} Hz is above half of sample_rate")
        if self.win_size > self.n_fft:
            yield Contradiction(("win_size", "n_fft"), f"{self.win_size} is longer than n_fft ({self.n_fft})")
        if self.hop_size > self.win_size:
            yield Contradiction(("hop_size", "win_size"), f"{self.hop_size} is longer than win_size ({self.win_size})")
        if (self.n_fft - self.hop_size) % 2:
            yield Contradiction(
                ("hop_size", "n_fft"), f"n_fft - hop_size is {self.n_fft - self.hop_size}; it must be even"
            )
        if (self.speaker_encoder == "onnx") != bool(self.speaker_encoder_path):
            yield Contradiction(
                ("speaker_encoder_path", "speaker_encoder"),
                f'"{self.speaker_encoder_path}" with speaker_encoder "{self.speaker_encoder}": a file is needed for '
                '"onnx", and only then',
            )
        if self.alignment == "pocketsphinx" and self.phone_extractor != "lexicon":
            yield Contradiction(
                ("alignment", "phone_extractor"),
                f'pocketsphinx aligns the phones of the lexicon only, not those of "{self.phone_extractor}"',
            )
        if self.alignment == "mfa" and self.phone_extractor in ("char", "mixed"):
            yield Contradiction(
                ("alignment", "phone_extractor"),
                f'mfa aligns phones, not the letters of "{self.phone_extractor}"; choose learned',
            )
        if self.lexicon_path and self.phone_extractor not in ("lexicon", "mixed"):
            yield Contradiction(
                ("lexicon_path", "phone_extractor"),
                f'is read by "lexicon" and "mixed" only, not by "{self.phone_extractor}"',
            )
        for name in ("mfa_dictionary", "mfa_acoustic_model"):
            if self.alignment == "mfa" and not getattr(self, name):
                yield Contradiction(
                    (name, "alignment"), "is empty, but mfa needs one; for English in ARPAbet english_us_arpa"
                )
        if self.min_duration_s >= self.max_duration_s:
            yield Contradiction(
                ("min_duration_s", "max_duration_s"), f"{self.min_duration_s:g} s is not below max_duration_s"
            )
        for name in ("valid_size", "test_size"):
            size = getattr(self, name)
            if isinstance(size, float) and size >= 1:
                yield Contradiction((name,), f"{size} is neither a whole number nor a share below 1")


MetricName = Literal[
    "mel", "spectral_convergence", "log_magnitude", "log_spectral_distance", "si_sdr", "pesq", "stoi", "distillmos",
    "wer", "cer", "dnsmos", "mcd", "f0_rmse", "f0_correlation", "voicing_f1", "energy_rmse", "energy_correlation",
    "speaker_similarity", "duration_error", "pause_error", "speech_length", "pause_length", "mel_deviation",
    "mel_change", "mel_curvature",
]  # fmt: skip


TrackerName = Literal["aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "trackio", "wandb"]


class TrainSettings(Settings):
    """How any model is trained; a model adds its optimizer and schedule."""

    batch_size: int = setting("utterances per batch and process", ge=1)
    max_frames_per_batch: int = setting(
        "most mel frames of one batch, padding included; long utterances then come in smaller batches; 0 for no limit",
        ge=0,
    )
    gradient_accumulation_steps: int = setting("batches whose gradients make one optimizer step", ge=1)
    global_batch_size: int = setting(
        "utterances per optimizer step, over all processes, a multiple of batch_size: the number of batches follows, "
        "whatever the number of GPUs; 0 to set gradient_accumulation_steps instead",
        default=0,
        ge=0,
    )
    precision: Precision = setting("arithmetic of the networks; fp16 needs a GPU")
    gradient_checkpointing: bool = setting(
        "whether the blocks of the network keep their inputs alone for the backward pass and compute the rest again "
        "there: far less memory, about a third more time",
        default=False,
    )
    max_steps: int = setting("optimizer steps after which training ends; 0 for no limit", ge=0)
    max_epochs: int = setting("passes over the training split after which training ends; 0 for no limit", ge=0)
    gradient_clip: float = setting("largest norm of the gradients; 0 for no clipping", ge=0)
    freeze: tuple[str, ...] = setting(
        "parts of the networks that are not trained: names of modules or parameters, with wildcards, as in "
        '["encoder", "decoder.blocks.0"]',
        default=(),
    )
    lr_groups: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = setting(
        'factors on the learning rate of parts of the networks, named likewise, as in {"encoder": 0.1}; the first '
        "match counts",
        default={},
    )
    ema_decay: float = setting(
        "decay of the weights' moving average, which then replaces them in validation and bundle; 0 for none",
        default=0.0,
        ge=0,
        lt=1,
    )
    seed: int = setting("random seed of training", ge=0)
    num_workers: int = setting("processes that prepare batches; 0 for the training process itself", ge=0)
    num_threads: int = setting(
        "threads of each training process on the CPU; 0 for as many as there are cores when the experiment begins, "
        "which it keeps",
        default=0,
        ge=0,
    )
    log_every_steps: int = setting("steps between lines in the logbook", ge=1)
    valid_every_steps: int = setting("steps between validations", ge=1)
    sample_every_steps: int = setting(
        "steps between pictures and sounds in TensorBoard and on the page of bins.watch", ge=1
    )
    save_every_steps: int = setting("steps between checkpoints", ge=1)
    keep_last: int = setting("how many of the newest checkpoints are kept", ge=1)
    keep_best: int = setting("how many of the best checkpoints are kept besides", ge=0)
    keep_best_by: Literal["loss", "distillmos"] = setting(
        "which checkpoints are the best: of lowest validation loss, or of the highest distillmos among those that "
        "evaluate_every_steps has evaluated",
        default="loss",
    )
    evaluate_every_steps: int = setting(
        "steps between checkpoints whose speech is evaluated in a process of its own at low priority; 0 for none",
        default=0,
        ge=0,
    )
    evaluate_sentences: int = setting("validation utterances that are evaluated", default=8, ge=1)
    evaluate_metrics: tuple[MetricName, ...] = setting(
        "what they are evaluated by, as bins.evaluate computes it", default=("distillmos",)
    )
    evaluate_vocoder: str | None = setting(
        "what evaluated acoustic models speak through: griffin_lim, or the folder of a vocoder; null for the shipped "
        "one where it takes their mels, else griffin_lim",
        default=None,
        min_length=1,
    )
    evaluate_whisper_model: str = setting(
        "for the metrics wer and cer, a Whisper model: a folder in CTranslate2's format, or a name such as base.en",
        default="",
    )
    trackers: tuple[TrackerName, ...] = setting(
        "where losses and figures are logged besides logbook and TensorBoard, by accelerate: such as wandb or mlflow, "
        "which must be installed",
        default=(),
    )
    nvlog: bool = setting("whether nvlog.json is written besides, in the lines of NVIDIA's DLLogger", default=False)
    sample_texts: tuple[str, ...] | None = setting(
        "texts that no one recorded, which acoustic models speak as samples; null for a sentence or two in the voice's "
        "language, where there are some; [] for none",
        default=None,
    )
    keep_samples: int = setting(
        "of how many evaluated checkpoints, evenly spread, the speech is kept in the experiment's samples/; 0 for none",
        default=8,
        ge=0,
    )

    @property
    def last_decay_step(self) -> int:
        """Optimizer step from which the learning rate stays at its minimum; 0 where the schedule has no end."""
        return 0

    def contradictions(self) -> Iterator[Contradiction]:
        if self.global_batch_size % self.batch_size:
            yield Contradiction(
                ("global_batch_size", "batch_size"),
                f"{self.global_batch_size} is not a multiple of batch_size ({self.batch_size})",
            )
        if self.global_batch_size and self.gradient_accumulation_steps > 1:
            yield Contradiction(
                ("global_batch_size", "gradient_accumulation_steps"),
                "decides over gradient_accumulation_steps; leave that at 1",
            )
        if not self.max_steps and not self.max_epochs:
            yield Contradiction(("max_steps", "max_epochs"), "training would never end: set max_steps or max_epochs")
        if self.keep_best_by != "loss" and not (
            self.evaluate_every_steps and self.keep_best_by in self.evaluate_metrics
        ):
            yield Contradiction(
                ("keep_best_by", "evaluate_every_steps", "evaluate_metrics"),
                f'"{self.keep_best_by}" needs evaluate_every_steps, and "{self.keep_best_by}" among evaluate_metrics',
            )
        if {"wer", "cer"}.intersection(self.evaluate_metrics) and not self.evaluate_whisper_model:
            yield Contradiction(
                ("evaluate_metrics", "evaluate_whisper_model"), '"wer" needs evaluate_whisper_model, and so does "cer"'
            )


class ExperimentSettings(Settings):
    """All settings of a recipe; a model narrows `model` and `train`."""

    base_config: str | tuple[str, ...] = setting(
        "the file that this one refines, from the repository root, or a list of them, of which later ones win",
        default="",
    )
    model_type: str = setting("the model to train, as the registry names it", min_length=1)
    dataset: tuple[str, ...] = setting("names of the corpora to use", min_length=1)
    dataset_path: dict[str, str] = setting("folder of each corpus")
    dataset_layout: dict[str, str] = setting(
        "layout of each corpus whose name is not known: ljspeech, speaker_folders, jsonl or, for a vocoder, "
        "recordings: any folder of sound files, without transcripts; for a published corpus under another name "
        "vctk, libritts, hifitts, cmu_arctic, aishell3, baker, or ljspeech_official: LJSpeech split 12,500 / 100 / 500"
    )
    dataset_subset: dict[str, tuple[str, ...]] = setting(
        "parts (such as train-clean-100, mic2, clean) or speakers of a corpus to use; without an entry, all of it",
        default={},
    )
    dataset_weight: dict[str, float] = setting(
        "how often the utterances of a corpus are drawn per epoch of training; 1 without an entry", default={}
    )
    dataset_language: dict[str, str] = setting(
        "language of each corpus that differs from preprocess.language, as a code such as de; under the name "
        "corpus/speaker, of one speaker; of published corpora such as VCTK (en) and Baker (zh) it is known",
        default={},
    )
    log_dir: str = setting("folder of experiments; relative paths start at the repository root", min_length=1)
    preprocess: PreprocessSettings = setting("preprocessing: from a corpus to features")
    model: Settings = setting("the network")
    train: TrainSettings = setting("training")

    @property
    def log_path(self) -> Path:
        """`log_dir`, resolved."""
        return resolve_path(self.log_dir)

    def corpus_path(self, dataset: str) -> Path:
        """Return the folder of a corpus from `dataset_path`, resolved."""
        return resolve_path(self.dataset_path[dataset])

    def contradictions(self) -> Iterator[Contradiction]:
        for name in self.dataset:
            if name not in self.dataset_path:
                near = did_you_mean(name, self.dataset_path)
                yield Contradiction(
                    ("dataset_path", "dataset"),
                    f'has no folder for the dataset "{name}"; add "{name}": "<folder>"{near}',
                )
            elif not self.dataset_path[name]:
                yield Contradiction((f"dataset_path.{name}",), "is empty; name the folder of the corpus")
        for name, language in self.dataset_language.items():
            if name.partition("/")[0] not in {*self.dataset, *self.dataset_path}:
                yield Contradiction(
                    (f"dataset_language.{name}", "dataset"), f"names no dataset; there are {', '.join(self.dataset)}"
                )
            elif not language.strip():
                yield Contradiction((f"dataset_language.{name}",), "is empty; name the language by its code")
        if len(set(self.dataset)) != len(self.dataset):
            yield Contradiction(("dataset",), f"names a corpus twice: {', '.join(self.dataset)}")
        for name in self.dataset:
            if name in {".", ".."} or any(mark in name for mark in "/\\\0") or not name.strip():
                yield Contradiction(("dataset",), f'"{name}" cannot be the name of a folder')
            if name.casefold() == "aligner":  # beside the corpora's folders in processed_dir
                yield Contradiction(("dataset",), f'"{name}" is the name of a folder of stage 1; rename the corpus')
        for setting_name in ("dataset_subset", "dataset_weight"):
            for name in getattr(self, setting_name):
                if name not in {*self.dataset, *self.dataset_path}:
                    near = did_you_mean(name, self.dataset)
                    yield Contradiction((f"{setting_name}.{name}", "dataset"), f"dataset does not name {name}{near}")
        for name, weight in self.dataset_weight.items():
            if not 0 < weight < float("inf"):
                yield Contradiction((f"dataset_weight.{name}",), f"{weight:g} is not above 0; leave out the dataset")
        for name, subset in self.dataset_subset.items():
            if not subset:
                yield Contradiction((f"dataset_subset.{name}",), "is empty; leave it out for the whole corpus")
