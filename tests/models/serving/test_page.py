"""The page of a server of speech: its files and policy, and a person's way through it in a browser."""

from __future__ import annotations

import io
import json
import re
import shlex
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import soundfile

from config.paths import REPOSITORY
from models.serving.app import AppOptions
from processors.alignment.textgrid import read_textgrid
from tests.support.browser import CONTROL, DELETE, DOWN, RIGHT, SHIFT, UP, WHY_NOT, browser
from tests.support.speech_server import PATH, ask, serving, two_voices

PAGE = REPOSITORY / "models" / "serving" / "page"
DONE = "window.recital.speech?.isWhole && !document.body.classList.contains('updating')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return two_voices(tmp_path_factory.mktemp("voices"))


def test_the_page_is_served_with_a_policy_that_lets_it_call_this_server_alone(folder):
    with serving(folder, AppOptions(token="secret")) as (port, *_):
        answer, content = ask(port, None, "/", "GET")
        policy = answer.getheader("Content-Security-Policy")
        assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
        nonce = re.search(r"'nonce-([\w-]+)'", policy)[1]
        assert f'nonce="{nonce}"'.encode() in content
        assert nonce not in ask(port, None, "/", "GET")[0].getheader("Content-Security-Policy")
        for name, kind in (
            ("page.js", "javascript"),
            ("page.css", "css"),
            ("wavesurfer/wavesurfer.esm.js", "javascript"),
        ):
            answer, found = ask(port, None, f"/page/{name}", "GET")
            assert (answer.status, found) == (200, (PAGE / name).read_bytes())
            assert kind in answer.getheader("Content-Type")
        for name in ("../app.py", "..%2fapp.py", "index.html", "wavesurfer/LICENSE", "/etc/passwd", ""):
            answer, found = ask(port, None, f"/page/{name}", "GET")
            assert (answer.status, b"nothing here" in found) == (404, True), name
        assert ask(port, None, "/v1/audio/voices", "GET")[0].status == 401


def test_the_page_needs_nothing_from_elsewhere():
    for name in ("index.html", "page.js", "page.css"):
        addresses = set(re.findall(r"https?://[^\s\"'`)>]+", (PAGE / name).read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/2001/10/synthesis"}, name
    assert "BSD 3-Clause" in (PAGE / "wavesurfer" / "LICENSE").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def spoken(window, text, voice="anna"):
    window.wait_for("document.getElementById('voice').options.length > 1")
    window.run("document.getElementById('text').value = arguments[0]", text)
    window.run("document.getElementById('voice').value = arguments[0]", voice)
    window.click("#speak")
    window.wait_for(DONE)
    return window.run("return window.recital.speech.phones")


def prosody(window):
    return window.run("return window.recital.request().prosody ?? null")


def wait_for_change(window):
    window.wait_for(f"{DONE} && JSON.stringify(window.recital.speech.edits) === JSON.stringify(window.recital.edits)")


def semitones_of_its_ssml(window, port):
    """How much the pitch of what the page saves as SSML differs at most from what it shows."""
    document = {"input": window.run("return window.recital.ssml()"), "voice": "anna", "markup": "ssml"}
    answer, content = ask(port, document, f"{PATH}/details")
    assert answer.status == 200, content
    found = [each for line in map(json.loads, content.splitlines()) for each in line["phones"] if each["voiced"]]
    shown = [each for each in window.run("return window.recital.speech.phones") if each["voiced"]]
    assert [each["phone"] for each in found] == [each["phone"] for each in shown]
    return max(abs(12 * np.log2(b["f0_hz"] / a["f0_hz"])) for a, b in zip(shown, found, strict=True))


@pytest.mark.slow
def test_the_melody_is_changed_by_hand_and_by_keyboard_undone_and_taken_away(window, folder, tmp_path):
    with serving(folder) as (port, *_):
        window.open(f"http://127.0.0.1:{port}/")
        phones = spoken(window, "Hello 42 worlds. How are you?")
        assert window.run("return window.recital.plays") == 1  # by itself; under load it may be over already
        of_three = "[...document.querySelectorAll('#words > .word > span:first-child')].map(each => each.textContent)"
        assert window.run(f"return {of_three}")[:3] == ["hello", "forty", "two"]
        voiced = next(each for each in phones if each["voiced"])
        node = f".node[data-key='{voiced['word']}:{voiced['index']}']"

        window.drag(node, 0, -40)
        wait_for_change(window)
        shift = prosody(window)["words"][0]["phones"][0]["pitch_shift_semitones"]
        raised = window.run("return window.recital.speech.phones")
        found = next(each for each in raised if (each["word"], each["index"]) == (voiced["word"], voiced["index"]))
        assert shift > 0.5
        assert 12 * np.log2(found["f0_hz"] / voiced["f0_hz"]) == pytest.approx(shift, abs=0.05)

        window.type(UP, UP)
        window.type(UP, held=[SHIFT])
        wait_for_change(window)
        assert prosody(window)["words"][0]["phones"][0]["pitch_shift_semitones"] == pytest.approx(shift + 3)
        value = window.run("return document.activeElement.getAttribute('aria-valuetext')")
        assert "semitones" in value and "Hz" in value
        window.type(RIGHT, DOWN)
        wait_for_change(window)
        assert len(prosody(window)["words"][0]["phones"]) == 2
        window.type(DELETE)
        wait_for_change(window)
        assert len(prosody(window)["words"][0]["phones"]) == 1

        before = window.run("return window.recital.speech.words[4]")
        window.drag(".word[data-index='4'] .grip", 30, 0)
        wait_for_change(window)
        after = window.run("return window.recital.speech.words[4]")
        assert after["end"] - after["start"] > 1.05 * (before["end"] - before["start"])
        window.run("document.querySelector(\".word[data-index='4']\").focus()")
        window.type(UP, UP)
        wait_for_change(window)
        assert prosody(window)["words"][1]["energy_db"] == 2
        window.type("z", held=[CONTROL])
        wait_for_change(window)
        assert "duration" in prosody(window)["words"][1]
        for _ in range(20):
            window.type("z", held=[CONTROL])
        assert prosody(window) is None
        window.type("z", held=[CONTROL, SHIFT])
        wait_for_change(window)
        assert prosody(window)["words"][0]["phones"][0]["pitch_shift_semitones"] == shift

        window.run("document.querySelector(\".word[data-index='1']\").click()")
        for name, value in (("pitch_shift", 2), ("pause", 300)):
            window.run(
                "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                "for (const name of ['input', 'change']) e.dispatchEvent(new Event(name))",
                *(name, value),
            )
            wait_for_change(window)
            if name == "pitch_shift":
                assert semitones_of_its_ssml(window, port) < 0.2
        wav = window.run("return window.recital.wav().arrayBuffer().then(made => [...new Uint8Array(made)])")
        samples, rate = soundfile.read(io.BytesIO(bytes(wav)), dtype="float32")
        command = shlex.split(window.run("return window.recital.curl()").replace("\\\n", ""))
        assert (command[0], command[1]) == ("curl", f"http://127.0.0.1:{port}{PATH}")
        answer, content = ask(port, json.loads(command[command.index("-d") + 1]))
        assert answer.status == 200
        np.testing.assert_allclose(soundfile.read(io.BytesIO(content), dtype="float32")[0], samples, atol=1e-4)
        path = tmp_path / "speech.TextGrid"
        path.write_text(window.run("return window.recital.textGrid()"), encoding="utf-8")
        alignment = read_textgrid(path)
        assert [each.label for each in alignment.words if each.label][:3] == ["hello", "forty", "two"]
        assert alignment.end_s == pytest.approx(len(samples) / rate, abs=1e-3)
        root = ElementTree.fromstring(window.run("return window.recital.ssml()").encode())
        changed = [(each.text, dict(each.attrib)) for each in root if each.tag.endswith("prosody")]
        assert "".join(root.itertext()) == "Hello 42 worlds. How are you?"
        assert changed[0][0] == "Hello" and f"+{shift:g}st" in changed[0][1]["contour"]
        assert changed[1][0] == "42" and set(changed[1][1]) == {"contour"}  # "forty" alone is raised
        assert "+2st" in changed[1][1]["contour"] and "+0st" in changed[1][1]["contour"]
        assert [each for each in window.messages() if "favicon" not in each] == []


@pytest.mark.slow
def test_errors_speakers_and_the_token_are_told_in_the_page(window, folder):
    with serving(folder, AppOptions(token="secret", max_chars=50)) as (port, *_):
        window.open(f"http://127.0.0.1:{port}/")
        window.wait_for("document.getElementById('status').textContent.includes('token is missing')")
        window.run(
            "const e = document.getElementById('token'); e.value = 'secret'; e.dispatchEvent(new Event('change'))"
        )
        spoken(window, "Hello.", "two")  # its speakers are known once it is open
        assert window.run("return window.recital.request().voice") == "two/ben"
        assert "$RECITAL_TOKEN" in window.run("return window.recital.curl()")
        window.run("document.getElementById('text').value = 'a'.repeat(51)")
        window.click("#speak")
        window.wait_for("document.getElementById('status').textContent.includes('at most 50')")
        window.run("sessionStorage.clear()")


@pytest.mark.slow
def test_everything_has_a_name_and_fits_a_phone(window, folder):
    with serving(folder) as (port, *_):
        window.ask("POST", "/window/rect", width=500, height=900)
        window.open(f"http://127.0.0.1:{port}/")
        spoken(window, "Hello there, this is a longer text. How are you?")
        assert window.run("return document.documentElement.scrollWidth <= innerWidth")
        nameless = window.run(
            "return [...document.querySelectorAll('button, input, select, textarea, [role=slider], [role=group]')]"
            ".filter(each => !(each.ariaLabel || each.getAttribute('aria-label') || each.labels?.length"
            " || each.textContent.trim())).map(each => each.outerHTML)"
        )
        assert nameless == []
        assert window.run("return [...document.querySelectorAll('#pitch .node[tabindex=\"0\"]')].length") == 1
        window.ask("POST", "/window/rect", width=1200, height=900)
