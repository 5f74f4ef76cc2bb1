"""A server of speech: its answers, its limits, and its end."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import os
import shutil
import socket
import threading
import time
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import openai
import pytest
import soundfile
import torch

from models.benchmarks.server_load import LoadPlan, ServerError, measure_server
from models.inference.symbol_prosody import SynthesisError
from models.inference.synthesizer import Synthesizer
from models.serving.app import AppOptions
from models.serving.shared_synthesizer import SharedSynthesizer
from models.serving.speech_queue import QueueFullError, ShuttingDownError, SpeechQueue, TimeLimitError
from models.serving.voices import UnknownVoiceError, Voices, VoiceUnavailableError
from tests.support.many_threads import TEXTS, by_threads
from tests.support.speech_server import PATH, ask, serving, two_voices
from utils.errors import RecitalError
from utils.precision import why_not


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return two_voices(tmp_path_factory.mktemp("voices"))


def is_idle(queue, within_s=20):
    ends_at = time.monotonic() + within_s
    while (queue.state.running or queue.state.waiting) and time.monotonic() < ends_at:
        time.sleep(0.01)
    return queue.state.running == queue.state.waiting == 0


def has_no_tasks(server, within_s=20):
    ends_at = time.monotonic() + within_s
    while server.server_state.tasks and time.monotonic() < ends_at:
        time.sleep(0.01)
    return not server.server_state.tasks


def samples(content):
    return soundfile.read(io.BytesIO(content), dtype="float32")


def test_each_format_holds_the_speech_of_the_text(folder):
    alone = Synthesizer.open(folder / "anna")("Hello there.").waveform
    with serving(folder) as (port, *_):
        for name, kind in (("wav", "wav"), ("flac", "flac"), ("mp3", "mpeg"), ("opus", "ogg")):
            answer, content = ask(port, {"input": "Hello there.", "voice": "anna", "response_format": name})
            assert (answer.status, answer.getheader("Content-Type")) == (200, f"audio/{kind}")
            found, rate = samples(content)
            assert rate == (24_000 if name == "opus" else 16_000)
            assert len(found) / rate == pytest.approx(len(alone) / 16_000, abs=0.15)
            if name in ("wav", "flac"):
                np.testing.assert_allclose(found, alone, atol=1e-3)
        answer, content = ask(port, {"input": "Hello there.", "voice": "anna", "response_format": "pcm"})
        assert len(content) == pytest.approx(2 * len(alone) * 24_000 / 16_000, abs=4)
        streamed = {"input": "Hello there.", "voice": "anna", "response_format": "wav", "stream_format": "audio"}
        found, _ = samples(ask(port, streamed)[1])
        np.testing.assert_allclose(found, alone, atol=1e-3)
        _, content = ask(port, streamed | {"stream_format": "sse"})
        events = [json.loads(line.removeprefix("data: ")) for line in content.decode().split("\n\n") if line]
        found, _ = samples(b"".join(base64.b64decode(each["audio"]) for each in events[:-1]))
        np.testing.assert_allclose(found, alone, atol=1e-3)
        assert events[-1]["type"] == "speech.audio.done"


def test_captions_state_when_each_word_is_spoken(folder):
    text = "Hello there, world. How are you?"
    speech = Synthesizer.open(folder / "anna")(text)
    expected = [(each.label, each.start_s, each.end_s) for each in speech.alignment.words if each.label]
    with serving(folder) as (port, *_):
        answer, content = ask(port, {"input": text, "voice": "anna", "response_format": "wav"}, f"{PATH}/captioned")
    lines = [json.loads(line) for line in content.splitlines()]
    words = [each for line in lines for each in line["timestamps"]]
    assert answer.status == 200
    assert [each["word"] for each in words] == [word for word, _, _ in expected]
    assert [each["start_time"] for each in words] == pytest.approx([start for _, start, _ in expected], abs=1e-3)
    length = sum(len(samples(base64.b64decode(line["audio"]))[0]) for line in lines)
    assert length == len(speech.waveform)


def test_captions_have_the_times_that_are_asked_for_and_refuse_changes_of_the_whole(folder):
    text = "<speak>It costs $5, Dr. Who. <mark name='here'/>Do you agree with that?</speak>"
    times = Synthesizer.open(folder / "anna")(text).times
    request = {"input": text, "voice": "anna", "response_format": "wav"}
    with serving(folder) as (port, *_):
        path = f"{PATH}/captioned"
        _, content = ask(port, request | {"times": ["words", "phones", "visemes", "marks", "captions"]}, path)
        for further, message in (
            ({"times": ["pictures"]}, "times.0"),
            ({"prosody": {"fade_out_ms": 9}}, "neither peak-normalized nor faded out"),
            ({"prosody": {"peak_normalize": True}}, "neither peak-normalized nor faded out"),
        ):
            answer, refused = ask(port, request | further, path)
            assert answer.status == 400 and message in json.loads(refused)["error"]["message"]
        answer, refused = ask(port, request | {"times": ["words"]})
        assert answer.status == 400 and "ask /v1/audio/speech/captioned" in json.loads(refused)["error"]["message"]
    lines = [json.loads(line) for line in content.splitlines()]
    found = {name: [each for line in lines for each in line[name]] for name in ("words", "phones", "marks")}
    for name, values in times.as_json("words", "phones", "marks").items():
        for each, expected in zip(found[name], values, strict=True):
            assert each == {
                key: pytest.approx(value, abs=2e-6) if isinstance(value, float) else value
                for key, value in expected.items()
            }
    assert [each["text"] for line in lines for each in line["captions"]] == [
        "It costs $5, Dr. Who.",
        "Do you agree with that?",
    ]
    visemes = [each for line in lines for each in line["visemes"]]
    assert visemes[-1]["end"] == pytest.approx(times.end_s, abs=2e-6)


def test_details_hold_the_speech_with_its_words_phones_pitch_and_mel(folder):
    text = "Hello there, world. How are you?"
    speech = Synthesizer.open(folder / "anna")(text)
    request = {"input": text, "voice": "anna"}
    with serving(folder) as (port, *_):
        answer, content = ask(port, request, f"{PATH}/details")
        up = {"words": [{"index": 5, "phones": [{"index": 1, "pitch_shift_semitones": 2}]}]}
        _, changed = ask(port, request | {"prosody": up}, f"{PATH}/details")
        for refused in ({"words": 1}, {"fade_out_ms": 9}):
            assert ask(port, request | {"prosody": refused}, f"{PATH}/details")[0].status == 400
    assert (answer.status, answer.getheader("Content-Type")) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in content.splitlines()]
    audio = np.concatenate([samples(base64.b64decode(line["audio"]))[0] for line in lines])
    np.testing.assert_allclose(audio, speech.waveform, atol=1e-3)
    assert lines[-1]["start"] + lines[-1]["duration"] == pytest.approx(speech.duration_s, abs=1e-3)
    words, phones = ([each for line in lines for each in line[tier]] for tier in ("words", "phones"))
    for found, label, tier in ((words, "word", speech.alignment.words), (phones, "phone", speech.alignment.phones)):
        expected = [each for each in tier if each.label]
        assert [each[label] for each in found] == [each.label for each in expected]
        assert [each["start"] for each in found] == pytest.approx([each.start_s for each in expected], abs=1e-3)
        assert [each["end"] for each in found] == pytest.approx([each.end_s for each in expected], abs=1e-3)
    assert [each["index"] for each in words] == list(range(6))
    assert [(each["word"], each["index"], each["voiced"]) for each in phones[:2]] == [(0, 0, False), (0, 1, True)]
    mels = [line["mel"] for line in lines]
    values = [np.frombuffer(base64.b64decode(each["values"]), np.uint8) for each in mels]
    found = np.concatenate(
        [
            (mel["min"] + each / 255 * (mel["max"] - mel["min"])).reshape(mel["n_frames"], mel["n_mel"])
            for each, mel in zip(values, mels, strict=True)
        ]
    )
    np.testing.assert_allclose(found.T, speech.mel, atol=np.ptp(speech.mel) / 500)
    raised = [each for line in map(json.loads, changed.splitlines()) for each in line["phones"]]
    semitones = [12 * np.log2(b["f0_hz"] / a["f0_hz"]) for a, b in zip(phones, raised, strict=True)]
    assert semitones == pytest.approx([2.0 * ((each["word"], each["index"]) == (5, 1)) for each in phones], abs=0.01)


def test_voices_are_found_by_name_alias_and_speaker(folder):
    with serving(folder) as (port, *_):
        _, anna = ask(port, {"input": "One.", "voice": "anna", "response_format": "wav"})
        _, nova = ask(port, {"input": "One.", "voice": "nova", "response_format": "wav"})
        assert nova == anna  # OpenAI's names mean the first voice
        _, cleo = ask(port, {"input": "One.", "voice": "two/cleo", "response_format": "wav"})
        answer, alias = ask(port, {"input": "One.", "voice": {"id": "alloy/cleo"}, "response_format": "wav"})
        assert answer.status == 200
        assert alias == cleo != anna
        answer, content = ask(port, {"input": "One.", "voice": "two"})
        assert answer.status == 400
        assert "ben, cleo" in json.loads(content)["error"]["message"]
        listed = json.loads(ask(port, None, "/v1/audio/voices", "GET")[1])["voices"]
        assert {each["id"]: each["speakers"] for each in listed} == {"anna": ["anna"], "two": ["ben", "cleo"]}
        assert "alloy" in next(each["aliases"] for each in listed if each["id"] == "two")
        models = json.loads(ask(port, None, "/v1/models", "GET")[1])["data"]
        assert "tts-1" in {each["id"] for each in models}


def test_speed_and_prosody_change_the_speech(folder):
    with serving(folder) as (port, *_):
        request = {"input": "Hello there, world.", "voice": "anna", "response_format": "wav"}
        plain, _ = samples(ask(port, request)[1])
        slow, _ = samples(ask(port, request | {"speed": 0.5})[1])
        slow_too, _ = samples(ask(port, request | {"prosody": {"pace": 0.5}})[1])
        louder, _ = samples(ask(port, request | {"prosody": {"energy_db": 6}})[1])
        normalized, _ = samples(ask(port, request | {"prosody": {"peak_normalize": True}})[1])
        answer, _ = ask(port, request | {"prosody": {"words": [{"index": 99}]}})
    assert len(slow) == pytest.approx(2 * len(plain), rel=0.1)
    np.testing.assert_array_equal(slow, slow_too)
    assert np.abs(louder).mean() > 1.2 * np.abs(plain).mean()
    assert np.abs(normalized).max() == pytest.approx(1, abs=1e-3)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "status", "field", "message"),
    [
        (b"speak", 400, None, "not JSON"),
        (b"[" * 100_000, 400, None, "not JSON"),
        (b'"text"', 400, None, "not a JSON object"),
        ({}, 400, "input", "required"),
        ({"input": "  \n"}, 400, "input", "empty"),
        ({"input": "?!", "voice": "anna"}, 400, None, "nothing to synthesize"),
        ({"input": "a" * 4097}, 400, "input", "at most 4,096"),
        ({"input": "Hello.", "voice": "nobody"}, 404, None, "known: anna, two"),
        ({"input": "Hello.", "voice": "../anna"}, 404, None, "unknown"),
        ({"input": "Hello.", "voice": "anna/../two"}, 400, None, "unknown"),
        ({"input": "Hello.", "voice": "anna", "language": "/etc/passwd"}, 400, None, "/etc/passwd"),
        ({"input": "Hello.", "model": "/etc/passwd"}, 400, "model", "known: recital"),
        ({"input": "Hello.", "speed": 0}, 400, "speed", "0.25"),
        (b'{"input": "Hello.", "speed": NaN}', 400, "speed", "finite"),
        ({"input": "Hello.", "response_format": "aac"}, 400, "response_format", "aac is not available"),
        ({"input": "Hello.", "response_format": "exe"}, 400, "response_format", "known: wav"),
        ({"input": "Hello.", "lexicon": "/etc/passwd"}, 400, "lexicon", "should be a valid dictionary"),
        ({"input": "Hello.", "voice": "anna", "prosody": {"prosody_from": "/etc/passwd"}}, 400, None, "prosody_from"),
        (
            {"input": "Hello.", "voice": "anna", "prosody": {"pitch_function": "/tmp/x.py:f"}},
            400,
            None,
            "pitch_function",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(shared_server, body, status, field, message):
    answer, content = ask(shared_server[0], body)
    error = json.loads(content)["error"]
    assert (answer.status, error["param"]) == (status, field), error
    assert message in error["message"]
    assert is_idle(shared_server[2])


@pytest.fixture(scope="module")
def shared_server(folder):
    with serving(folder) as found:
        yield found


def test_a_body_beyond_any_text_is_not_read(shared_server):
    port = shared_server[0]
    answer, content = ask(port, b"x" * 10_000_000)
    assert answer.status == 413
    assert "at most" in json.loads(content)["error"]["message"]
    assert ask(port, {"input": "Hello.", "voice": "anna"})[0].status == 200


def test_unknown_paths_and_methods_are_answered_in_the_same_shape(shared_server):
    port = shared_server[0]
    for method, path, status in (("GET", "/nothing", 404), ("GET", PATH, 405), ("GET", "/../../etc/passwd", 404)):
        answer, content = ask(port, None, path, method)
        assert answer.status == status
        assert json.loads(content)["error"]["message"]


def test_instructions_are_answered_by_a_notice(shared_server):
    answer, _ = ask(shared_server[0], {"input": "Hello.", "voice": "anna", "instructions": "Whisper."})
    assert answer.status == 200
    assert "not followed" in answer.getheader("X-Recital-Notice")


def test_a_token_is_asked_for_where_there_is_one(folder):
    with serving(folder, AppOptions(token="secret")) as (port, *_):
        assert ask(port, {"input": "Hello."})[0].status == 401
        assert ask(port, {"input": "Hello."}, headers={"Authorization": "Bearer wrong"})[0].status == 401
        headers = {"Authorization": "Bearer secret"}
        assert ask(port, {"input": "Hello.", "voice": "anna"}, headers=headers)[0].status == 200
        assert ask(port, None, "/health", "GET")[0].status == 200


def test_openais_own_client_is_answered(folder):
    with serving(folder) as (port, *_):
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        answer = client.audio.speech.create(model="tts-1", voice="nova", input="Hello there.", response_format="wav")
        found, rate = samples(answer.content)
        assert rate == 16_000
        assert len(found) > 1000
        streamed = client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="anna", input="Hello there.", response_format="pcm", speed=1.25
        )
        with streamed as pieces:
            assert sum(map(len, pieces.iter_bytes())) == pytest.approx(len(found) * 2 * 1.5 / 1.25, rel=0.1)
        with pytest.raises(openai.NotFoundError, match="known: anna, two"):
            client.audio.speech.create(model="tts-1", voice="nobody", input="Hello.")
        assert {"recital", "tts-1"} <= {model.id for model in client.models.list()}


def test_other_origins_are_refused_unless_allowed(folder):
    headers = {"Origin": "https://example.org"}
    with serving(folder) as (port, *_):
        assert ask(port, None, "/health", "GET", headers)[0].getheader("Access-Control-Allow-Origin") is None
    with serving(folder, AppOptions(allowed_origins=("https://example.org",))) as (port, *_):
        allowed = ask(port, None, "/health", "GET", headers)[0].getheader("Access-Control-Allow-Origin")
        assert allowed == "https://example.org"


def test_metrics_count_answers_and_speech(folder):
    with serving(folder) as (port, *_):
        _, content = ask(port, {"input": "Hello there.", "voice": "anna", "response_format": "wav"})
        ask(port, {"input": "Hello.", "voice": "nobody"})
        text = ask(port, None, "/metrics", "GET")[1].decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values[f'recital_requests_total{{path="{PATH}",status="200"}}'] == "1"
    assert values[f'recital_requests_total{{path="{PATH}",status="404"}}'] == "1"
    assert float(values["recital_speech_seconds_total"]) == pytest.approx(len(samples(content)[0]) / 16_000, abs=1e-3)
    assert values["recital_first_sound_seconds_count"] == "1"
    assert values["recital_voices_open"] == "1"


@pytest.mark.slow
def test_the_load_of_many_clients_is_measured_beside_one(folder, monkeypatch):
    monkeypatch.setattr("models.benchmarks.server_load._ALONE_S", 0.3)
    texts = ("Hello.", "How are you?")
    with serving(folder, AppOptions(token="secret"), max_waiting=1) as (port, *_):
        plan = LoadPlan(f"http://127.0.0.1:{port}", texts, clients=6, seconds=1.0, voice="anna", token="secret")
        [row] = measure_server(plan).rows
        with pytest.raises(ServerError, match="answers 401"):
            measure_server(replace(plan, token=""))
    assert row["WAV difference"] == "0" and row["share"] > 0
    answers = {answer: int(count) for count, answer in (each.split(" ", 1) for each in row["answers"].split(", "))}
    assert answers["200"] > 0 and answers["429"] > 0 and set(answers) <= {"200", "400", "404", "429", "hung up"}
    assert row["at the end"] > 50
    with pytest.raises(ServerError, match="cannot be reached"):
        measure_server(plan)
    with pytest.raises(ServerError, match="expected an address"):
        measure_server(replace(plan, address="127.0.0.1:1"))


@pytest.fixture
def held(monkeypatch):
    """Streams of speech that begin, and wait: events that they have begun, and that they may go on."""
    begun, go_on = threading.Event(), threading.Event()
    stream = SharedSynthesizer.stream

    def slow(self, *arguments, **options):
        begun.set()
        assert go_on.wait(30)
        return stream(self, *arguments, **options)

    monkeypatch.setattr(SharedSynthesizer, "stream", slow)
    return begun, go_on


def test_a_full_queue_answers_that_it_is_and_when_to_come_again(folder, held):
    begun, go_on = held
    with serving(folder, n_threads=1, max_waiting=1) as (port, _, queue, _):
        request, answers = {"input": "Hello.", "voice": "anna"}, []
        threads = [threading.Thread(target=lambda: answers.append(ask(port, request)[0].status)) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        while queue.state.waiting < 1:
            time.sleep(0.01)
        answer, content = ask(port, request)
        assert answer.status == 429
        assert int(answer.getheader("Retry-After")) >= 1
        assert json.loads(content)["error"]["type"] == "rate_limit_error"
        go_on.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]


def begin(port, request):
    """Return a connection that has sent a request, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    body = json.dumps(request).encode()
    client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def test_a_client_that_hangs_up_frees_the_work(folder, monkeypatch):
    pieces, begun = [], threading.Event()

    def endless(self, *_arguments, **_options):
        while True:
            pieces.append(0)
            begun.set()
            time.sleep(0.01)
            yield np.zeros(1600, np.float32)

    monkeypatch.setattr(SharedSynthesizer, "stream", endless)
    with serving(folder, n_threads=1) as (port, _, queue, _):
        for response_format in ("wav", "pcm"):  # one that is sent whole, one that is streamed
            begun.clear()
            client = begin(port, {"input": "Hello.", "voice": "anna", "response_format": response_format})
            assert begun.wait(30)
            client.close()
            assert is_idle(queue)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="of Linux")
def test_a_client_that_reads_nothing_holds_no_thread_and_is_given_up(folder, monkeypatch):
    monkeypatch.setattr("models.serving.run._UNREAD_TIMEOUT_S", 1.0)
    monkeypatch.setattr(SharedSynthesizer, "stream", lambda *_, **__: iter([np.ones(2_000_000, np.float32)] * 5))
    request = {"input": "Hello.", "voice": "anna", "response_format": "pcm"}
    with serving(folder, n_threads=1) as (port, _, queue, server), begin(port, request) as silent:
        assert silent.recv(1)
        assert is_idle(queue)
        assert has_no_tasks(server)


HALF_A_HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n".encode()


def test_half_a_request_is_answered_and_a_silent_connection_closed(folder):
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    with serving(folder, AppOptions(arrival_s=0.3)) as (port, _, queue, server):
        clients = silent, later, head, body = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(4)]
        head.sendall(HALF_A_HEAD)
        body.sendall(HALF_A_HEAD + b"\r\n{")
        later.sendall(health + b"\r\n")
        assert b" 200 " in later.recv(1000)
        time.sleep(0.4)  # a connection may wait for its next request longer than for the rest of one
        later.sendall(health)
        for client in (head, body, later):
            answer = b"".join(iter(lambda client=client: client.recv(1000), b""))
            assert b" 408 " in answer and b"did not arrive within 0.3 seconds" in answer
        assert silent.recv(1) == b""
        assert is_idle(queue) and has_no_tasks(server) and not server.server_state.connections
        for client in clients:
            client.close()


def test_half_a_request_does_not_delay_the_end(folder):
    with serving(folder) as (port, *_):
        nothing, half_a_head = (socket.create_connection(("127.0.0.1", port), 20) for _ in range(2))
        half_a_head.sendall(HALF_A_HEAD)
        assert ask(port, None, "/health", "GET")[0].status == 200  # after both were accepted
    assert nothing.recv(1) == half_a_head.recv(1) == b""
    for client in (nothing, half_a_head):
        client.close()


def test_a_request_that_takes_too_long_is_ended(folder, monkeypatch, capfd):
    def endless(self, *_arguments, **_options):
        while True:
            time.sleep(0.02)
            yield np.zeros(1600, np.float32)

    monkeypatch.setattr(SharedSynthesizer, "stream", endless)
    with serving(folder, time_limit_s=0.3) as (port, _, queue, _):
        answer, content = ask(port, {"input": "Hello.", "voice": "anna", "response_format": "wav"})
        assert answer.status == 504
        assert "time limit" in json.loads(content)["error"]["message"]
        with pytest.raises(http.client.IncompleteRead):  # the status was sent with the first piece
            ask(port, {"input": "Hello.", "voice": "anna", "response_format": "pcm"})
        assert is_idle(queue)
    output = "".join(capfd.readouterr())
    assert f"{PATH}: ended before it was complete: the request took longer" in output and "Traceback" not in output


def test_what_runs_is_finished_at_the_end_and_what_comes_is_refused(folder, held):
    begun, go_on = held
    with serving(folder) as (port, _, queue, server):
        answers = []
        request = {"input": "Hello.", "voice": "anna", "response_format": "wav"}
        waiting = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        waiting.connect()  # its connection is there before the end, its request comes after
        thread = threading.Thread(target=lambda: answers.append(ask(port, request)))
        thread.start()
        assert begun.wait(30)
        server.handle_exit(15, None)
        with pytest.raises(ShuttingDownError):
            asyncio.run(anext(queue.run(lambda: iter([b""]))))
        go_on.set()
        thread.join()
        waiting.close()
        assert answers[0][0].status == 200
        assert len(samples(answers[0][1])[0])


def test_a_voice_without_files_is_refused_until_they_are_back_and_a_new_one_is_opened_again(folder, tmp_path):
    place = tmp_path / "anna"
    shutil.copytree(folder / "anna", place)
    voices = Voices({"anna": place}, {}, SharedSynthesizer.open)
    first = voices.open("anna")
    assert voices.open("anna") is first
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(VoiceUnavailableError, match="not available at present"):
        voices.open("anna")
    (tmp_path / "elsewhere").rename(place)
    second = voices.open("anna")
    assert second is not first
    (place / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(VoiceUnavailableError) as refused:
        voices.open("nova")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("is_experiment", [False, True])
def test_what_is_written_beside_a_voice_does_not_open_it_again(folder, tmp_path, is_experiment):
    place = tmp_path / "anna"
    bundle = place / "bundle" if is_experiment else place
    shutil.copytree(folder / "anna", bundle)
    voices = Voices({"anna": place}, {}, SharedSynthesizer.open)
    (place / "result").mkdir()
    first = voices.open("anna")
    (place / "result" / "hello.wav").write_bytes(b"sound")
    if is_experiment:
        (place / "logbook.jsonl").write_text("{}\n")
    assert voices.open("anna") is first
    (bundle / "speakers.json").touch()
    os.utime(bundle / "speakers.json", (0, 0))
    assert voices.open("anna") is not first


def test_the_voice_used_least_recently_is_closed(folder):
    places = {"a": folder / "anna", "b": folder / "two", "c": folder / "anna"}
    voices = Voices(places, {}, SharedSynthesizer.open, max_open=2)
    first = voices.open("a")
    for name in ("b", "a", "c"):
        voices.open(name)
    assert voices.open_names == ("a", "c")
    assert voices.open("a") is first
    with pytest.raises(UnknownVoiceError, match="known: a, b, c"):
        voices.open("d")
    with pytest.raises(RecitalError, match="no voice d"):
        Voices(places, {"x": "d"}, SharedSynthesizer.open)


def test_texts_of_many_threads_share_batches_and_sound_as_they_do_alone(folder, monkeypatch):
    alone = Synthesizer.open(folder / "anna", precision="fp32")
    shared = SharedSynthesizer.open(folder / "anna", precision="fp32")
    sizes, texts = [], [text for language, text in TEXTS[:24] if language == "en"]
    predict_batch = Synthesizer._predict_batch

    def counted(self, chunks):
        sizes.append(len(chunks))
        time.sleep(0.05)  # others come meanwhile
        return predict_batch(self, chunks)

    monkeypatch.setattr(Synthesizer, "_predict_batch", counted)
    for found, text in zip(by_threads(shared.generate_spectrogram, texts), texts, strict=True):
        np.testing.assert_allclose(found, alone.generate_spectrogram(text), atol=1e-4)
    assert max(sizes) > 1


@pytest.mark.skipif(bool(why_not("bf16", torch.device("cpu"))), reason="no bf16")
def test_texts_in_bf16_are_computed_one_by_one_since_their_rounding_depends_on_the_batch(folder):
    alone, shared = (cls.open(folder / "anna", precision="bf16") for cls in (Synthesizer, SharedSynthesizer))
    texts = [text for language, text in TEXTS[:8] if language == "en"]
    for found, text in zip(by_threads(shared, texts), texts, strict=True):
        np.testing.assert_array_equal(found.waveform, alone(text).waveform)


def test_a_text_that_fails_fails_alone(folder, monkeypatch):
    shared = SharedSynthesizer.open(folder / "anna", precision="fp32")
    predict_batch = Synthesizer._predict_batch

    def failing(self, chunks):
        time.sleep(0.05)
        if any(plan.text == "Fail." for plan, _ in chunks):
            raise SynthesisError("failed")
        return predict_batch(self, chunks)

    def speak(text):
        try:
            return len(shared(text).waveform)
        except SynthesisError:
            return None

    monkeypatch.setattr(Synthesizer, "_predict_batch", failing)
    lengths = by_threads(speak, ["One.", "Fail.", "Two.", "Three."])
    assert lengths[1] is None
    assert all(lengths[:1] + lengths[2:])


def test_a_request_that_is_given_up_while_it_waits_leaves_its_place():
    async def main():
        queue = SpeechQueue(1, 1, 30.0)
        go_on, spoken = threading.Event(), []

        def wait():
            yield 1
            go_on.wait(30)

        def speak():
            spoken.append(0)
            yield 1

        async with aclosing(queue.run(wait)) as running:
            assert await anext(running) == 1
            given_up = asyncio.ensure_future(anext(queue.run(speak)))
            await asyncio.sleep(0.05)
            assert queue.state.waiting == 1
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert queue.state.waiting == 0
            waiting = asyncio.ensure_future(anext(queue.run(speak)))
            await asyncio.sleep(0.05)
            go_on.set()
            assert await waiting == 1
        assert len(spoken) == 1
        assert await asyncio.to_thread(is_idle, queue)
        queue.close()

    asyncio.run(main())


def test_a_queue_says_when_it_is_full_and_ends_what_takes_too_long():
    async def main():
        queue = SpeechQueue(1, 0, 5.0)
        go_on = threading.Event()

        def wait():
            yield 1
            go_on.wait(30)
            yield 2

        async with aclosing(queue.run(wait)) as running:
            assert await anext(running) == 1
            with pytest.raises(QueueFullError) as full:
                await anext(queue.run(wait))
            assert full.value.retry_after_s >= 1
            go_on.set()
            assert await anext(running) == 2
        with pytest.raises(TimeLimitError):
            await anext(SpeechQueue(1, 0, -1.0).run(wait))
        queue.close()

    asyncio.run(main())


def test_markup_and_lexicon_are_followed_as_their_fields_state(folder):
    marked = {"input": "<speak>Hello <break time='1s'/> there.</speak>", "voice": "anna", "response_format": "wav"}
    with serving(folder) as (port, *_):
        found, _ = samples(ask(port, marked)[1])
        answer, content = ask(port, marked | {"input": "Hello <break/> there."})
        refused, unknown = ask(port, marked | {"markup": "yes"})
        literal, _ = ask(port, marked | {"input": "x < y", "markup": "none"})
        own, _ = samples(ask(port, marked | {"input": "Red.", "lexicon": {"red": '"blue sky"'}})[1])
        lacking, content_of_lacking = ask(port, marked | {"input": "Red.", "lexicon": {"red": "QQ"}})
    np.testing.assert_allclose(found, Synthesizer.open(folder / "anna")(marked["input"]).waveform, atol=1e-3)
    assert answer.status == 400 and "line 1, column 7" in json.loads(content)["error"]["message"]
    assert refused.status == 400 and json.loads(unknown)["error"]["param"] == "markup" and literal.status == 200
    plain = Synthesizer.open(folder / "anna")("Red.", lexicon={"red": '"blue sky"'})
    assert len(own) == len(plain.waveform)
    assert lacking.status == 400 and "lexicon: red: phone 'QQ'" in json.loads(content_of_lacking)["error"]["message"]
