"""The git executable, run so that neither a remote nor this machine's configuration can surprise.

Belongs here: the environment and options of every git process of this package, retries, and git's error
texts turned into sentences. Does not belong here: what an icon library is (`source`).

Follows git(1), git-config(1) and gitprotocol-v2(5): no system or user configuration, no hooks, no prompt,
an allow-list of transports (`ext::` would run commands), and NUL-separated names throughout. Objects that
a blob-filtered fetch left out are asked for by id, as git's own lazy fetch does, but in batches.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioicons_pipeline.errors import BioiconsError


class SourceError(BioiconsError):
    """The upstream library cannot be read; the message says why and what to do."""


OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.quotePath=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "protocol.version=2",
    "-c", "protocol.allow=never",
    "-c", "protocol.https.allow=always",
    "-c", "protocol.http.allow=always",
    "-c", "protocol.ssh.allow=always",
    "-c", "protocol.git.allow=always",
    "-c", "protocol.file.allow=always",
    "-c", "http.lowSpeedLimit=1000",
    "-c", "http.lowSpeedTime=30",
    "-c", "http.followRedirects=true",
    "-c", "advice.detachedHead=false",
    "-c", "fetch.recurseSubmodules=false",
    "-c", "fetch.writeCommitGraph=false",
    "-c", "safe.directory=*",
)  # fmt: skip
"""safe.directory: the person named the repository, and reading its objects runs none of its hooks."""

KEPT_GIT_VARIABLES = ("GIT_SSL_", "GIT_PROXY_", "GIT_EXEC_PATH")

UPLOAD_PACK = "git -c uploadpack.allowFilter=true -c safe.directory=* upload-pack"
"""For a repository on this machine: lets a local fetch be filtered like one from a forge."""

PERMANENT = (
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "couldn't find remote ref",
    "not our ref",
    "authentication failed",
    "could not read username",
    "permission denied",
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "died of signal 25",
    "not allowed",
    "lacks these prerequisite",
    "is not a bundle",
    "unrecognized header",
)


class GitError(Exception):
    """A git process failed; `stderr` is what it said. Internal: `source` turns it into a sentence."""

    def __init__(self, args: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(stderr)
        self.command = tuple(args)
        self.code = code
        self.stderr = stderr

    @property
    def permanent(self) -> bool:
        """Whether trying again cannot help."""
        text = self.stderr.lower()
        return any(sign in text for sign in PERMANENT)


def environment() -> dict[str, str]:
    """The environment of every git process: ours, without git's own variables and configuration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(KEPT_GIT_VARIABLES)
    }
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


@dataclass(frozen=True)
class Git:
    """A bare repository of ours, or no repository (`git_dir` None) for commands that need none."""

    git_dir: Path | None = None

    def command(self, args: Sequence[str]) -> list[str]:
        """The whole command line of `args`."""
        where = [f"--git-dir={self.git_dir}"] if self.git_dir else []
        return ["git", *OPTIONS, *where, *args]

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        """Run to the end and return stdout.

        Raises:
            GitError: it failed.
            SourceError: there is no git on this machine.
        """
        try:
            # A child that outlives an interrupt would go on writing into the cache: `run` kills it.
            done = subprocess.run(
                self.command(args), input=stdin or b"", capture_output=True, env=environment(), check=False
            )
        except FileNotFoundError as error:
            raise SourceError(
                "The git program is not installed on this machine: install git, or give a plain folder."
            ) from error
        if done.returncode:
            raise GitError(args, done.returncode, done.stderr.decode("utf-8", "replace").strip())
        return done.stdout

    def text(self, *args: str) -> str:
        """Run and return stdout as stripped text."""
        return self.run(*args).decode("utf-8", "surrogateescape").strip()

    def network(self, *args: str, stdin: bytes | None = None, attempts: int = 4) -> bytes:
        """Run a command that talks to a remote, trying again with growing pauses if it may help."""
        for attempt in range(1, attempts + 1):
            try:
                return self.run(*args, stdin=stdin)
            except GitError as error:
                if error.permanent or attempt == attempts:
                    raise
                time.sleep(0.5 * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def has_commit(self, sha: str) -> bool:
        """Whether the commit `sha` (full) is in this repository."""
        try:
            # `cat-file -e` would fetch what a filtered repository lacks, with all of its history
            self.run("rev-list", "--missing=allow-any", "--no-walk", sha)
        except GitError:
            return False
        return True

    def missing(self, tree: str) -> list[str]:
        """Ids of the objects under `tree` that a filtered fetch left out, in the tree's order."""
        listed = self.run("rev-list", "--objects", "--no-object-names", "--missing=print", tree)
        return [line[1:] for line in listed.decode("ascii").splitlines() if line.startswith("?")]

    def sizes(self, ids: Iterable[str]) -> dict[str, int]:
        """Size in bytes of each object; an object that is not here is left out."""
        asked = "".join(f"{oid}\n" for oid in dict.fromkeys(ids)).encode()
        sizes = {}
        for line in self.run("cat-file", "--batch-check", stdin=asked).decode().splitlines():
            oid, kind, *rest = line.split(" ")
            if kind != "missing":
                sizes[oid] = int(rest[0])
        return sizes

    def blobs(self, ids: Sequence[str], window: int = 128) -> Iterator[bytes]:
        """Contents of `ids` in their order, through one `cat-file --batch` process.

        Questions go in by windows that fit a pipe's buffer, so neither side ever waits for the other.
        """
        with subprocess.Popen(
            self.command(["cat-file", "--batch"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        ) as process:
            assert process.stdin and process.stdout
            try:
                for start in range(0, len(ids), window):
                    asked = "".join(f"{oid}\n" for oid in ids[start : start + window])
                    process.stdin.write(asked.encode())
                    process.stdin.flush()
                    yield from _answers(process.stdout, ids[start : start + window])
            finally:
                process.kill()


def _answers(stream, ids: Sequence[str]) -> Iterator[bytes]:
    for oid in ids:
        header = stream.readline().decode().split()
        if len(header) != 3:
            raise SourceError(
                f"The cached git object {oid} is damaged: delete the git cache and fetch again."
            )
        data = stream.read(int(header[2]))
        stream.read(1)
        if len(data) != int(header[2]):
            raise SourceError(
                f"The cached git object {oid} is cut short: delete the git cache and fetch again."
            )
        yield data


def sentence(error: GitError, shown: str) -> str:
    """What went wrong with the source `shown`, in one sentence, from git's own words."""
    text = error.stderr.lower()
    known: tuple[tuple[tuple[str, ...], str], ...] = (
        (("file too large", "died of signal 25"),
         "a file would be larger than this machine allows: raise the limit (ulimit -f) and run it again"),
        (("no space left", "disk quota"), "the disk is full: free some space and run the same command again"),
        (("authentication failed", "could not read username", "permission denied"),
         "access was denied: check that the repository is public or that your key may read it"),
        (("could not resolve host",), "its host name cannot be resolved: check the address and the network"),
        (("couldn't find remote ref", "not our ref"), "it has no such commit, tag or branch: check the ref"),
        (("not found", "does not exist", "does not appear to be a git repository"),
         "there is no git repository: check the address"),
        (("prerequisite",), "the bundle is incomplete: make it with `git bundle create FILE --all`"),
        (("not a bundle", "unrecognized header", "bad bundle"), "the file is no git bundle"),
        (("transport", "not allowed"), "this kind of address is not allowed: use https, ssh, git or a path"),
    )  # fmt: skip
    for signs, saying in known:
        if any(sign in text for sign in signs):
            return f"Cannot read {shown}: {saying}."
    lines = [line for line in error.stderr.splitlines() if line.startswith(("fatal:", "error:"))]
    last = (lines or error.stderr.splitlines() or ["git gave no reason"])[-1]
    last = last.removeprefix("fatal: ").removeprefix("error: ").rstrip(".")
    return f"Cannot read {shown}: {last}; what was fetched is kept, try again when the remote answers."


def in_batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """`ids` in runs of at most `size`."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


Progress = Callable[[int, int], None]
