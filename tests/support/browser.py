"""Chromium without a window, driven over WebDriver (w3.org/TR/webdriver2) by the standard library alone."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

DRIVER = shutil.which("chromedriver")
BINARY = shutil.which("chromium") or shutil.which("google-chrome")
WHY_NOT = "" if DRIVER and BINARY else "needs chromium and chromedriver (Debian: apt-get install chromium-driver)"
CONTROL, SHIFT, UP, DOWN, LEFT, RIGHT, DELETE = "\ue009", "\ue008", "\ue013", "\ue015", "\ue012", "\ue014", "\ue017"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
)


class Browser:
    """A window of a browser."""

    def __init__(self, port, session):
        self._port, self._session = port, session

    def ask(self, method, path, **body):
        return _ask(self._port, method, f"/session/{self._session}{path}", body)

    def open(self, url):
        self.ask("POST", "/url", url=url)

    def run(self, script, *arguments):
        """The value that the body of a function returns in the page."""
        return self.ask("POST", "/execute/sync", script=script, args=list(arguments))

    def wait_for(self, expression, within_s=30):
        """The value of an expression as soon as it is true."""
        ends_at = time.monotonic() + within_s
        while not (value := self.run(f"return {expression}")):
            assert time.monotonic() < ends_at, f"{expression}: {self.run('return document.body.innerText')}"
            time.sleep(0.05)
        return value

    def find(self, selector):
        return self.ask("POST", "/element", using="css selector", value=selector)[_ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click")

    def type(self, *keys, held=()):
        """Press keys, as the focused element gets them."""
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        downs, ups = ([{"type": kind, "value": key} for key in held] for kind in ("keyDown", "keyUp"))
        self.ask("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": [*downs, *presses, *ups]}])

    def drag(self, selector, x, y):
        """Take the middle of an element by so many pixels to the right and down."""
        origin = {_ELEMENT: self.find(selector)}
        actions = [
            {"type": "pointerMove", "origin": origin, "x": 0, "y": 0, "duration": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "origin": "pointer", "x": x // 2, "y": y // 2, "duration": 20},
            {"type": "pointerMove", "origin": "pointer", "x": x - x // 2, "y": y - y // 2, "duration": 20},
            {"type": "pointerUp", "button": 0},
        ]
        self.ask("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": actions}])

    def messages(self):
        """Errors and warnings of the page since the last call."""
        return [each["message"] for each in self.ask("POST", "/se/log", type="browser")]


@contextmanager
def browser(folder, width=1200, height=900):
    """A window of its own, with a profile in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
    session = None
    try:
        _wait_until_ready(port)
        flags = [*_FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"]
        options = {"goog:chromeOptions": {"args": flags, "binary": BINARY}, "goog:loggingPrefs": {"browser": "WARNING"}}
        session = _ask(port, "POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
        yield Browser(port, session)
    finally:
        if session is not None:
            _ask(port, "DELETE", f"/session/{session}", {})
        driver.terminate()
        driver.wait()


def _wait_until_ready(port):
    ends_at = time.monotonic() + 30
    while True:
        try:
            if _ask(port, "GET", "/status", {})["ready"]:
                return
        except OSError:
            assert time.monotonic() < ends_at, "the driver of the browser does not start"
        time.sleep(0.05)


def _ask(port, method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    connection.request(method, path, None if method == "GET" else json.dumps(body))
    value = json.loads(connection.getresponse().read())["value"]
    connection.close()
    assert not (isinstance(value, dict) and "error" in value), value
    return value
