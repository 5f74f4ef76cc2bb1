"""Load on a running server of speech: many clients at once, beside a single one."""

from __future__ import annotations

import http.client
import io
import json
import random
import re
import socket
import threading
import time
import wave
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from models.benchmarks.timing import Section
from processors.utterance import read_text_file
from utils.errors import RecitalError

_PATH = "/v1/audio/speech"
_FORMATS = ("wav", "flac", "mp3", "opus", "pcm")
_RUBBISH: tuple[bytes, ...] = (b"rubbish", b"{}", b'{"input":1}', b"\xff" * 1000, b'{"input":"x","voice":"../x"}')
_HANG_UP, _SEND_RUBBISH = 0.2, 0.1  # shares of the requests
_WARM_UP_S = 10.0
_ALONE_S = 8.0
_TEXTS = 50
_RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)", re.MULTILINE)


_TEXT = (
    "when the sun had gone down behind the hills an old man walked slowly along the river and thought of all the "
    "letters that he had never answered while his daughter who was waiting at home lit the lamp put another log on "
    "the fire and listened to the rain which fell on the roof as it had fallen every evening since that winter began"
)


class ServerError(RecitalError):
    """A server that cannot be measured."""


@dataclass(frozen=True)
class LoadPlan:
    """A load.

    Attributes:
        address: of the server, as in `http://127.0.0.1:8880`.
        texts: what is asked for.
        clients: at once.
        seconds: for so long.
        voice: that is asked for, empty for the default.
        token: that the server asks for, empty for none.
    """

    address: str
    texts: Sequence[str]
    clients: int = 50
    seconds: float = 60.0
    voice: str = ""
    token: str = ""


def texts_of(path: Path | None) -> list[str]:
    """Return the lines of a file of texts, without blank ones; 50 made-up texts where none is named."""
    if path is None:
        return made_up_texts(_TEXTS)
    return [line.strip() for line in read_text_file(path).splitlines() if line.strip()]


def made_up_texts(count: int) -> list[str]:
    """Return texts of 4 to 22 words, always the same."""
    draw, words = random.Random(0), _TEXT.split()
    lengths = [draw.randint(4, 22) for _ in range(count)]
    begins = [draw.randrange(len(words) - length) for length in lengths]
    return [f"{' '.join(words[begin : begin + length])}." for begin, length in zip(begins, lengths, strict=True)]


@dataclass
class _Outcome:
    """Answers to all clients together."""

    answers: Counter[str] = field(default_factory=Counter)
    speech_s: float = 0.0
    difference: float = 0.0
    waited_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def measure_server(plan: LoadPlan) -> Section:
    """Return what a server answers to many clients, beside what it answers to one before and after.

    A fifth of the requests are hung up on, a tenth are rubbish; formats are mixed. Each WAV file is compared with the
    one that the server answered alone.

    Raises:
        ServerError: the server cannot be reached, or refuses a text.
    """
    server = _Server(plan)
    alone = {text: server.wav(text) for text in plan.texts}
    before = server.speed_of_one(alone)
    outcome, ends_at = _Outcome(), time.monotonic() + plan.seconds
    clients = [
        threading.Thread(target=server.ask_until, args=(ends_at, alone, outcome, random.Random(number)))
        for number in range(plan.clients)
    ]
    for client in clients:
        client.start()
    began = time.monotonic()
    time.sleep(min(_WARM_UP_S, plan.seconds))
    early_mib = server.resident_mib()
    for client in clients:
        client.join()
    served = outcome.speech_s / (time.monotonic() - began)
    late_mib = server.resident_mib()
    one = (before + server.speed_of_one(alone)) / 2
    p50, p95 = np.percentile(outcome.waited_s, [50, 95]) if outcome.waited_s else (float("nan"),) * 2
    row = {
        "clients": plan.clients,
        "speech s/s": round(served, 2),
        "one client": round(one, 2),
        "share": round(served / one, 2),
        "answers": ", ".join(f"{count} {answer}" for answer, count in sorted(outcome.answers.items())),
        "wait p50 s": round(p50, 2),
        "p95 s": round(p95, 2),
        "WAV difference": f"{outcome.difference:.1g}",
        f"MiB after {_WARM_UP_S:g} s": early_mib,
        "at the end": late_mib,
    }
    note = (
        f"{plan.seconds:g} s; {_HANG_UP:.0%} of the requests hung up, {_SEND_RUBBISH:.0%} rubbish; whole answers in "
        f"{', '.join(_FORMATS)}; one client before and after"
    )
    return Section(f"server {plan.address}", note, [row])


class _Server:
    """Requests to a server, each on a connection of its own."""

    def __init__(self, plan: LoadPlan) -> None:
        parts = urlsplit(plan.address)
        if parts.scheme != "http" or not parts.hostname:
            raise ServerError(f"{plan.address}: expected an address such as http://127.0.0.1:8880")
        self._address, self._place = plan.address, (parts.hostname, parts.port or 80)
        self._voice = {"voice": plan.voice} if plan.voice else {}
        self._headers = {"Authorization": f"Bearer {plan.token}"} if plan.token else {}

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
        """Return status, Retry-After and content of an answer."""
        connection = http.client.HTTPConnection(*self._place, timeout=120)
        try:
            connection.request(method, path, body, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Retry-After", "1"), answer.read()
        finally:
            connection.close()

    def wav(self, text: str) -> tuple[np.ndarray, int]:
        """Return the samples of a text, and their rate."""
        try:
            status, _, content = self.request("POST", _PATH, self._body(text, "wav"))
        except OSError as error:
            raise ServerError(f"{self._address}: cannot be reached: {error}; bins.serve starts a server") from None
        if status != 200:
            raise ServerError(
                f"{self._address}: answers {status} to {text!r}: {content[:300].decode(errors='replace')}"
            )
        return _samples(content)

    def speed_of_one(self, alone: Mapping[str, tuple[np.ndarray, int]]) -> float:
        """Return seconds of speech per second for one client that asks for one text after the other."""
        outcome, began = _Outcome(), time.monotonic()
        self.ask_until(began + _ALONE_S, alone, outcome, random.Random(0), is_kind=True)
        return outcome.speech_s / (time.monotonic() - began)

    def ask_until(
        self,
        ends_at: float,
        alone: Mapping[str, tuple[np.ndarray, int]],
        outcome: _Outcome,
        draw: random.Random,
        *,
        is_kind: bool = False,
    ) -> None:
        """Send requests until a time, and add what comes of them to the outcome."""
        texts = list(alone)
        while time.monotonic() < ends_at:
            text, kind = draw.choice(texts), 1.0 if is_kind else draw.random()
            try:
                if kind < _HANG_UP:
                    self._hang_up(text, draw)
                    answer = "hung up"
                elif kind < _HANG_UP + _SEND_RUBBISH:
                    answer = str(self.request("POST", _PATH, draw.choice(_RUBBISH))[0])
                else:
                    answer = self._ask(text, draw.choice(_FORMATS), alone[text], outcome)
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
            with outcome.lock:
                outcome.answers[answer] += 1

    def _ask(self, text: str, audio_format: str, alone: tuple[np.ndarray, int], outcome: _Outcome) -> str:
        began = time.monotonic()
        status, retry_after, content = self.request("POST", _PATH, self._body(text, audio_format))
        if status == 429:
            time.sleep(float(retry_after) / 2)
        if status == 200:
            samples, rate = alone
            found = _samples(content)[0] if audio_format == "wav" else samples
            differs = float(np.abs(found - samples).max()) if found.shape == samples.shape else float("inf")
            with outcome.lock:
                outcome.speech_s += len(samples) / rate
                outcome.waited_s.append(time.monotonic() - began)
                outcome.difference = max(outcome.difference, differs)
        return str(status)

    def _hang_up(self, text: str, draw: random.Random) -> None:
        body = self._body(text, draw.choice(_FORMATS))
        lines = [f"POST {_PATH} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        with socket.create_connection(self._place) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            time.sleep(draw.random())

    def _body(self, text: str, audio_format: str) -> bytes:
        return json.dumps({"input": text, "response_format": audio_format, **self._voice}).encode()

    def resident_mib(self) -> int | str:
        """Return the server's memory, as its metrics state it."""
        try:
            found = _RESIDENT.search(self.request("GET", "/metrics")[2].decode())
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self._address}: no longer answers: {error}") from None
        mib = round(float(found[1]) / 2**20) if found else 0
        return mib or "unknown"


def _samples(content: bytes) -> tuple[np.ndarray, int]:
    """Return the samples of a WAV file, and their rate."""
    with wave.open(io.BytesIO(content)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.astype(np.float32) / 2**15, file.getframerate()
