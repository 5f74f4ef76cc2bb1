"""From text to sound: a trained acoustic model with its front end, and whatever turns its mel into a waveform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.bundles.locate import find_bundle
from models.contracts import UNCHANGED, PhonemeBatch, Prosody, require_controls
from models.inference.vocoder import GriffinLimVocoder, Vocoder, open_vocoder
from models.registry import kind_of, open_acoustic
from processors.alignment.durations import alignment_of_durations
from processors.alignment.intervals import Alignment
from processors.audio.mel import MelSpectrogram
from processors.text.chunks import split_into_chunks
from processors.text.front_end import FrontEnd, FrontEnds, with_known_phones
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import Token
from utils.console import warn
from utils.errors import RecitalError

_TEXTS_AT_ONCE = 64
_CHUNKS_PER_BATCH = 16


class SynthesisError(RecitalError):
    """A text that cannot be spoken as asked."""


@dataclass(frozen=True)
class Speech:
    """One spoken text.

    Attributes:
        text: what was asked for.
        waveform: (T_mel * hop_size,) float32 in [-1, 1].
        sample_rate: in Hz.
        mel: (M, T_mel) log-mel.
        f0_hz: (T_mel,) the pitch that the model chose; pauses and unvoiced phones have one, too.
        phones: T_text symbols that were spoken, pauses included.
        durations: (T_text,) frames per phone.
        alignment: when each word and phone is spoken, in seconds.
    """

    text: str
    waveform: np.ndarray
    sample_rate: int
    mel: np.ndarray
    f0_hz: np.ndarray
    phones: tuple[str, ...]
    durations: np.ndarray
    alignment: Alignment

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sample_rate


@dataclass(frozen=True)
class Controls:
    """How the model's own choice is changed; 1 leaves it as it is.

    Attributes:
        pitch: factor on F0 in Hz.
        energy: factor on the frames' energy.
        duration: factor on durations; 2 speaks half as fast.
    """

    pitch: float = 1.0
    energy: float = 1.0
    duration: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pitch", "energy", "duration"):
            value = getattr(self, name)
            if not 0.1 <= value <= 10:
                raise SynthesisError(f"{name}_control: found {value:g}; a factor between 0.1 and 10 is needed")


@dataclass(frozen=True)
class _Chunk:
    """A piece of a text on its way through the model."""

    sequence: PhoneSequence
    ids: list[int]


@dataclass(frozen=True)
class _SpokenChunk:
    sequence: PhoneSequence
    durations: np.ndarray
    mel: Tensor
    f0_hz: np.ndarray


class Synthesizer:
    """A voice: `Synthesizer.open("ckpts/tts/demo")("Hello there.")` gives a `Speech`.

    Nothing of the data that trained the model is needed.
    """

    def __init__(self, bundle: Bundle, vocoder: Vocoder | None = None, device: torch.device | str = "cpu") -> None:
        if kind_of(bundle.settings.model_type) != "acoustic":
            raise BundleError(f"{bundle.folder}: holds a {bundle.settings.model_type}, which makes no mel from text")
        bundle.require_front_end()
        assert bundle.symbols is not None
        self.settings = bundle.settings
        self.device = torch.device(device)
        self._symbols = bundle.symbols
        self._speakers = dict(bundle.speakers)
        preprocess = bundle.settings.preprocess
        self._languages = {name: bundle.languages.get(name, preprocess.language) for name in bundle.speakers}
        self._front_ends = FrontEnds(preprocess, bundle.lexicon_path)
        for language in sorted(set(self._languages.values())):
            self.check_language(language)
        self._missed: set[str] = set()
        self._model = open_acoustic(bundle, self.device)
        self._vocoder = vocoder or GriffinLimVocoder(MelSpectrogram.from_settings(preprocess).to(self.device))

    @classmethod
    def open(
        cls, acoustic: Path | str, vocoder: Path | str | None = None, device: torch.device | str = "cpu"
    ) -> Synthesizer:
        """Open an experiment, one of its checkpoints, or a bundle, with a vocoder's likewise.

        Args:
            acoustic: folder of the acoustic model.
            vocoder: folder of the vocoder, which may also be an original HiFi-GAN; None for Griffin-Lim.
            device: where to compute.

        Raises:
            BundleError: a folder holds no such model.
            VocoderError: the vocoder was trained on mels of another kind.
        """
        bundle = find_bundle(acoustic)
        if vocoder is None:
            return cls(bundle, device=device)
        return cls(bundle, open_vocoder(vocoder, expect=bundle.settings.preprocess, device=device), device)

    restore_from = open
    """The name under which users of NeMo look for `open`."""

    @property
    def sample_rate(self) -> int:
        """Samples per second of everything this voice says, in Hz."""
        return self.settings.preprocess.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of the speakers that the model knows."""
        return tuple(self._speakers)

    @property
    def languages(self) -> Mapping[str, str]:
        """What each speaker speaks where no other language is asked for."""
        return MappingProxyType(self._languages)

    def __call__(
        self, text: str, *, speaker: str | None = None, language: str | None = None, controls: Controls | None = None
    ) -> Speech:
        """Speak one text of any length.

        Args:
            text: what to say.
            speaker: one of `speakers`; needed where there are several.
            language: of the text; the speaker's own unless given.
            controls: of pitch, energy and pace.

        Raises:
            SynthesisError: the text holds nothing to say, or the speaker is unknown.
            ControlError: the model does not have one of the controls.
            TextError: the front end does not speak the language, or cannot say the text.
        """
        return next(self.speak([text], speaker=speaker, language=language, controls=controls))

    def speak(
        self,
        texts: Iterable[str],
        *,
        speaker: str | None = None,
        language: str | None = None,
        controls: Controls | None = None,
    ) -> Iterator[Speech]:
        """Speak many texts, in their order; faster than one by one, for pieces of like length share a batch."""
        prosody = self._prosody(controls)
        speaker_id = self._speaker_id(speaker)
        front_end = self._front_ends[self._language(speaker, language)]
        remaining = iter(texts)
        while texts_now := list(islice(remaining, _TEXTS_AT_ONCE)):
            chunks = [self._chunks(text, front_end) for text in texts_now]
            spoken = iter(self._speak_chunks([chunk for text in chunks for chunk in text], speaker_id, prosody))
            for text, parts in zip(texts_now, chunks, strict=True):
                yield self._joined(text, list(islice(spoken, len(parts))))

    def check(self, text: str, *, speaker: str | None = None, language: str | None = None) -> None:
        """Raise what speaking this text would raise before any sound is made."""
        self._chunks(text, self._front_ends[self._language(speaker, language)])

    def check_language(self, language: str) -> None:
        """Raise a `TextError` unless the voice's front end speaks a language."""
        self._front_ends[language]

    def generate_spectrogram(
        self, text: str, *, speaker: str | None = None, language: str | None = None, controls: Controls | None = None
    ) -> np.ndarray:
        """Give the (M, T_mel) log-mel of a text, for a vocoder of one's own."""
        speaker_id = self._speaker_id(speaker)
        pieces = self._chunks(text, self._front_ends[self._language(speaker, language)])
        chunks = self._speak_chunks(pieces, speaker_id, self._prosody(controls))
        return torch.cat([chunk.mel for chunk in chunks], dim=1).cpu().numpy()

    def convert_spectrogram_to_audio(self, spec: np.ndarray | Tensor) -> np.ndarray:
        """Give the float32 waveform of an (M, T_mel) log-mel, such as `generate_spectrogram` made.

        Raises:
            SynthesisError: the array is no such mel.
        """
        mel = torch.as_tensor(spec, dtype=torch.float32, device=self.device)
        n_mel = self.settings.preprocess.n_mel
        if mel.ndim != 2 or mel.shape[0] != n_mel or mel.shape[1] == 0:
            raise SynthesisError(f"expected a log-mel of shape ({n_mel}, frames), found {tuple(mel.shape)}")
        return _as_array(self._vocoder.waveform(mel))

    def _language(self, speaker: str | None, language: str | None) -> str:
        if language is not None:
            return language
        if speaker is None and len(self._languages) == 1:
            return next(iter(self._languages.values()))
        return self._languages.get(speaker or "", self.settings.preprocess.language)

    def _chunks(self, text: str, front_end: FrontEnd) -> list[_Chunk]:
        chunks = []
        spoken = front_end.tokens(text)
        if front_end.is_open:
            spoken = self._with_known_phones(spoken, front_end)
        for tokens in split_into_chunks(spoken) if spoken else ():
            sequence = PhoneSequence.of(tokens)
            chunks.append(_Chunk(sequence, self._symbols.ids(sequence.phones, where=f"“{_shortened(text)}”")))
        if not chunks:
            raise SynthesisError(f"“{_shortened(text)}”: holds nothing to say")
        return chunks

    def _with_known_phones(self, tokens: Sequence[Token], front_end: FrontEnd) -> list[Token]:
        """Let the nearest known phones stand in for those that training never heard, and tell of each once."""
        known, replaced = with_known_phones(tokens, self._symbols.symbols, front_end)
        for phone, others in replaced.items():
            if phone not in self._missed:
                self._missed.add(phone)
                warn(
                    f"the voice never learned {phone!r}; "
                    + (f"it says {' '.join(others)} instead" if others else "it is left out")
                )
        return known

    def _speaker_id(self, speaker: str | None) -> int:
        if speaker is None and len(self._speakers) <= 1:
            return 0
        if speaker in self._speakers:
            return self._speakers[speaker]
        what = "name a speaker (--infer_speaker_name)" if speaker is None else f"speaker {speaker}: unknown"
        raise SynthesisError(f"{what}; known: {', '.join(self._speakers) or 'one, without a name'}")

    def _prosody(self, controls: Controls | None) -> Prosody:
        prosody = Prosody(controls.duration, controls.pitch, controls.energy) if controls else UNCHANGED
        require_controls(self._model, prosody, self.settings.model_type)
        return prosody

    @torch.inference_mode()
    def _speak_chunks(self, chunks: Sequence[_Chunk], speaker_id: int, prosody: Prosody) -> list[_SpokenChunk]:
        spoken: dict[int, _SpokenChunk] = {}
        by_length = sorted(range(len(chunks)), key=lambda place: len(chunks[place].ids))
        for start in range(0, len(by_length), _CHUNKS_PER_BATCH):
            places = by_length[start : start + _CHUNKS_PER_BATCH]
            batch = self._speak_batch([chunks[place] for place in places], speaker_id, prosody)
            spoken.update(zip(places, batch, strict=True))
        return [spoken[place] for place in range(len(chunks))]

    def _speak_batch(self, chunks: Sequence[_Chunk], speaker_id: int, prosody: Prosody) -> Iterator[_SpokenChunk]:
        lengths = torch.tensor([len(chunk.ids) for chunk in chunks], device=self.device)
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(chunk.ids) for chunk in chunks], batch_first=True, padding_value=0
        )
        speaker_ids = torch.full((len(chunks),), speaker_id, device=self.device)
        generated = self._model.infer(PhonemeBatch(ids.to(self.device), lengths, speaker_ids), prosody)
        for row, chunk in enumerate(chunks):
            n_frames = int(generated.mel_lengths[row])
            yield _SpokenChunk(
                chunk.sequence,
                generated.durations[row, : len(chunk.ids)].cpu().numpy(),
                generated.mel[row, :, :n_frames].float(),
                generated.f0_hz[row, :n_frames].float().cpu().numpy(),
            )

    def _joined(self, text: str, chunks: Sequence[_SpokenChunk]) -> Speech:
        sequence = PhoneSequence.joined(chunk.sequence for chunk in chunks)
        durations = np.concatenate([chunk.durations for chunk in chunks])
        frame_s = self.settings.preprocess.hop_size / self.sample_rate
        return Speech(
            text=text,
            waveform=_as_array(self._vocoder.joined([chunk.mel for chunk in chunks])),
            sample_rate=self.sample_rate,
            mel=np.concatenate([chunk.mel.cpu().numpy() for chunk in chunks], axis=1),
            f0_hz=np.concatenate([chunk.f0_hz for chunk in chunks]),
            phones=sequence.phones,
            durations=durations,
            alignment=alignment_of_durations(
                sequence, durations, frame_s=frame_s, duration_s=int(durations.sum()) * frame_s
            ),
        )


def _as_array(waveform: Tensor) -> np.ndarray:
    return waveform.clamp(-1, 1).cpu().numpy()


def _shortened(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
