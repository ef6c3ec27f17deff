"""S3 on loopback: two servers that were written apart from each other, and a proxy that spoils requests.

`moto` keeps to S3's rules, conditional writes too. `rclone serve s3` shares no code with it; it ignores
conditions and writes objects in place, so only what it promises is asked of it.
"""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY_ID, SECRET = "test-key-id", "test-secret"
SMALLEST_PART = 64 * 1024
"""Bytes; moto is told to allow it, S3 itself wants 5 MiB."""


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to use the server at `endpoint` and nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def connect(endpoint: str):
    """A plain boto3 client of the server, for what tests look at behind the store's back."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(response_checksum_validation="when_required", max_pool_connections=40),
    )


def make_root(endpoint: str) -> str:
    """A new bucket, and a root in it."""
    bucket = f"b-{uuid.uuid4().hex}"
    connect(endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


MOTO = """
import sys, threading
from moto.s3.responses import S3Response
from moto.server import main
# moto looks at a condition, then writes: two requests at once can both see it hold. S3 does it in one step.
one_at_a_time, put_object = threading.Lock(), S3Response.put_object
def put_in_one_step(self):
    with one_at_a_time:
        return put_object(self)
S3Response.put_object = put_in_one_step
main(sys.argv[1:])
"""


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """The endpoint of a new moto server."""
    port = _free_port()
    command = [sys.executable, "-c", MOTO, "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port, folder, {"S3_UPLOAD_PART_MIN_SIZE": str(SMALLEST_PART)}) as endpoint:
        yield endpoint


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """The endpoint of a new rclone server over `folder`."""
    port = _free_port()
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"
    (folder / "served").mkdir()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/nonexistent"]
    command += ["--auth-key", f"{KEY_ID},{SECRET}", str(folder / "served")]
    with _running(command, port, folder, {}) as endpoint:
        yield endpoint


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _running(command: list[str], port: int, folder: Path, more: dict[str, str]) -> Iterator[str]:
    log = folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, **more})
    try:
        deadline = time.monotonic() + 120
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


Fault = Callable[[str, str], str | None]
"""(method, path) of a request → what goes wrong with it: see `_Handler._serve`; None: nothing."""


class FaultyProxy:
    """Passes requests on to `upstream`, and spoils those that `fault` picks."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("http://")
        self.fault: Fault = lambda method, path: None
        self.seen: list[str] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self, kind: str, *, times: int = 10**9, method: str = "", within: str = "") -> None:
        """Spoil the next `times` requests of this method whose path holds `within`."""
        lock, left = threading.Lock(), [times]

        def fault(its_method: str, path: str) -> str | None:
            with lock:
                if left[0] <= 0 or (method and its_method != method) or within not in path:
                    return None
                left[0] -= 1
                return kind

        self.fault = fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, *arguments) -> None:
        pass

    def _serve(self) -> None:
        kind = self.proxy.fault(self.command, self.path)
        self.proxy.seen.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        if kind == "cut upload":
            self.rfile.read(length // 2)
            self._drop()
            return
        body = self.rfile.read(length)
        if kind in ("503 SlowDown", "403 AccessDenied", "500 InternalError"):
            status, code = kind.split()
            text = f"<Error><Code>{code}</Code><Message>planted</Message></Error>".encode()
            self._answer(
                int(status), {"Content-Type": "application/xml"}, b"" if self.command == "HEAD" else text
            )
            return
        if kind == "silence":
            time.sleep(2)
            self._drop()
            return
        if kind == "slow":
            time.sleep(0.3)
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        upstream.request(self.command, self.path, body=body or None, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if kind == "lost answer":
            self._drop()
            return
        skipped = {"transfer-encoding", "connection", "server", "date"}
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
        if kind == "cut answer":
            self._answer(answer.status, {**kept, "Content-Length": str(len(data))}, data[: len(data) // 2])
            self._drop()
            return
        if self.command != "HEAD":
            kept["Content-Length"] = str(len(data))
        self._answer(answer.status, kept, data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        names = {name.lower() for name in headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


for _method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)
