"""Bodies of requests to a server of speech, checked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.contracts import Prosody
from models.inference.prosody_file import prosody_from_json
from processors.alignment.speech_times import Part
from processors.audio.audio_stream import ENCODINGS, AudioFormat
from processors.text.marked_text import Markup
from utils.errors import RecitalError

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Names of models that clients of OpenAI's interface send; all mean the voice's own."""
MODEL = "recital"
INVALID = "invalid_request_error"


class RequestError(RecitalError):
    """A body that cannot be understood.

    Attributes:
        field: the field at fault, None for the body as a whole.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ArrivalTimeoutError(RecitalError):
    """A request that does not arrive in time."""


def error_content(message: str, kind: str, field: str | None = None) -> dict[str, dict[str, str | None]]:
    """Return the content of an answer that states an error, in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": field, "code": None}}


class SpeechBody(BaseModel):
    """The body of a request for speech: OpenAI's fields, then Recital's.

    Attributes:
        model: "recital", or one of OpenAI's names.
        input: the text.
        voice: a voice of the server, an alias, or either with its speaker: `name/speaker`.
        instructions: how to speak; Recital's voices take none, and the answer says so in a header.
        response_format: of the audio.
        speed: 2 speaks twice as fast.
        stream_format: "audio" sends the audio as it is made, "sse" the same as events; None sends files with their
            length, and formats without one as they are made.
        language: of the text, as in "de"; None for the speaker's.
        markup: whether the text is SSML; "auto" where it begins with `<speak` or `<?xml`.
        lexicon: pronunciations by word, over the voice's.
        prosody: as in a file for `bins.synthesize --prosody`; `speed` multiplies its pace.
        times: for captioned speech, what is timed beside the words of `timestamps`.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = MODEL
    input: str
    voice: str = "alloy"
    instructions: str | None = None
    response_format: AudioFormat = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4, allow_inf_nan=False)
    stream_format: Literal["audio", "sse"] | None = None
    language: str | None = Field(default=None, max_length=20)
    markup: Markup = "auto"
    lexicon: dict[str, str] = Field(default_factory=dict)
    prosody: dict[str, Any] = Field(default_factory=dict)
    times: list[Part] = Field(default_factory=list)

    @field_validator("voice", mode="before")
    @classmethod
    def _voice_by_id(cls, voice: Any) -> Any:
        """Take `{"id": "name"}`, as OpenAI's clients send voices of one's own."""
        return voice["id"] if isinstance(voice, dict) and list(voice) == ["id"] else voice

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        if model not in (MODEL, *OPENAI_MODELS):
            raise ValueError(f"unknown; known: {', '.join((MODEL, *OPENAI_MODELS))}")
        return model

    @property
    def voice_name(self) -> str:
        """The voice or alias, without the speaker."""
        return self.voice.partition("/")[0]

    @property
    def speaker(self) -> str | None:
        """The speaker of the voice; None for its only one."""
        return self.voice.partition("/")[2] or None

    def asked_prosody(self) -> Prosody:
        """Return what is to differ from what the voice predicts.

        Raises:
            SynthesisError: `prosody` has an unknown key, or a value of another kind.
        """
        prosody = prosody_from_json(self.prosody, "prosody")
        return replace(prosody, pace=prosody.pace * self.speed)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `Synthesizer.plan` beside the text and its prosody."""
        return {"speaker": self.speaker, "language": self.language, "markup": self.markup, "lexicon": self.lexicon}

    @property
    def is_streamed(self) -> bool:
        """Return whether the audio is sent as it is made."""
        return self.stream_format is not None or self.response_format in ("mp3", "opus", "pcm")


def read_speech_body(content: bytes, max_chars: int) -> SpeechBody:
    """Return a request for speech from the bytes of its body.

    Args:
        content: JSON.
        max_chars: of the text.

    Raises:
        RequestError: it is no JSON, or a field is missing, unknown or out of range; the first such is named.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise RequestError("the body is not a JSON object")
    if found.get("response_format") == "aac":
        raise RequestError(f"aac is not available; known: {', '.join(ENCODINGS)}", "response_format")
    try:
        body = SpeechBody.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or None
        raise RequestError(f"{field}: {_sentence(first)}", field) from None
    if not body.input.strip():
        raise RequestError("input: the text is empty", "input")
    if len(body.input) > max_chars:
        raise RequestError(f"input: {len(body.input):,} characters; at most {max_chars:,} are spoken at once", "input")
    return body


def _sentence(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown; known: {', '.join(SpeechBody.model_fields)}"
    if problem["type"] == "literal_error" and problem["loc"] == ("response_format",):
        return f"unknown; known: {', '.join(get_args(AudioFormat))}"
    return str(problem["msg"]).removeprefix("Value error, ")
