"""Helpers for the rendering tests: pictures as arrays, a server and a file that nobody may touch."""

import http.server
import io
import threading

import numpy as np
import pytest
from PIL import Image


def pixels(png: bytes | None) -> np.ndarray:
    """Decoded by Pillow, not by the code under test."""
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def forbidden_server():
    """(address, list of requests seen): the list must stay empty."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def secret_picture(tmp_path_factory):
    """A pure red PNG: where it shows, a local file leaked."""
    path = tmp_path_factory.mktemp("secret") / "secret.png"
    Image.new("RGB", (64, 64), (255, 0, 0)).save(path)
    return path
