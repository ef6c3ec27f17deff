"""Names: which paths a version may hold, and how the name of a ref becomes a file name.

Does not belong here: anything that touches a disk. Quoting is that of RFC 3986, section 2.1
(percent-encoding of UTF-8 bytes), narrowed so that no result is hidden, a dot folder, or too long.
Unicode forms are kept apart (NFC and NFD of a name are two refs, as they are two partition keys to
Dagster), because file names hold their bytes in ASCII.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from bioicons_pipeline.store.errors import StoreError

ALL = "__all__"
"""The file name of the ref of an asset that has no partition."""

LONGEST_QUOTED = 200
"""Bytes; file systems allow 255, of which `.json` and a margin are left."""

_DRIVE = re.compile(r"[A-Za-z]:")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def quote_name(name: str) -> str:
    """`name` as an ASCII file name without extension; different names give different file names.

    Short names are decoded by `urllib.parse.unquote`. A longer one keeps its beginning, for people, and
    ends in `~` and its SHA-256; the ref file itself holds the whole name.

    Raises:
        StoreError: the name is empty or not valid Unicode.
    """
    if not name:
        raise StoreError("The name of an asset, partition or base is empty: give it a name.")
    try:
        quoted = quote(name, safe="").replace("~", "%7E")
    except UnicodeEncodeError as error:
        raise StoreError(f"The name {name!r} is not valid Unicode: rename it.") from error
    # Only the ends matter: `.x` is hidden and may be a temporary file, `..` climbs, `x.` loses its dot on
    # Windows, and a folder `x.json` (a base) would stand where the file of partition `x` belongs.
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if quoted.endswith("."):
        quoted = quoted[:-1] + "%2E"
    if quoted.lower().endswith(".json"):
        quoted = quoted[:-5] + "%2E" + quoted[-4:]
    if len(quoted) > LONGEST_QUOTED:
        digest = hashlib.sha256(name.encode()).hexdigest()
        quoted = f"{quoted[: LONGEST_QUOTED - 65]}~{digest}"
    return quoted


def check_sha256(text: str, what: str) -> str:
    """`text` itself, if it is 64 lower-case hex digits.

    Raises:
        StoreError: it is anything else, so that it never becomes part of a path.
    """
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise StoreError(f"{text!r} is no {what}: expected 64 hexadecimal digits.")
    return text


def check_paths(paths: Iterable[str]) -> None:
    """Let through only sets of paths that can be written below any folder, on any system.

    Raises:
        StoreError: a path is empty, absolute, climbs (`..`), is not in plain `a/b/c` form, holds NUL or a
            backslash, is not Unicode, is there twice once normalised (NFC), or is both file and folder.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if problem := _problem(path):
            raise StoreError(f"The path {path!r} cannot be stored, because it {problem}: rename that file.")
        plain = unicodedata.normalize("NFC", path)
        if plain in seen:
            raise StoreError(
                f"The paths {seen[plain]!r} and {path!r} are the same file on some systems (Unicode "
                "normalisation): rename one of them."
            )
        seen[plain] = path
        parent = plain.rpartition("/")[0]
        while parent and parent not in folders:
            folders[parent] = path
            parent = parent.rpartition("/")[0]
    for plain, path in seen.items():
        if plain in folders:
            raise StoreError(
                f"The path {path!r} is a file, and {folders[plain]!r} needs it to be a folder: rename one."
            )


def _problem(path: str) -> str | None:
    if not isinstance(path, str) or not path:
        return "is empty or no text"
    if "\0" in path:
        return "holds a NUL character"
    if "\\" in path:
        return "holds a backslash, which separates folders on some systems"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute"
    segments = path.split("/")
    if ".." in segments:
        return "climbs out of its folder"
    if "" in segments or "." in segments:
        return "has an empty or `.` part"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return None


def version_key(version_id: str) -> str:
    """Where a version is kept."""
    return f"versions/{version_id}.json"
