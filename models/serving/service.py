"""Speech for clients: requests resolved to voices, spoken in the queue, encoded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.contracts import ControlError, Prosody
from models.inference.speech_plan import SpeechPlan
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import Speech, Synthesizer
from models.serving.details import details_line
from models.serving.metrics import Metrics
from models.serving.requests import RequestError, SpeechBody
from models.serving.speech_queue import SpeechQueue
from models.serving.voices import Voices
from processors.audio.audio_stream import encode, encode_stream
from processors.text.errors import TextError

_Piece = TypeVar("_Piece")


@dataclass(frozen=True)
class TimedWord:
    """When a word is spoken, in seconds from the start of the speech."""

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class CaptionedPiece:
    """Encoded audio of a part of a text, a file of its own, and the words in it."""

    audio: bytes
    words: tuple[TimedWord, ...]


class SpeechService:
    """Answers requests for speech.

    Args:
        voices: of the server.
        queue: in which they are spoken.
        metrics: counts what is spoken.
    """

    def __init__(self, voices: Voices, queue: SpeechQueue, metrics: Metrics) -> None:
        self.voices, self.queue, self.metrics = voices, queue, metrics

    def speak(self, body: SpeechBody) -> AsyncIterator[bytes]:
        """Yield encoded speech: as it is made if the request is streamed, else one file.

        Raises:
            UnknownVoiceError: the server has no such voice.
            VoiceUnavailableError: its files are gone at present.
            QueueFullError, TimeLimitError, ShuttingDownError: see `SpeechQueue.run`.
            RequestError: the voice cannot speak it.
        """
        return self._run(body, self._encoded)

    def speak_with_words(self, body: SpeechBody) -> AsyncIterator[CaptionedPiece]:
        """Yield encoded speech with the times of its words, sentence by sentence; see `speak` for the errors."""
        return self._run(body, self._captioned)

    def speak_with_details(self, body: SpeechBody) -> AsyncIterator[bytes]:
        """Yield lines of JSON with speech and what it is made of, sentence by sentence; see `speak` for the errors."""
        return self._run(body, self._detailed)

    async def _run(
        self, body: SpeechBody, produce: Callable[[Synthesizer, SpeechBody], Iterator[_Piece | None]]
    ) -> AsyncIterator[_Piece]:
        begun = time.monotonic()
        voice = self.voices.resolve(body.voice_name)

        def pieces() -> Iterator[_Piece | None]:
            try:
                yield from produce(self.voices.open(voice), body)
            except (SynthesisError, ControlError, TextError) as error:
                raise RequestError(str(error)) from error

        self.metrics.count_text(len(body.input))
        is_first = True
        async with aclosing(self.queue.run(pieces)) as produced:
            async for piece in produced:
                if is_first:
                    self.metrics.count_first_sound(time.monotonic() - begun)
                    is_first = False
                yield piece

    def _encoded(self, synthesizer: Synthesizer, body: SpeechBody) -> Iterator[bytes | None]:
        rate, prosody = synthesizer.sample_rate, body.asked_prosody()
        if not body.is_streamed and (prosody.peak_normalize or prosody.fade_out_ms):  # these need the whole
            speech = synthesizer(body.input, prosody=prosody, **body.options)
            yield encode(self._counted(speech.waveform, rate), rate, body.response_format)
            return
        stream = synthesizer.stream(body.input, prosody=prosody, **body.options)
        pieces = (self._counted(piece, rate) for piece in stream)
        if body.is_streamed:
            yield from encode_stream(pieces, rate, body.response_format)
        else:
            made = []
            for piece in pieces:
                made.append(piece)
                yield None
            yield encode(np.concatenate(made), rate, body.response_format)

    def _captioned(self, synthesizer: Synthesizer, body: SpeechBody) -> Iterator[CaptionedPiece | None]:
        rate, start_s = synthesizer.sample_rate, 0.0
        for _, speech in _by_chunk(synthesizer, body, body.asked_prosody()):
            words = tuple(
                TimedWord(word.label, start_s + word.start_s, start_s + word.end_s)
                for word in speech.alignment.words
                if word.label
            )
            start_s += speech.duration_s
            yield CaptionedPiece(encode(self._counted(speech.waveform, rate), rate, body.response_format), words)

    def _detailed(self, synthesizer: Synthesizer, body: SpeechBody) -> Iterator[bytes | None]:
        prosody = body.asked_prosody()
        if prosody.peak_normalize or prosody.fade_out_ms:
            raise RequestError("prosody: sentences that are sent one by one are neither peak-normalized nor faded out")
        hop_size, start_s, first_word = synthesizer.settings.preprocess.hop_size, 0.0, 0
        for plan, speech in _by_chunk(synthesizer, body, prosody):
            self._counted(speech.waveform, speech.sample_rate)
            yield details_line(plan, speech, hop_size, start_s=start_s, first_word=first_word)
            start_s += speech.duration_s
            first_word += len(plan.sequence.words)

    def _counted(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        self.metrics.count_speech(len(waveform) / sample_rate)
        return waveform


def _by_chunk(synthesizer: Synthesizer, body: SpeechBody, prosody: Prosody) -> Iterator[tuple[SpeechPlan, Speech]]:
    plan = synthesizer.plan(body.input, prosody=prosody, **body.options)
    for each in plan.by_chunk():
        yield each, next(synthesizer.speak(iter([each])))
