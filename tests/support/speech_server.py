"""A server of speech with two tiny voices, in a thread."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import contextmanager

from models.serving.app import AppOptions, make_app
from models.serving.metrics import Metrics
from models.serving.run import ServerProcess, listen
from models.serving.service import SpeechService
from models.serving.shared_synthesizer import SharedSynthesizer
from models.serving.speech_queue import SpeechQueue
from models.serving.voices import Voices
from tests.support.tiny_voice import tiny_bundle

PATH = "/v1/audio/speech"
DEFAULTS = AppOptions()


def two_voices(folder):
    """A folder with `anna`, a voice of one speaker, and `two`, of ben and cleo."""
    tiny_bundle().save(folder / "anna")
    tiny_bundle(speakers=("ben", "cleo")).save(folder / "two")
    return folder


@contextmanager
def serving(folder, options=DEFAULTS, n_threads=2, max_waiting=8, time_limit_s=30.0, max_open=2):
    voices = Voices(
        {"anna": folder / "anna", "two": folder / "two"}, {"alloy": "two"}, SharedSynthesizer.open, max_open=max_open
    )
    queue = SpeechQueue(n_threads, max_waiting, time_limit_s)
    listener = listen("127.0.0.1", 0)
    server = ServerProcess(make_app(SpeechService(voices, queue, Metrics()), options), queue, 20, options.arrival_s)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1], voices, queue, server
    finally:
        server.should_exit = True
        thread.join()
        queue.close()
        listener.close()


def ask(port, body, path=PATH, method="POST", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = body if isinstance(body, bytes | None) else json.dumps(body)
    connection.request(method, path, content, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content
