"""Chromium without a window, driven by its DevTools protocol: pages as people get them, and what they look like."""

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from docker.grafana.render.picture import chromium

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--mute-audio", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self._width, self._height = 800, 600
        self.complaints: list[str] = []
        """What the browser said in its console: refused by the policy, errors of scripts."""
        self.requested: set[str] = set()
        """The addresses that the page asked."""

    async def call(self, method: str, **params: object) -> dict[str, object]:
        """One call of the protocol.  Notes what came meanwhile."""
        self._last += 1
        await self._socket.send_str(json.dumps({"id": self._last, "method": method, "params": params}))
        async with asyncio.timeout(30):
            async for message in self._socket:
                told = json.loads(message.data)
                if told.get("id") == self._last:
                    assert "error" not in told, f"{method}: {told['error']}"
                    found = told["result"]
                    assert isinstance(found, dict)
                    return found
                self._note(told)
        raise AssertionError("the browser has gone")

    def _note(self, told: dict[str, dict[str, dict[str, object]]]) -> None:
        match told.get("method"):
            case "Log.entryAdded":
                entry = told["params"]["entry"]
                if entry["level"] != "verbose":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requested.add(str(told["params"]["request"]["url"]))

    async def open(self, url: str) -> None:
        """Go there; returns at once."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def ask(self, script: str) -> object:
        """The value of an expression in the page; of a promise what it comes to."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        result = told["result"]
        assert isinstance(result, dict)
        return result.get("value")

    async def wait(self, script: str, within_s: float = 60.0) -> None:
        """Wait until an expression is true."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + within_s
        while not await self.ask(script):
            assert loop.time() < ends_s, f"still not: {script}; the page:\n{await self.ask('document.body.innerText')}"
            await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        """One key, as from a keyboard: a letter, `Enter` or `Tab`."""
        text, code = {"Enter": ("\r", 13), "Tab": ("", 9)}.get(key, (key, 0))
        for kind in ("keyDown", "keyUp"):
            more: dict[str, object] = {"text": text} if text else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Be so wide, and prefer dark or light."""
        self._width, self._height = width, height
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> None:
        """The upper part of the page as a PNG file, as much as the window is wide and high."""
        shown = {"x": 0, "y": 0, "width": self._width, "height": self._height, "scale": 1}
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=shown)
        path.write_bytes(base64.b64decode(str(told["data"])))


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """A page in a browser of its own."""
    program, profile = chromium(), Path(tempfile.mkdtemp())
    assert program is not None, "chromium is not installed"
    process = await asyncio.create_subprocess_exec(
        program, *_QUIET, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"listening on ws://" not in (line := await process.stderr.readline()):
                assert line, "chromium ended"
        port = line.split(b"127.0.0.1:")[1].split(b"/")[0].decode()
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                address = next(each for each in await answer.json() if each["type"] == "page")["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)
