"""Stage 3 of vocoders: mels vocoded to WAV files, beside the recordings they were computed from."""

from __future__ import annotations

import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from config.schema import PreprocessSettings
from models.bundles.vocoder import VocoderError
from models.inference.output_files import refuse_existing, report_failures
from models.inference.vocoder import Vocoder
from processors.audio.audio_file import AUDIO_SUFFIXES, read_audio, write_wav
from processors.audio.foreign_mels import (
    MEL_SCALES,
    MelScale,
    MelScaleError,
    as_natural,
    doubt,
    require_log_range,
    with_bands_first,
)
from processors.audio.mel import MelSpectrogram
from processors.audio.mel_settings import mel_differences
from processors.datasets.open_split import read_split
from processors.datasets.vocoder_data import MEL_FEATURES, open_recordings
from processors.feature_store import FeatureStore, is_store
from utils.console import Progress, info, warn

_SCALE_ADVICE = f"--mel_scale {', '.join(MEL_SCALES[1:])} converts; --mel_scale natural takes them as they are"

PREDICTED, GROUND_TRUTH = "pred", "gt"


class MelAndRecording(NamedTuple):
    """A mel to vocode and, if known, its recording.

    Attributes:
        mel: (M, T_mel) float32 log-mel.
        recording: (T_mel * hop_size,) int16, or float32 in [-1, 1); None if unknown.
    """

    mel: np.ndarray
    recording: np.ndarray | None


@dataclass(frozen=True)
class Source:
    """A mel to vocode, not yet read.

    Attributes:
        name: of its files in `pred/` and `gt/`, without suffix; may contain folders.
        has_recording: whether its recording is known.
        read: returns it, or raises a ValueError with what is wrong with it.
    """

    name: str
    has_recording: bool
    read: Callable[[], MelAndRecording]


def sources_from_dataset(
    processed_dir: Path,
    datasets: Sequence[str],
    testing_set: str,
    mel: PreprocessSettings,
    mel_source: str = "recorded",
) -> list[Source]:
    """Return the mels and recordings of a split of each corpus, from the feature store.

    Args:
        processed_dir: as in stage 1.
        datasets: names of the corpora; if there are several, each has a folder of its name.
        testing_set: `test`, `valid`, ...
        mel: settings of the vocoder's mels.
        mel_source: `recorded` or `predicted`, as `train.mel_source`.

    Raises:
        ManifestError, StoreError: the manifests or features of stage 1 are missing.
        VocoderError: the mels have other settings.
        DataError: `mel_source` is `predicted`, and some predicted mels are missing.
    """
    sources = []
    for dataset in datasets:
        utterances = read_split(processed_dir, dataset, testing_set)
        store = _open_store(processed_dir / dataset, mel)
        prefix = f"{dataset}/" if len(datasets) > 1 else ""
        ids = [utterance.id for utterance in utterances]
        if mel_source == "predicted":  # recordings without phones have none, others must
            found, _ = open_recordings(processed_dir, [dataset], testing_set, mel_feature=MEL_FEATURES[mel_source])
            ids = [utterance_id for utterance_id, _ in found]
        sources += [_stored(store, utterance_id, prefix, MEL_FEATURES[mel_source]) for utterance_id in ids]
    return sources


def sources_from_features(path: Path, mel: PreprocessSettings, scale: MelScale | None = None) -> list[Source]:
    """Return all mels of a feature store (`<processed_dir>/<dataset>`), or the .npy files below a folder.

    Args:
        path: the folder, or a single .npy file; an array is (M, T_mel) or (T_mel, M), or has an axis of 1 before.
        mel: settings of the vocoder's mels.
        scale: of the files' values; None for natural logarithms, which is checked over all files together.

    Raises:
        VocoderError: there are no mels, the store's have other settings, or the files' are on another scale.
        StoreError: the store is damaged.
    """
    if is_store(path):
        store = _open_store(path, mel)
        if not (ids := store.ids("mel")):
            raise VocoderError(f"{path}: the store holds no mels; run stage 1")
        return [_stored(store, utterance_id) for utterance_id in ids]
    if not path.exists():
        raise VocoderError(f"{path}: there is no such folder")
    hint = ""
    if stores := [folder.name for folder in sorted(path.glob("*")) if is_store(folder)]:
        hint = f"; it holds features of {', '.join(stores)}: choose one of these folders"
    found = _files(path, (".npy",), f"holds no .npy file, and is not a feature store{hint}")
    if scale is None:
        _check_scale(path, [file for _, file in found], mel.n_mel)
    return [Source(name, False, partial(_read_mel, file, mel.n_mel, scale)) for name, file in found]


def sources_from_audio(path: Path, mel: PreprocessSettings) -> list[Source]:
    """Return the recordings below a folder, at any sample rate, in mono or stereo.

    Args:
        path: the folder, or a single recording.
        mel: settings of the vocoder's mels, which are computed from the recordings.

    Raises:
        VocoderError: there are no recordings.
    """
    if not path.exists():
        raise VocoderError(f"{path}: there is no such folder")
    found = _files(path, AUDIO_SUFFIXES, f"holds no recording ({', '.join(AUDIO_SUFFIXES)})")
    spectrogram = MelSpectrogram.from_settings(mel)
    return [Source(name, True, partial(_read_recording, file, spectrogram)) for name, file in found]


def vocode_all(
    vocoder: Vocoder, sources: Sequence[Source], folder: Path, sample_rate: int, *, overwrite: bool = False
) -> list[Path]:
    """Vocode each mel to `<folder>/pred/<name>.wav`, and write its recording to `<folder>/gt/<name>.wav`.

    Args:
        vocoder: a trained vocoder, or Griffin-Lim.
        sources: names must differ.
        folder: created if missing.
        sample_rate: of the vocoder, in Hz.
        overwrite: whether to replace existing files.

    Returns:
        The WAV files in `pred`, in the order of the sources.

    Raises:
        OutputError: files of these names already exist.
        VocoderError: some sources could not be vocoded; the others were.
    """
    places = [(_wav(folder, PREDICTED, source), _wav(folder, GROUND_TRUTH, source)) for source in sources]
    if not overwrite:
        with_recording = (
            path for source, pair in zip(sources, places, strict=True) for path in pair[: 1 + source.has_recording]
        )
        refuse_existing(list(with_recording))
    written: list[Path] = []
    failures: list[str] = []
    samples, started = 0, time.monotonic()
    with Progress(len(sources), "vocoding", "recordings") as progress:
        for source, (predicted, ground_truth) in zip(sources, places, strict=True):
            try:
                mel, recording = source.read()
                waveform = vocoder.waveform(torch.from_numpy(mel)).clamp(-1, 1).cpu().numpy()
                write_wav(predicted, waveform, sample_rate)
            except ValueError as error:
                failures.append(str(error) if source.name in str(error) else f"{source.name}: {error}")
            else:
                if recording is not None:
                    write_wav(ground_truth, recording, sample_rate)
                written.append(predicted)
                samples += len(waveform)
            progress.advance()
    if failures:
        counted = f"{len(failures)} of {len(sources)} could not be vocoded"
        raise VocoderError(report_failures(counted, failures, folder / "not_vocoded.txt", n_made=len(written)))
    _announce(folder, sources, samples / sample_rate, time.monotonic() - started)
    return written


def _wav(folder: Path, kind: str, source: Source) -> Path:
    return folder / kind / f"{source.name}.wav"


def _announce(folder: Path, sources: Sequence[Source], speech_s: float, took_s: float) -> None:
    n_recordings = sum(source.has_recording for source in sources)
    beside = f", the recordings to {folder / GROUND_TRUTH}" if n_recordings else ""
    plural = "" if len(sources) == 1 else "s"
    info(f"wrote {len(sources)} WAV file{plural} to {folder / PREDICTED}{beside}")
    info(f"{speech_s:.1f} s of speech in {took_s:.1f} s, reading and writing included")


def _open_store(folder: Path, mel: PreprocessSettings) -> FeatureStore:
    store = FeatureStore.open(folder)
    if differing := mel_differences(store.settings, vars(mel)):
        raise VocoderError(
            f"{folder}: its mels have other settings than the vocoder's: {differing}; "
            "choose features made with the vocoder's settings, or another vocoder"
        )
    return store


def _stored(store: FeatureStore, utterance_id: str, prefix: str = "", feature: str = "mel") -> Source:
    has_recording = store.has(utterance_id, ("waveform",))

    def read() -> MelAndRecording:
        mel = np.ascontiguousarray(store.read(utterance_id, feature).T)
        return MelAndRecording(mel, store.read(utterance_id, "waveform") if has_recording else None)

    return Source(f"{prefix}{utterance_id}", has_recording, read)


def _files(path: Path, suffixes: Sequence[str], nothing: str) -> list[tuple[str, Path]]:
    """Return the files of these suffixes below a folder, each with a unique name relative to it."""
    if path.is_file():
        return [(path.stem, path)]
    files = [file for file in _visible(path) if file.suffix.lower() in suffixes]
    if not files:
        raise VocoderError(f"{path}: {nothing}")
    names = [file.relative_to(path).with_suffix("").as_posix() for file in files]
    times = Counter(name.casefold() for name in names)
    # Where there are a.wav and a.flac, both keep their suffixes.
    return [
        (name if times[name.casefold()] == 1 else file.relative_to(path).as_posix(), file)
        for name, file in zip(names, files, strict=True)
    ]


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible(path)
        else:
            yield path


def _read_recording(path: Path, spectrogram: MelSpectrogram) -> MelAndRecording:
    waveform = read_audio(path, spectrogram.sample_rate)
    hop_size = spectrogram.hop_size
    n_frames = len(waveform) // hop_size
    if n_frames == 0:
        raise VocoderError(f"{path}: {len(waveform)} samples are less than a frame of {hop_size}")
    waveform = waveform[: n_frames * hop_size]
    with torch.inference_mode():
        return MelAndRecording(spectrogram(torch.from_numpy(waveform)).numpy(), waveform)


def _check_scale(path: Path, files: Sequence[Path], n_mel: int) -> None:
    """Warn or refuse if mels are not natural logarithms; unreadable ones are reported when they are vocoded."""
    ranges = []
    for file in files:
        try:
            mel = _load_mel(file, n_mel)
            found = float(mel.min()), float(mel.max())
            require_log_range(*found)
        except (VocoderError, MelScaleError):
            continue
        ranges.append(found)
    if not ranges:
        return
    try:
        remark = doubt(min(low for low, _ in ranges), max(high for _, high in ranges))
    except MelScaleError as error:
        raise VocoderError(f"{path}: {error} {_SCALE_ADVICE}") from None
    if remark:
        warn(f"{path}: {remark} {_SCALE_ADVICE}")


def _read_mel(path: Path, n_mel: int, scale: MelScale | None) -> MelAndRecording:
    mel = _load_mel(path, n_mel)
    if scale is None:
        try:
            require_log_range(float(mel.min()), float(mel.max()))
        except MelScaleError as error:
            raise VocoderError(f"{path}: {error} {_SCALE_ADVICE}") from None
    return MelAndRecording(np.ascontiguousarray(as_natural(mel, scale or "natural")), None)


def _load_mel(path: Path, n_mel: int) -> np.ndarray:
    """Read the (M, T_mel) float32 array of a file, finite and of at least one frame."""
    expected = f"a log-mel of shape ({n_mel}, frames)"
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error):
            raise VocoderError(f"{path}: expected {expected}, found Python objects or no array") from None
        raise VocoderError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        kind = found.dtype if isinstance(found, np.ndarray) else "an archive of arrays"
        raise VocoderError(f"{path}: expected {expected} in floating point, found {kind}")
    if 0 in found.shape:
        raise VocoderError(f"{path}: has no frames")
    try:
        mel = with_bands_first(found.astype(np.float32), n_mel)
    except MelScaleError as error:
        raise VocoderError(f"{path}: {error}") from None
    if not np.isfinite(mel).all():
        raise VocoderError(f"{path}: holds NaN or infinite values; compute the mel again")
    return mel
