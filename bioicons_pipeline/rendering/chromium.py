"""A third opinion: the same SVGs as headless Chromium shows them in an `<img>`.

Belongs here: one browser, driven through the DevTools protocol over a pair of pipes
(`--remote-debugging-pipe`, so no port is opened and no package needed), and contact sheets of many icons in
one screenshot. Not here: any judgement. For verification only: slow (0.1 to 0.3 s an icon) and not
byte-stable between versions. SVG in `<img>` runs no script and loads nothing; names do not resolve either.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.rendering import png

_COLUMNS = _ROWS = 4
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-extensions", "--disable-background-networking", "--disable-sync", "--mute-audio"),
    *("--force-color-profile=srgb", "--disable-lcd-text", "--force-device-scale-factor=1"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)


class ChromiumError(BioiconsError):
    """There is no working Chromium to ask."""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome executable, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    """One headless browser; a context manager. Leaving it ends the browser and its helpers."""

    def __init__(self, executable: str | None = None, *, time_limit: float = 60.0):
        executable = executable or find_chromium()
        if executable is None:
            raise ChromiumError(
                "No Chromium found: install it (apt-get install chromium) to verify renderings."
            )
        self.time_limit = time_limit
        self._profile = Path(tempfile.mkdtemp(prefix="bioicons-chromium-"))
        to_browser, self._write_end = os.pipe()
        self._read_end, from_browser = os.pipe()
        # The protocol wants descriptors 3 and 4; a small exec puts them there without a preexec_fn.
        place = (
            "import fcntl, os, sys; "
            "a, b = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 100) for end in sys.argv[1:3]); "
            "os.dup2(a, 3); os.dup2(b, 4); os.closerange(5, 1000); os.execv(sys.argv[3], sys.argv[3:])"
        )
        start = [sys.executable, "-I", "-S", "-c", place, str(to_browser), str(from_browser)]
        self.process = subprocess.Popen(
            [*start, executable, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_browser, from_browser),
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._counter = 0
        try:
            target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
            attach = {"targetId": target, "flatten": True}
            self._session = self._call("Target.attachToTarget", attach)["sessionId"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser with all its processes and remove its profile."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for end in (self._read_end, self._write_end):
            with contextlib.suppress(OSError):
                os.close(end)
        shutil.rmtree(self._profile, ignore_errors=True)

    def version(self) -> str:
        """Such as `Chrome/120.0.1.2`."""
        return self._call("Browser.getVersion", {})["product"]

    def render(self, svgs: Iterable[bytes], size: int = 512) -> Iterator[np.ndarray | None]:
        """Each SVG on white, fitted into `size` x `size` from the top left, as uint8 (size, size, 3).

        None where the browser shows a broken image.
        """
        sheet: list[bytes] = []
        for svg in svgs:
            sheet.append(svg)
            if len(sheet) == _COLUMNS * _ROWS:
                yield from self._sheet(sheet, size)
                sheet = []
        if sheet:
            yield from self._sheet(sheet, size)

    def _sheet(self, svgs: list[bytes], size: int) -> Iterator[np.ndarray | None]:
        cells = "".join(
            f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}">' for svg in svgs
        )
        style = (
            f"body{{margin:0;background:#fff;width:{_COLUMNS * size}px;display:flex;flex-wrap:wrap}}"
            f"img{{width:{size}px;height:{size}px;object-fit:contain;object-position:0 0}}"
        )
        html = f"<!doctype html><meta charset=utf-8><style>{style}</style>{cells}"
        metrics = {"width": _COLUMNS * size, "height": _ROWS * size, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", metrics, page=True)
        frame = self._call("Page.getFrameTree", {}, page=True)["frameTree"]["frame"]["id"]
        self._call("Page.setDocumentContent", {"frameId": frame, "html": html}, page=True)
        decoded = "i => i.decode().then(() => i.naturalWidth > 0, () => false)"
        wait = f"Promise.all([...document.images].map({decoded}))"
        evaluation = {"expression": wait, "awaitPromise": True, "returnByValue": True}
        shown = self._call("Runtime.evaluate", evaluation, page=True)["result"]["value"]
        shot = self._call("Page.captureScreenshot", {"format": "png"}, page=True)["data"]
        pixels = png.on_white(base64.b64decode(shot))
        for index in range(len(svgs)):
            row, column = divmod(index, _COLUMNS)
            cell = pixels[row * size : (row + 1) * size, column * size : (column + 1) * size]
            yield cell if shown[index] else None

    def _call(self, method: str, parameters: dict[str, Any], *, page: bool = False) -> dict[str, Any]:
        self._counter += 1
        message: dict[str, Any] = {"id": self._counter, "method": method, "params": parameters}
        if page:
            message["sessionId"] = self._session
        deadline = time.monotonic() + self.time_limit
        data = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while data:
                data = data[os.write(self._write_end, data) :]
            while True:
                answer = self._message(deadline)
                if answer.get("id") == self._counter:
                    break
        except OSError as error:
            raise ChromiumError("Chromium ended unexpectedly; does it start on this machine?") from error
        if "error" in answer:
            raise ChromiumError(f"Chromium refused {method}: {answer['error'].get('message')}")
        return answer["result"]

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read_end], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._read_end, 1 << 20) if ready else b""
            if not part:
                raise ChromiumError(f"Chromium gave no answer within {self.time_limit:g} s.")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
