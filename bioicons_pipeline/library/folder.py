"""A plain folder as a source: its files as they are, its commit a hash of their content.

Belongs here: walking the folder without following a link. Does not belong here: git (`repository`), which
names are refused (`tree`).
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bioicons_pipeline.library.tree import (
    ICONS,
    FetchedTree,
    FolderReader,
    Limits,
    Progress,
    RefusedEntry,
    TreeEntry,
    check_counts,
    name_refusal,
    printable,
    require_layout,
    size_refusal,
    twin_refusals,
)


def fetch_folder(path: Path, limits: Limits, progress: Progress | None) -> FetchedTree:
    """The state of the folder `path` now; see `source.fetch`."""
    inner = path / ICONS
    root, prefix = (inner, ICONS) if inner.is_dir() and not inner.is_symlink() else (path, "")
    entries: dict[str, TreeEntry] = {}
    hashes: dict[str, str] = {}
    refused: list[RefusedEntry] = []
    found = sorted(_walk(root, "", refused), key=lambda item: os.fsencode(item[0]))
    check_counts(len(found), sum(size for _, size in found), limits, str(path))
    twins = twin_refusals(name for name, _ in found if not name_refusal(name))
    for done, (name, size) in enumerate(found, start=1):
        reason = name_refusal(name) or twins.get(name) or size_refusal(size, limits)
        if reason:
            refused.append(RefusedEntry(printable(name), reason))
            continue
        try:
            data = (root / name).read_bytes()
        except OSError as error:
            refused.append(RefusedEntry(printable(name), f"unreadable: {error.strerror}"))
            continue
        entries[name] = TreeEntry(name, len(data))
        hashes[name] = hashlib.sha256(data).hexdigest()
        if progress:
            progress(done, len(found))
    require_layout(list(entries), str(path))
    listing = "".join(f"{sha} {name}\n" for name, sha in sorted(hashes.items()))
    return FetchedTree(
        commit="folder-" + hashlib.sha256(listing.encode()).hexdigest()[:40],
        committed_at=None,
        source_url=str(path),
        entries=tuple(entries.values()),
        refused=tuple(sorted(refused, key=lambda entry: entry.path)),
        prefix=prefix,
        _reader=FolderReader(root, hashes),
    )


def _walk(folder: Path, inside: str, refused: list[RefusedEntry]) -> Iterator[tuple[str, int]]:
    """Regular files below `folder` with their sizes; links are never followed."""
    try:
        listed = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        refused.append(RefusedEntry(printable(inside), f"unreadable: {error.strerror}"))
        return
    for entry in listed:
        name = f"{inside}{entry.name}"
        if entry.is_symlink():
            refused.append(RefusedEntry(printable(name), "symbolic link"))
        elif entry.is_dir():
            if entry.name != ".git":
                yield from _walk(Path(entry.path), f"{name}/", refused)
        elif entry.is_file():
            yield name, entry.stat().st_size
        else:
            refused.append(RefusedEntry(printable(name), "not a regular file"))
