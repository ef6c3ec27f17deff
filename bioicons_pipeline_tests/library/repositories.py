"""Git repositories made on the spot, well-formed and hostile, and a proxy that cuts connections."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2024-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2024-01-02T03:04:05Z",
}


def git(folder: Path, *args: str, stdin: bytes = b"") -> str:
    """Run git in `folder`; stdout as stripped text."""
    done = subprocess.run(
        ["git", "-C", str(folder), *args], input=stdin, capture_output=True, check=True, env=ENVIRONMENT
    )
    return done.stdout.decode().strip()


def svg(colour: str = "red", extra: str = "") -> bytes:
    """A small valid drawing."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">'
        f'<path d="M4 4L30 6L36 20L28 34L12 36L6 22L10 12Z" fill="{colour}"/>{extra}</svg>'
    ).encode()


def commit_files(repository: Path, files: dict[str, bytes], message: str = "c", branch: str = "main") -> str:
    """Make one commit whose whole tree is `files` (no working tree is touched); returns its id."""
    if not (repository / "HEAD").exists():
        repository.mkdir(parents=True, exist_ok=True)
        git(repository, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    index = {"GIT_INDEX_FILE": str(repository / "scratch-index")}
    Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
    listing = b""
    for path, data in files.items():
        blob = git(repository, "hash-object", "-w", "--stdin", stdin=data)
        listing += f"100644 {blob}\t".encode() + os.fsencode(path) + b"\0"
    env = ENVIRONMENT | index
    subprocess.run(
        ["git", "-C", str(repository), "update-index", "-z", "--add", "--index-info"],
        input=listing, check=True, env=env, capture_output=True,
    )  # fmt: skip
    tree = subprocess.run(
        ["git", "-C", str(repository), "write-tree"], check=True, env=env, capture_output=True
    ).stdout.decode().strip()  # fmt: skip
    return commit_tree(repository, tree, message, branch)


def commit_tree(repository: Path, tree: str, message: str = "c", branch: str = "main") -> str:
    """Commit a tree on top of `branch`; returns the commit's id."""
    known = git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    parents = ["-p", known] if known else []
    commit = git(repository, "commit-tree", tree, *parents, "-m", message)
    git(repository, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def raw_tree(repository: Path, entries: Iterable[tuple[str, bytes, str]]) -> str:
    """Write a tree object of (mode, raw name, id), also one that git itself would refuse to make."""
    body = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return git(repository, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=body)


@contextlib.contextmanager
def served(base: Path) -> Iterator[int]:
    """`git daemon` over the repositories below `base`; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--export-all", f"--base-path={base}", "--listen=127.0.0.1",
         f"--port={port}", str(base)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            threading.Event().wait(0.05)
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait()


class CuttingProxy:
    """Forwards to a port, and cuts each connection once `budget` bytes came back over all of them."""

    def __init__(self, target: int, budget: int) -> None:
        self.target, self.budget, self.cuts, self.bytes = target, budget, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if counted:
                    self.bytes += len(data)
                    if self.budget <= 0:
                        self.cuts += 1
                        break
                    self.budget -= len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more."""
        self.listener.close()
