"""Chromium driven through its DevTools pipe: a page, its text, and what it complains about.

Nothing is needed beside the browser itself. See https://chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60.0
_TEXT = "(document.body?.innerText ?? '')"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en", "--remote-debugging-pipe"),
)


@dataclass
class Page:
    """One tab.

    Attributes:
        complaints: Errors that the page logged, threw, or met when it loaded something.
        requested: Addresses that it asked for.
        dialogs: Texts of alerts and the like, which are dismissed.
    """

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Go to *address*, as if typed; waits for nothing."""
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript *expression*."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression: str, seconds: float = SECONDS) -> Any:
        """Return the value of *expression* as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {expression}\n{self.text()}\n{self.complaints}")
            time.sleep(0.1)
        return value

    def wait_for_text(self, words: str) -> None:
        """Wait until a reader sees *words*."""
        self.wait_for(f"{_TEXT}.includes({json.dumps(words)})")

    def click(self, element: str) -> None:
        """Click on the *element* that a JavaScript expression finds, once it is there."""
        self.wait_for(f"!!({element})")
        middle = "r => [r.x + r.width / 2, r.y + r.height / 2]"
        shown = "e => (e.scrollIntoView({block: 'center'}), e.getBoundingClientRect())"
        x, y = self.evaluate(f"({middle})(({shown})({element}))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def text(self) -> str:
        """Return what a reader sees."""
        return str(self.evaluate(_TEXT))

    def look(self, path: Path, *, width: int = 1500, height: int = 900) -> None:
        """Save a picture of the page."""
        self.size(width, height)
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def size(self, width: int, height: int) -> None:
        """Give the page a size in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def dark(self, on: bool = True) -> None:
        """Prefer dark colours, or light ones."""
        value = "dark" if on else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def before_each_document(self, script: str) -> None:
        """Run *script* in every document before its own scripts."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol for this page."""
        return self.browser.call(method, self.session, parameters)

    def hear(self, method: str, said: Mapping[str, Any]) -> None:
        """Note an event of this page."""
        if method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(
                str(details.get("exception", {}).get("description") or details["text"])
            )
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            words = [str(arg.get("value", arg.get("description", ""))) for arg in said["args"]]
            self.complaints.append(" ".join(words))
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            entry = said["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(said["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(said["message"])
            self.browser.send("Page.handleJavaScriptDialog", self.session, {"accept": False})


class Browser:
    """A Chromium with a fresh profile, ended with :meth:`close`."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_browser, from_us = os.pipe()
        to_us, from_browser = os.pipe()
        # High numbers, so that the shell's redirections to 3 and 4 do not overwrite them.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash"),
                *(PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self._out, self._in = from_us, to_us
        self._number = 0
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def page(self) -> Page:
        """Open a tab."""
        target = self.call("Target.createTarget", "", {"url": "about:blank"})["targetId"]
        how = {"targetId": target, "flatten": True}
        session = self.call("Target.attachToTarget", "", how)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.size(1500, 900)
        return page

    def call(self, method: str, session: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method and return its result."""
        number = self.send(method, session, parameters)
        answer = self._answers[number].get(timeout=SECONDS)
        del self._answers[number]
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def send(self, method: str, session: str, parameters: Mapping[str, Any]) -> int:
        """Call a method without waiting; return the number that its answer will carry."""
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": parameters}
            message |= {"sessionId": session} if session else {}
            os.write(self._out, json.dumps(message).encode() + b"\0")
        return number

    def close(self) -> None:
        """End the browser and all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        os.close(self._out)
        os.close(self._in)

    def _read(self) -> None:
        for message in self._messages():
            if "id" in message:
                self._answers[message["id"]].put(message)
            elif page := self._pages.get(message.get("sessionId", "")):
                page.hear(message["method"], message["params"])

    def _messages(self) -> Iterator[dict[str, Any]]:
        rest = b""
        while part := os.read(self._in, 1 << 16):
            *whole, rest = (rest + part).split(b"\0")
            yield from map(json.loads, whole)
