"""Speaker embeddings, computed in stage 1 and saved with the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.feature_store import FeatureStore
from processors.speakers.speaker_encoders import SpeakerEncoder, SpeakerEncoderError, StoredRecording
from processors.utterance import Utterance
from utils.bundle_file import read_text
from utils.console import Progress
from utils.errors import RecitalError
from utils.files import write_atomically

EMBEDDINGS_FILE = "speaker_embeddings.json"

# Enough for a stable mean, and fast for corpora of any size.
_MAX_RECORDINGS = 40


class SpeakerEmbeddingsError(RecitalError):
    """A file of speaker embeddings that is missing, damaged, or of other speakers."""


@dataclass(frozen=True)
class SpeakerEmbeddings:
    """One vector per speaker.

    Attributes:
        encoder: the setting `preprocess.speaker_encoder` they were computed with.
        vectors: speaker to (E,) float32.
    """

    encoder: str
    vectors: Mapping[str, np.ndarray]

    def save(self, path: Path | str) -> None:
        """Write them as JSON, atomically."""
        vectors = {speaker: [round(float(x), 6) for x in vector] for speaker, vector in self.vectors.items()}
        content = {"encoder": self.encoder, "vectors": vectors}
        write_atomically(path, json.dumps(content, ensure_ascii=False) + "\n")

    @classmethod
    def open(cls, path: Path | str) -> SpeakerEmbeddings:
        """Read what `save` wrote.

        Raises:
            SpeakerEmbeddingsError: the file is missing or damaged.
        """
        try:
            content = json.loads(read_text(Path(path)))
            vectors = {name: np.array(vector, dtype=np.float32) for name, vector in content["vectors"].items()}
            encoder = str(content["encoder"])
        except FileNotFoundError:
            raise SpeakerEmbeddingsError(f"{path}: no such file; run stage 1 again") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise SpeakerEmbeddingsError(f"{path}: damaged; run stage 1 again") from None
        if len({vector.shape for vector in vectors.values()}) > 1 or any(v.ndim != 1 for v in vectors.values()):
            raise SpeakerEmbeddingsError(f"{path}: its vectors are not all of one length; run stage 1 again")
        return cls(encoder, vectors)


def rows_of(embeddings: SpeakerEmbeddings | None, speakers: Sequence[str], encoder: str) -> np.ndarray:
    """Return the vectors of speakers as rows.

    Args:
        embeddings: of all speakers, if there are any.
        speakers: in the order of the rows.
        encoder: that they must have been computed with.

    Returns:
        (n_speakers, E) float32.

    Raises:
        SpeakerEmbeddingsError: there are none, a speaker has none, or they are of another encoder.
    """
    missing = list(speakers) if embeddings is None else [name for name in speakers if name not in embeddings.vectors]
    if embeddings is None or missing:
        raise SpeakerEmbeddingsError(
            f"there is no speaker embedding of {missing[0]}; run stage 1 again, or copy the whole bundle"
        )
    if embeddings.encoder != encoder:
        raise SpeakerEmbeddingsError(
            f'the speaker embeddings were computed by "{embeddings.encoder}", but preprocess.speaker_encoder is '
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
    """Compute the mean embedding of recordings spread over those of each speaker.

    Args:
        utterances: of the training split.
        stores: corpus to its features.
        encoder: computes the embedding of a recording.
        name: of the encoder, as in the settings.
        sample_rate: of stored waveforms.

    Raises:
        SpeakerEncoderError: no recording of a speaker has an embedding.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    vectors = {}
    with Progress(len(by_speaker), "speaker embeddings", "speakers") as progress:
        for speaker in sorted(by_speaker):
            theirs = sorted(by_speaker[speaker], key=lambda utterance: (utterance.dataset, utterance.id))
            indices = np.unique(np.linspace(0, len(theirs) - 1, min(len(theirs), _MAX_RECORDINGS)).round().astype(int))
            embeddings = [
                encoder.embed(_recording(theirs[index], stores[theirs[index].dataset], sample_rate))
                for index in indices
            ]
            vectors[speaker] = _mean(np.stack(embeddings), speaker)
            progress.advance(1, "")
    return SpeakerEmbeddings(name, vectors)


def _recording(utterance: Utterance, store: FeatureStore, sample_rate: int) -> StoredRecording:
    mel, f0_hz, waveform = (store.read(utterance.id, name) for name in ("mel", "f0", "waveform"))
    return StoredRecording(waveform, sample_rate, mel, f0_hz)


def _mean(embeddings: np.ndarray, speaker: str) -> np.ndarray:
    """Average over finite values; components without any, such as the pitch of whispered speech, become 0 (typical)."""
    is_number = np.isfinite(embeddings)
    if not is_number.any():
        raise SpeakerEncoderError(f"the speaker encoder finds no speech in any recording of {speaker}")
    means: np.ndarray = np.where(is_number, embeddings, 0.0).sum(axis=0) / np.maximum(is_number.sum(axis=0), 1)
    return means.astype(np.float32)
