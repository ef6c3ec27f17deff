"""The notice that a host goes: SIGTERM, and a metadata service on loopback that answers as EC2's does."""

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bioicons_pipeline.training import notice
from bioicons_pipeline.training.notice import Notice, is_announced


class Metadata:
    """An instance metadata service, version 2: no answer without a token that it gave."""

    def __init__(self) -> None:
        self.announced, self.asked = False, 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                given = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self._answer(200 if self.path == "/latest/api/token" and given else 400, b"a-token")

            def do_GET(self):
                service.asked += 1
                if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                    self._answer(401, b"")
                elif self.path == "/latest/meta-data/spot/instance-action" and service.announced:
                    self._answer(200, b'{"action": "terminate", "time": "2026-01-01T00:02:00Z"}')
                else:
                    self._answer(404, b"")

            def _answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metadata(monkeypatch):
    monkeypatch.setattr(notice, "POLL_S", 0.02)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy knows nothing of this host
    made = Metadata()
    yield made
    made.close()


def waited(condition, seconds: float = 30) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


def test_a_spot_host_that_is_about_to_be_taken(metadata):
    assert is_announced(metadata.root) is False
    with Notice(metadata.root) as watching:
        assert waited(lambda: metadata.asked > 3) and not watching.given()
        metadata.announced = True
        assert waited(watching.given)
        os.kill(os.getpid(), signal.SIGTERM)  # which comes when the host goes: the checkpoint is under way
        assert watching.given()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)


def test_nobody_is_asked_unless_that_is_wanted(metadata):
    metadata.announced = True
    with Notice() as watching:
        time.sleep(0.2)
        assert not watching.given() and metadata.asked == 0


def test_where_there_is_no_such_service_it_gives_up_silently(metadata, capfd):
    metadata.close()
    assert is_announced(metadata.root) is None
    with Notice(metadata.root) as watching:
        gone = lambda: not [t for t in threading.enumerate() if t.name == "spot-notice"]  # noqa: E731
        assert waited(gone) and not watching.given()
    assert capfd.readouterr() == ("", "")


def test_sigterm_is_a_flag_and_the_handler_of_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with Notice() as watching:
        os.kill(os.getpid(), signal.SIGTERM)
        assert waited(watching.given)
    assert signal.getsignal(signal.SIGTERM) is before
