"""Fetches one upstream state: git URL, git folder, bundle or plain folder, at a commit, tag or branch.

Belongs here: telling the kinds of source apart, and the one call that turns a source and a ref into a
`FetchedTree` with as little traffic as git allows: a remote is fetched shallow and without blobs
(`repository`), then exactly the missing blobs under `static/icons` are asked for (`files`); a plain folder is
read as it is (`folder`).

Does not belong here: the GitHub REST API (its rate limit), a working tree (its names would have to suit
the file system), what the icons mean.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioicons_pipeline.library.files import bring_tree
from bioicons_pipeline.library.folder import fetch_folder
from bioicons_pipeline.library.git import GitError, SourceError, sentence
from bioicons_pipeline.library.repository import bring_commit, repository
from bioicons_pipeline.library.tree import (
    FetchedTree,
    LayoutError,
    Limits,
    Progress,
    RefusedEntry,
    TreeEntry,
    url_parts,
    without_credentials,
)

__all__ = ["FetchedTree", "LayoutError", "Limits", "RefusedEntry", "SourceError", "TreeEntry", "fetch"]


def fetch(
    source: str,
    ref: str | None,
    cache_dir: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> FetchedTree:
    """Fetch `source` at `ref` into `cache_dir` and return that state.

    `source` is a git URL, a folder with a git repository, a git bundle, or a plain folder; each either
    contains `static/icons` or is the icons folder. `ref` is a commit (full or at least four digits), a tag,
    a branch, or None for the default branch. `progress(done, total)` counts files.

    Raises:
        SourceError: the source or ref cannot be read, or is over the limits.
        LayoutError: it can be read and holds no icons in the expected folders.
    """
    place, kind = locate(source, ref)
    if kind == "plain":
        return fetch_folder(Path(place), limits, progress)
    return _fetch_git(place, ref, cache_dir, limits, progress, kind)


def refuse_credentials(source: str) -> None:
    """Let no source pass that carries a password or token: it would be kept with every run that names it.

    Raises:
        SourceError: it does, or is no URL that can be read; the sentence does not repeat it.
    """
    if "://" not in source:
        return
    parts = url_parts(source)
    # over http a user name alone is a token more often than not; over ssh it is part of every address
    if parts.password or (parts.username and parts.scheme.lower() in ("http", "https")):
        raise SourceError(
            f"The source {without_credentials(source)} was given with credentials in its URL, which would be "
            "stored with each run: leave them out, and let git have them from its credential helper "
            "(git config --global credential.helper store, then clone once by hand)."
        )


def locate(source: str, ref: str | None) -> tuple[str, str]:
    """Where `source` is, and its kind: `url`, `bundle`, `folder` (a git one) or `plain`.

    Raises:
        SourceError: it is nothing that can be read, or `ref` is none.
    """
    source = os.path.expanduser(source.strip())  # noqa: PTH111 - a URL may come, Path would break it
    if not source or source.startswith("-") or not source.isprintable():
        raise SourceError(
            f"{source!r} is no source: give a git URL, a git folder, a bundle or a plain folder."
        )
    if ref is not None and (not ref.strip() or ref.startswith("-") or not ref.isprintable()):
        raise SourceError(f"{ref!r} is no ref: give a commit, a tag or a branch.")
    if _is_url(source):
        return source, "url"
    path = Path(source)
    if not path.exists():
        raise SourceError(f"There is nothing at {source}: check the path, or give a git URL with https://.")
    path = path.resolve()
    if path.is_file():
        with path.open("rb") as file:
            if not re.match(rb"# v\d git bundle\n", file.read(32)):
                raise SourceError(f"{source} is a file and no git bundle: give a bundle, folder or URL.")
        return str(path), "bundle"
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        return str(path), "folder"
    if ref is not None:
        raise SourceError(f"{source} is a plain folder without commits: leave the ref {ref!r} out.")
    return str(path), "plain"


def _is_url(source: str) -> bool:
    """A URL, a transport helper's address (`ext::`, which git will refuse), or ssh's `user@host:path`."""
    return bool(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?:://|::)|[\w.-]+@[\w.-]+:", source))


def _fetch_git(
    source: str, ref: str | None, cache_dir: Path, limits: Limits, progress: Progress | None, kind: str
) -> FetchedTree:
    shown = without_credentials(source)
    with git_explained(shown, cache_dir), repository(source, cache_dir, kind) as git:
        commit = bring_commit(git, source, ref, kind, shown)
        return bring_tree(git, commit, shown, limits, progress)


@contextmanager
def git_explained(shown: str, cache_dir: Path) -> Iterator[None]:
    """Say what git, or the disk under its cache, refused for the source `shown`, as a SourceError."""
    try:
        yield
    except GitError as error:
        raise SourceError(sentence(error, shown)) from error
    except OSError as error:
        raise SourceError(
            f"The git cache {cache_dir} cannot be used ({error.strerror}): free space or choose another."
        ) from error
