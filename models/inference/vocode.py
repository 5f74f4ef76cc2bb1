"""What the vocoder's stage 3 writes: the sound of each mel, and the recording that it was made of beside it."""

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
from models.inference.output_files import refuse_existing, report_failures
from models.inference.vocoder import Vocoder, VocoderError
from processors.audio.audio_file import AUDIO_SUFFIXES, read_audio, write_wav
from processors.audio.mel import MEL_FLOOR, MelSpectrogram
from processors.audio.mel_settings import mel_differences
from processors.datasets.open_split import read_split
from processors.datasets.vocoder_data import MEL_FEATURES, open_recordings
from processors.feature_store import FeatureStore, is_store
from utils.console import Progress, say

# Wider than what the definition can give, for a model's mels are not exact; decibels or plain magnitudes leave it.
_LOWEST_LOG, _HIGHEST_LOG = -20.0, 10.0

PREDICTED, GROUND_TRUTH = "pred", "gt"


class Copied(NamedTuple):
    """A mel and, where it is known, the recording that it was taken of.

    Attributes:
        mel: (M, T_mel) float32 log-mel.
        recording: (T_mel * hop_size,) int16, or float32 in [-1, 1); None where there is none.
    """

    mel: np.ndarray
    recording: np.ndarray | None


@dataclass(frozen=True)
class Source:
    """Something to be made audible.

    Attributes:
        name: of its files, from `pred/` and `gt/`, without ending; may have folders in it.
        has_recording: whether there is a recording to go with it.
        read: gives it, or raises a ValueError that says what is wrong with it.
    """

    name: str
    has_recording: bool
    read: Callable[[], Copied]


def sources_from_dataset(
    processed_dir: Path,
    datasets: Sequence[str],
    testing_set: str,
    mel: PreprocessSettings,
    mel_source: str = "recorded",
) -> list[Source]:
    """Take mels and recordings of one of the sets of each corpus, as stage 1 split and stored them.

    Args:
        processed_dir: what stage 1 wrote to.
        datasets: names of the corpora; of several, each gets a folder of its name.
        testing_set: `test`, `valid`, ...
        mel: settings of the vocoder's mels.
        mel_source: `recorded` or `predicted`, as `train.mel_source`.

    Raises:
        ManifestError, StoreError: stage 1 has not made what is asked for.
        VocoderError: the mels are of another kind.
        DataError: they are to be predicted ones, and some are missing.
    """
    sources = []
    for dataset in datasets:
        utterances = read_split(processed_dir, dataset, testing_set)
        store = _open_store(processed_dir / dataset, mel)
        place = f"{dataset}/" if len(datasets) > 1 else ""
        ids = [utterance.id for utterance in utterances]
        if mel_source == "predicted":  # which some recordings may do without, but not those that a model could speak
            found, _ = open_recordings(processed_dir, [dataset], testing_set, mel_feature=MEL_FEATURES[mel_source])
            ids = [utterance_id for utterance_id, _ in found]
        sources += [_stored(store, utterance_id, place, MEL_FEATURES[mel_source]) for utterance_id in ids]
    return sources


def sources_from_features(place: Path, mel: PreprocessSettings) -> list[Source]:
    """Take all mels of a feature store (`<processed_dir>/<dataset>`), or the .npy files of a folder and its folders.

    Args:
        place: the folder, or a single .npy file; an array is (M, T_mel) or (1, M, T_mel), natural logarithm.
        mel: settings of the vocoder's mels.

    Raises:
        VocoderError: there are no mels, or the store's are of another kind.
        StoreError: the store is damaged.
    """
    if is_store(place):
        store = _open_store(place, mel)
        if not (ids := store.ids("mel")):
            raise VocoderError(f"{place}: the store holds no mels; run stage 1")
        return [_stored(store, utterance_id) for utterance_id in ids]
    if not place.exists():
        raise VocoderError(f"{place}: there is no such folder")
    hint = ""
    if stores := [path.name for path in sorted(place.glob("*")) if is_store(path)]:
        hint = f"; it holds features of {', '.join(stores)}: name one of these folders"
    found = _files(place, (".npy",), f"no .npy file in it, and it is no feature store either{hint}")
    return [Source(name, False, partial(_read_mel, path, mel.n_mel)) for name, path in found]


def sources_from_audio(place: Path, mel: PreprocessSettings) -> list[Source]:
    """Take the recordings of a folder and its folders, at any sample rate, in mono or stereo.

    Args:
        place: the folder, or a single recording.
        mel: settings of the vocoder's mels, which are computed here.

    Raises:
        VocoderError: there are no recordings.
    """
    if not place.exists():
        raise VocoderError(f"{place}: there is no such folder")
    found = _files(place, AUDIO_SUFFIXES, f"no recording in it ({', '.join(AUDIO_SUFFIXES)})")
    spectrogram = MelSpectrogram.from_settings(mel)
    return [Source(name, True, partial(_read_recording, path, spectrogram)) for name, path in found]


def vocode_all(
    vocoder: Vocoder, sources: Sequence[Source], folder: Path, sample_rate: int, *, overwrite: bool = False
) -> list[Path]:
    """Make each mel audible as `<folder>/pred/<name>.wav`, with its recording in `<folder>/gt/<name>.wav`.

    Args:
        vocoder: what makes the sound.
        sources: names must differ.
        folder: made if missing.
        sample_rate: of the vocoder, in Hz.
        overwrite: replace what an earlier run left.

    Returns:
        The WAV files in `pred`, in the order of the sources.

    Raises:
        OutputError: files of these names exist already.
        VocoderError: some sources could not be made audible; the others were.
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
        counted = f"{len(failures)} of {len(sources)} could not be made audible"
        raise VocoderError(report_failures(counted, failures, folder / "not_vocoded.txt", n_made=len(written)))
    _announce(folder, sources, samples / sample_rate, time.monotonic() - started)
    return written


def _wav(folder: Path, kind: str, source: Source) -> Path:
    return folder / kind / f"{source.name}.wav"


def _announce(folder: Path, sources: Sequence[Source], speech_s: float, took_s: float) -> None:
    n_recordings = sum(source.has_recording for source in sources)
    beside = f", the recordings themselves to {folder / GROUND_TRUTH}" if n_recordings else ""
    plural = "" if len(sources) == 1 else "s"
    say(f"wrote {len(sources)} sound{plural} to {folder / PREDICTED}{beside}")
    say(f"{speech_s:.1f} s of speech in {took_s:.1f} s, reading and writing included")


def _open_store(folder: Path, mel: PreprocessSettings) -> FeatureStore:
    store = FeatureStore.open(folder)
    if differing := mel_differences(store.settings, vars(mel)):
        raise VocoderError(
            f"{folder}: holds other mels than the vocoder was trained on: {differing}; "
            "name features made with the vocoder's settings, or another vocoder"
        )
    return store


def _stored(store: FeatureStore, utterance_id: str, place: str = "", feature: str = "mel") -> Source:
    has_recording = store.has(utterance_id, ("waveform",))

    def read() -> Copied:
        mel = np.ascontiguousarray(store.read(utterance_id, feature).T)
        return Copied(mel, store.read(utterance_id, "waveform") if has_recording else None)

    return Source(f"{place}{utterance_id}", has_recording, read)


def _files(place: Path, suffixes: Sequence[str], nothing: str) -> list[tuple[str, Path]]:
    """Give the files of these kinds in a folder and its folders, each with a name of its own from that folder."""
    if place.is_file():
        return [(place.stem, place)]
    paths = [path for path in _visible(place) if path.suffix.lower() in suffixes]
    if not paths:
        raise VocoderError(f"{place}: {nothing}")
    names = [path.relative_to(place).with_suffix("").as_posix() for path in paths]
    times = Counter(name.casefold() for name in names)
    # Where a.wav lies beside a.flac, both keep their endings.
    return [
        (name if times[name.casefold()] == 1 else path.relative_to(place).as_posix(), path)
        for name, path in zip(names, paths, strict=True)
    ]


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible(path)
        else:
            yield path


def _read_recording(path: Path, spectrogram: MelSpectrogram) -> Copied:
    waveform = read_audio(path, spectrogram.sample_rate)
    hop_size = spectrogram.hop_size
    n_frames = len(waveform) // hop_size
    if n_frames == 0:
        raise VocoderError(f"{path}: {len(waveform)} samples are shorter than one frame of {hop_size}")
    waveform = waveform[: n_frames * hop_size]
    with torch.inference_mode():
        return Copied(spectrogram(torch.from_numpy(waveform)).numpy(), waveform)


def _read_mel(path: Path, n_mel: int) -> Copied:
    wanted = f"a log-mel of shape ({n_mel}, frames)"
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "pickle" in str(error):
            raise VocoderError(f"{path}: holds Python objects or no array; {wanted} is needed") from None
        raise VocoderError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        kind = found.dtype if isinstance(found, np.ndarray) else "an archive of arrays"
        raise VocoderError(f"{path}: expected {wanted} in floating point, found {kind}")
    mel = found[0] if found.ndim == 3 and len(found) == 1 else found
    if mel.ndim != 2 or mel.shape[0] != n_mel:
        hint = "; transpose it" if mel.ndim == 2 and mel.shape[1] == n_mel else ""
        raise VocoderError(f"{path}: expected {wanted}, found shape {found.shape}{hint}")
    if mel.shape[1] == 0:
        raise VocoderError(f"{path}: has no frames")
    mel = np.ascontiguousarray(mel, dtype=np.float32)
    lowest, highest = float(mel.min()), float(mel.max())
    if not np.isfinite([lowest, highest]).all():
        raise VocoderError(f"{path}: holds NaN or infinite values; make the mel again")
    if lowest < _LOWEST_LOG or highest > _HIGHEST_LOG:
        raise VocoderError(
            f"{path}: ranges from {lowest:.4g} to {highest:.4g}; a natural logarithm of magnitudes, which is needed, "
            f"lies between {np.log(MEL_FLOOR):.1f} and about 5: was it in decibels, or no logarithm?"
        )
    return Copied(mel, None)
