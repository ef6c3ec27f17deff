"""Looks at the upstream library without taking it: one version, which moves when an icon file does.

Belongs here: the version of a source (git's own hash of the `static/icons` tree, or a hash of a folder's
content) with as little traffic as git allows: `ls-remote`, and only for a commit that was never seen the
commit and its trees, no file. Does not belong here: the files (`source`), what is done when it moved.

A rewritten history with the same icons has the same tree, and so the same version.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioicons_pipeline.library.files import icons_tree, listed
from bioicons_pipeline.library.folder import fetch_folder
from bioicons_pipeline.library.git import GitError, SourceError, sentence
from bioicons_pipeline.library.repository import bring_commit, repository
from bioicons_pipeline.library.source import git_explained, locate
from bioicons_pipeline.library.tree import Limits, without_credentials

PAUSES_S = (10.0, 60.0, 300.0)
"""Pauses before each further look at a remote that does not answer; before that git tries four times."""


@dataclass(frozen=True)
class Observation:
    """What was seen: `version` of the icons, the `commit` it was seen at (for a folder, the version), and
    `source_url`, without credentials."""

    version: str
    commit: str
    source_url: str


def observe(
    source: str,
    ref: str | None,
    cache_dir: Path,
    *,
    pauses_s: Sequence[float] = PAUSES_S,
    sleep: Callable[[float], None] = time.sleep,
    report: Callable[[str], None] = lambda _: None,
) -> Observation:
    """The version of `source` at `ref`, see `source.fetch` for both; nothing but git's cache is written.

    pauses_s: seconds before each further try, if trying again can help; report: told of each failed one.
    Raises:
        SourceError: the source cannot be read, also not after the last try; one sentence.
    """
    for pause in pauses_s:
        try:
            return _observe(source, ref, cache_dir)
        except SourceError as error:
            if not _may_pass(error):
                raise
            report(f"{error} Next try in {pause:.0f} s.")
        sleep(pause)
    return _observe(source, ref, cache_dir)


def _may_pass(error: SourceError) -> bool:
    """Whether it is the remote's or the network's fault, and not one of the address."""
    return isinstance(error.__cause__, GitError) and not error.__cause__.permanent


def _observe(source: str, ref: str | None, cache_dir: Path) -> Observation:
    place, kind = locate(source, ref)
    shown = without_credentials(place)
    if kind == "plain":
        commit = fetch_folder(Path(place), Limits(), None).commit
        return Observation(commit, commit, shown)
    with git_explained(shown, cache_dir), repository(place, cache_dir, kind) as git:
        commit = bring_commit(git, place, ref, kind, shown)
        return Observation(icons_tree(git, commit, shown)[1], commit, shown)


@dataclass(frozen=True)
class Listing:
    """The files of one upstream state without their bytes: `ids`, path → what tells one content from another,
    which is git's blob id or, where `hashed`, the sha256."""

    commit: str
    ids: Mapping[str, str]
    hashed: bool


def listing(source: str, ref: str | None, cache_dir: Path) -> Listing:
    """The files under `static/icons` of `source` at `ref`; no file is fetched.

    Raises:
        SourceError: the source or ref cannot be read.
    """
    place, kind = locate(source, ref)
    if kind == "plain":
        tree = fetch_folder(Path(place), Limits(), None)
        ids = {path: hashlib.sha256(data).hexdigest() for path, data in tree.read_all()}
        return Listing(tree.commit, ids, hashed=True)
    shown = without_credentials(place)
    try:
        with repository(place, cache_dir, kind) as git:
            commit = bring_commit(git, place, ref, kind, shown)
            return Listing(commit, listed(git, icons_tree(git, commit, shown)[1])[0], hashed=False)
    except GitError as error:
        raise SourceError(sentence(error, shown)) from error


def blob_id(data: bytes) -> str:
    """git's id of a file's content (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
