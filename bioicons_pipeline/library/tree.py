"""What a fetched upstream state looks like, whatever it was fetched from.

Belongs here: the records of one state, the limits on it, which names are refused, and permalinks. Does
not belong here: how the bytes get here (`source`).
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from bioicons_pipeline.library.git import Git, SourceError

MIB = 1024 * 1024
ICONS = "static/icons"
"""Where a bioicons repository keeps its icons."""


class LayoutError(SourceError):
    """The source can be read, but is no icon library of the bioicons layout."""


@dataclass(frozen=True)
class Limits:
    """How large an upstream state may be: bytes of one file, number of files, bytes of all files."""

    max_file_bytes: int = 32 * MIB
    max_files: int = 50_000
    max_total_bytes: int = 4096 * MIB


@dataclass(frozen=True)
class TreeEntry:
    """A regular file; `path` is relative to the icons folder, exactly as in the tree; `size` in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class RefusedEntry:
    """Something in the tree that is not taken; `path` is printable, `reason` is a short phrase."""

    path: str
    reason: str


@dataclass(frozen=True)
class FetchedTree:
    """One upstream state, complete on this machine, and readable until the cache is deleted.

    `commit` is a full git sha, or `folder-` and a hash of the content; `committed_at` is ISO 8601 or None;
    `source_url` is what a person can open, without credentials; `entries` are sorted by path.
    """

    commit: str
    committed_at: str | None
    source_url: str
    entries: tuple[TreeEntry, ...]
    refused: tuple[RefusedEntry, ...]
    prefix: str
    _reader: "GitReader | FolderReader" = field(repr=False)

    def permalink(self, path: str) -> str:
        """Address of one file at this commit; GitHub's `/blob/` form where the source is there."""
        inside = f"{self.prefix}/{path}" if self.prefix else path
        quoted = quote(inside.encode("utf-8", "surrogateescape"))
        if github := github_page(self.source_url):
            return f"{github}/blob/{self.commit}/{quoted}"
        if "://" in self.source_url:
            return f"{self.source_url.rstrip('/')}/{quoted}"
        return f"{self.source_url.rstrip('/')}/{inside}"

    def read(self, path: str) -> bytes:
        """Bytes of one file.

        Raises:
            KeyError: no entry has this path.
            SourceError: the bytes are gone or were changed since the fetch.
        """
        return next(self._reader.contents([path]))

    def read_all(self) -> Iterator[tuple[str, bytes]]:
        """Path and bytes of every entry, in order; one git process for all."""
        paths = [entry.path for entry in self.entries]
        yield from zip(paths, self._reader.contents(paths), strict=True)


@dataclass(frozen=True)
class GitReader:
    """Reads blobs of a bare repository by path."""

    git: Git
    ids: dict[str, str]

    def contents(self, paths: list[str]) -> Iterator[bytes]:
        """Bytes of `paths`, in order."""
        yield from self.git.blobs([self.ids[path] for path in paths])


@dataclass(frozen=True)
class FolderReader:
    """Reads files of a plain folder, and notices if they are no longer what was fetched."""

    root: Path
    sha256: dict[str, str]

    def contents(self, paths: list[str]) -> Iterator[bytes]:
        """Bytes of `paths`, in order."""
        for path in paths:
            expected = self.sha256[path]
            try:
                data = (self.root / path).read_bytes()
            except OSError as error:
                raise SourceError(
                    f"{path} can no longer be read ({error.strerror}): run the same command again."
                ) from error
            if hashlib.sha256(data).hexdigest() != expected:
                raise SourceError(f"{path} changed while it was being read: run the same command again.")
            yield data


def name_refusal(path: str) -> str | None:
    """Why a path of a tree is not taken, or None. Such names would break files, tables or links later."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or PurePosixPath(path).is_absolute():
        return "path with empty, . or .. parts"
    if any(part.lower() == ".git" for part in parts):
        return "path inside a .git folder"
    if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029\\]", path):
        return "control character or backslash in the name"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "name is not UTF-8"
    if any(len(part.encode("utf-8")) > 255 for part in parts) or len(encoded) > 4096:
        return "name is too long"
    return None


def twin_refusals(paths: Iterable[str]) -> dict[str, str]:
    """Path -> why it is not taken, of those that are another one's once Unicode is normalised (NFC).

    Some systems hold the two for one file, so the store takes no such pair, and upstream's files are not ours
    to rename: one of them has to go, or the whole library would. The first stays in the order of bytes.
    """
    plain = {path: unicodedata.normalize("NFC", path) for path in sorted(paths)}  # as UTF-8 sorts
    folders = {path[:place] for path in plain.values() for place, char in enumerate(path) if char == "/"}
    taken: set[str] = set()
    refused = {}
    for path, one in plain.items():
        if one in taken or one in folders:
            what = "a folder" if one in folders else "another file"
            refused[path] = f"the same path as {what} once normalised (Unicode NFC)"
        taken.add(one)
    return refused


def printable(path: str) -> str:
    """`path` with everything unprintable escaped, for messages and reports."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def has_layout(paths: list[str]) -> bool:
    """Whether `paths` look like `<licence>/<Category>/[<Author>/]<name>.svg`."""
    return any(path.lower().endswith(".svg") and path.count("/") >= 2 for path in paths)


def check_counts(count: int, total: int, limits: Limits, shown: str) -> None:
    """Raise SourceError when a state is over the limits on count or total bytes."""
    if count > limits.max_files:
        raise SourceError(
            f"{shown} has {count} files and the limit is {limits.max_files}: raise it or check the source."
        )
    if total > limits.max_total_bytes:
        raise SourceError(
            f"{shown} holds {total / MIB:.0f} MiB and the limit is {limits.max_total_bytes / MIB:.0f} MiB: "
            "raise the limit or check the source."
        )


def size_refusal(size: int, limits: Limits) -> str | None:
    """Why a file of `size` bytes is not taken, or None."""
    return f"larger than {limits.max_file_bytes} bytes" if size > limits.max_file_bytes else None


def require_layout(paths: list[str], shown: str) -> None:
    """Raise LayoutError unless `paths` look like an icon library."""
    if not has_layout(paths):
        what = "no files" if not paths else "no icon at <licence>/<Category>/<Author>/<name>.svg"
        raise LayoutError(
            f"{shown} is no bioicons library: it has {what} under {ICONS}; give the repository or "
            "its icons folder."
        )


def url_parts(source: str) -> SplitResult:
    """The parts of a URL, its port read once, for `urllib` only looks at it when it is asked for.

    Raises:
        SourceError: host or port are malformed; the sentence does not repeat them, for a mistyped URL may
            have a password where the port belongs.
    """
    try:
        parts = urlsplit(source)
        _ = parts.port
    except ValueError:
        raise SourceError(
            "The source is a URL whose host or port cannot be read: after the host and a colon only a port "
            "number may stand (git@host:owner/name is written without ssh:// in front)."
        ) from None
    return parts


def without_credentials(source: str) -> str:
    """`source` as it may be shown and stored: no user name, password, query or fragment.

    Raises:
        SourceError: it is a URL whose host or port cannot be read.
    """
    if "://" not in source:
        return re.sub(r"^[^/@]+@(?=[^/]+:)", "", source)
    parts = url_parts(source)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port:
        host = f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def github_page(url: str) -> str | None:
    """`https://github.com/owner/repo` if `url` is a repository there, in any of its spellings."""
    found = re.fullmatch(
        r"(?:(?:https?|ssh|git)://)?(?:[^/@]+@)?(?:www\.)?github\.com(?::\d+)?[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?",
        url,
    )
    return f"https://github.com/{found[1]}/{found[2]}" if found else None


Progress = Callable[[int, int], None]
