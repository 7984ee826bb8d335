"""What does a page do in a browser, and what does it complain of?"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path


def found():
    """A Chromium of this machine, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    there = [path for path in map(shutil.which, names) if path]
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "~/.cache/ms-playwright")
    there += map(str, Path(folder).expanduser().glob("chromium*/chrome-linux*/chrome"))
    return next(iter(there), None)


FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--enable-unsafe-swiftshader",
    "--window-size=1200,800",
    "--remote-debugging-pipe",
)


class Browser:
    """A headless Chromium, asked in JSON over two pipes, as its protocol says."""

    def __init__(self, program, profile):
        ours, theirs = os.pipe(), os.pipe()
        pipes = f'exec "$0" "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        command = ["bash", "-c", pipes, program, *FLAGS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            [*command, "about:blank"],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.write, self.read = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        self.count, self.rest, self.events, self.session = 0, b"", [], None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.write.close()
        self.read.close()

    def _next(self):
        """The next message of the browser."""
        while b"\0" not in self.rest:
            piece = os.read(self.read.fileno(), 1 << 20)
            assert piece, "the browser has ended"
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, **params):
        """What a method of the protocol answers; what happens meanwhile is kept."""
        self.count += 1
        message = dict(id=self.count, method=method, params=params)
        if self.session:
            message["sessionId"] = self.session
        with contextlib.suppress(ValueError):
            self.write.write(json.dumps(message).encode() + b"\0")
            self.write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def open(self, path):
        """A page in a tab of its own, once it is ready."""
        self.session = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session, self.events = attached["sessionId"], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Page.navigate", url=path.as_uri())
        self.wait("document.body && document.body.dataset.ready === 'true'", 90)

    def value(self, expression):
        """What an expression of JavaScript is; a promise is waited for."""
        more = dict(returnByValue=True, awaitPromise=True)
        answer = self.ask("Runtime.evaluate", expression=expression, **more)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, seconds=30):
        """Until an expression holds."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression}\n{self.complaints()}"
            time.sleep(0.05)

    def mouse(self, kind, x, y, **more):
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, corners):
        """The mouse along some corners, its button held."""
        held = dict(button="left", buttons=1, clickCount=1)
        self.mouse("mousePressed", *corners[0], **held)
        for a, b in zip(corners, corners[1:], strict=False):
            for t in (0.25, 0.5, 0.75, 1):
                at = [u + t * (v - u) for u, v in zip(a, b, strict=True)]
                self.mouse("mouseMoved", *at, button="left", buttons=1)
        self.mouse("mouseReleased", *corners[-1], **held | dict(buttons=0))

    def complaints(self):
        """Exceptions, errors of the console, and what was asked of a network."""
        wrong = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            entry = params.get("entry", {})
            logged = method == "Log.entryAdded" and entry["level"] == "error"
            raised = method == "Runtime.exceptionThrown"
            printed = method == "Runtime.consoleAPICalled" and params["type"] == "error"
            if logged or raised or printed:
                wrong.append(params)
            if method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                wrong += [url] * (not url.startswith(("file:", "data:", "blob:")))
        return wrong

    def screenshot(self):
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])


@contextlib.contextmanager
def browser():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        made = Browser(found(), profile)
        try:
            yield made
        finally:
            made.close()
