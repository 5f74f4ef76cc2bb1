"""The speakers of a corpus as vectors, made in stage 1 and kept with the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.feature_store import FeatureStore
from processors.speakers.speaker_encoders import HeardRecording, SpeakerEncoder, SpeakerEncoderError
from processors.utterance import Utterance
from utils.console import Progress
from utils.errors import RecitalError
from utils.files import write_atomically

EMBEDDINGS_FILE = "speaker_embeddings.json"

# Enough for a mean that no further recording would move much, and a corpus of any size is soon done.
_MOST_RECORDINGS = 40


class SpeakerEmbeddingsError(RecitalError):
    """A file of speaker embeddings that is missing, damaged, or of others."""


@dataclass(frozen=True)
class SpeakerEmbeddings:
    """What each speaker's voice is like.

    Attributes:
        encoder: the setting `preprocess.speaker_encoder` they were made with.
        vectors: speaker to (E,) float32.
    """

    encoder: str
    vectors: Mapping[str, np.ndarray]

    def save(self, path: Path | str) -> None:
        """Write them as JSON, whole or not at all."""
        vectors = {speaker: [round(float(x), 6) for x in vector] for speaker, vector in self.vectors.items()}
        told = {"encoder": self.encoder, "vectors": vectors}
        write_atomically(path, json.dumps(told, ensure_ascii=False) + "\n")

    @classmethod
    def open(cls, path: Path | str) -> SpeakerEmbeddings:
        """Read what `save` wrote.

        Raises:
            SpeakerEmbeddingsError: the file is missing or damaged.
        """
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
            vectors = {name: np.array(vector, dtype=np.float32) for name, vector in told["vectors"].items()}
            encoder = str(told["encoder"])
        except FileNotFoundError:
            raise SpeakerEmbeddingsError(f"{path}: no such file; run stage 1 again") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise SpeakerEmbeddingsError(f"{path}: damaged; run stage 1 again") from None
        if len({vector.shape for vector in vectors.values()}) > 1 or any(v.ndim != 1 for v in vectors.values()):
            raise SpeakerEmbeddingsError(f"{path}: its vectors are not all of one length; run stage 1 again")
        return cls(encoder, vectors)


def rows_of(embeddings: SpeakerEmbeddings | None, speakers: Sequence[str], encoder: str) -> np.ndarray:
    """Give the vectors of speakers, one below the other.

    Args:
        embeddings: as they were found.
        speakers: in the order of the rows.
        encoder: that must have made them.

    Returns:
        (n_speakers, E) float32.

    Raises:
        SpeakerEmbeddingsError: there are none, a speaker has none, or another encoder made them.
    """
    missing = list(speakers) if embeddings is None else [name for name in speakers if name not in embeddings.vectors]
    if embeddings is None or missing:
        raise SpeakerEmbeddingsError(
            f"there is no speaker embedding of {missing[0]}; run stage 1 again, or copy the whole bundle"
        )
    if embeddings.encoder != encoder:
        raise SpeakerEmbeddingsError(
            f'the speaker embeddings were made by "{embeddings.encoder}", and preprocess.speaker_encoder is '
            f'"{encoder}"; run stage 1 again'
        )
    return np.stack([embeddings.vectors[name] for name in speakers])


def embed_speakers(
    utterances: Iterable[Utterance],
    stores: Mapping[str, FeatureStore],
    encoder: SpeakerEncoder,
    *,
    name: str,
    sample_rate: int,
) -> SpeakerEmbeddings:
    """Hear some recordings of each speaker, spread over all there are, and take the mean.

    Args:
        utterances: of the training split.
        stores: corpus to its features.
        encoder: hears them.
        name: of the encoder, as the settings call it.
        sample_rate: of stored waveforms.

    Raises:
        SpeakerEncoderError: nothing was heard of a speaker.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    vectors = {}
    with Progress(len(by_speaker), "speaker embeddings", "speakers") as progress:
        for speaker in sorted(by_speaker):
            theirs = sorted(by_speaker[speaker], key=lambda utterance: (utterance.dataset, utterance.id))
            places = np.unique(np.linspace(0, len(theirs) - 1, min(len(theirs), _MOST_RECORDINGS)).round().astype(int))
            heard = [
                encoder.embed(_heard(theirs[place], stores[theirs[place].dataset], sample_rate)) for place in places
            ]
            vectors[speaker] = _mean(np.stack(heard), speaker)
            progress.advance(1, "")
    return SpeakerEmbeddings(name, vectors)


def _heard(utterance: Utterance, store: FeatureStore, sample_rate: int) -> HeardRecording:
    mel, f0_hz, waveform = (store.read(utterance.id, name) for name in ("mel", "f0", "waveform"))
    return HeardRecording(waveform, sample_rate, mel, f0_hz)


def _mean(heard: np.ndarray, speaker: str) -> np.ndarray:
    """Average over what is a number; what never is, such as the pitch of a whisperer, is 0, which is typical."""
    is_number = np.isfinite(heard)
    if not is_number.any():
        raise SpeakerEncoderError(f"the speaker encoder hears no speech in any recording of {speaker}")
    sums = np.where(is_number, heard, 0.0).sum(axis=0)
    return (sums / np.maximum(is_number.sum(axis=0), 1)).astype(np.float32)
