"""Speech for clients: requests resolved to voices, spoken in the queue, encoded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.contracts import ControlError
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import Speech, Synthesizer
from models.serving.details import details_line
from models.serving.metrics import Metrics
from models.serving.requests import RequestError, SpeechBody
from models.serving.speech_queue import SpeechQueue
from models.serving.voices import Voices
from processors.alignment.speech_times import SpeechTimes
from processors.audio.audio_stream import encode, encode_stream
from processors.text.errors import TextError

_Piece = TypeVar("_Piece")


@dataclass(frozen=True)
class CaptionedPiece:
    """Encoded audio of a part of a text, a file of its own, and its times, from the start of the whole speech."""

    audio: bytes
    times: SpeechTimes


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
        """Yield encoded speech with its times, sentence by sentence; see `speak` for the errors."""
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
        rate = synthesizer.sample_rate
        for speech, start_s in self._by_chunk(synthesizer, body):
            times = speech.times.beginning_at(start_s)
            times.as_json(*body.times)  # raises what may be raised before there is an answer
            yield CaptionedPiece(encode(speech.waveform, rate, body.response_format), times)

    def _detailed(self, synthesizer: Synthesizer, body: SpeechBody) -> Iterator[bytes | None]:
        hop_size = synthesizer.settings.preprocess.hop_size
        for speech, start_s in self._by_chunk(synthesizer, body):
            yield details_line(speech, hop_size, start_s)

    def _by_chunk(self, synthesizer: Synthesizer, body: SpeechBody) -> Iterator[tuple[Speech, float]]:
        """Yield the speech of each sentence, and when it begins in the whole."""
        prosody = body.asked_prosody()
        if prosody.peak_normalize or prosody.fade_out_ms:
            raise RequestError("prosody: sentences that are sent one by one are neither peak-normalized nor faded out")
        n_samples = 0
        for plan in synthesizer.plan(body.input, prosody=prosody, **body.options).by_chunk():
            [speech] = synthesizer.speak(iter([plan]))
            yield speech, n_samples / speech.sample_rate
            n_samples += len(self._counted(speech.waveform, speech.sample_rate))

    def _counted(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        self.metrics.count_speech(len(waveform) / sample_rate)
        return waveform
