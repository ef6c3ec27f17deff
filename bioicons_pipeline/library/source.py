"""Fetches one upstream state: git URL, git folder, bundle or plain folder, at a commit, tag or branch.

Belongs here: turning a source and a ref into a `FetchedTree` with as little traffic as git allows. A
remote is fetched shallow and without blobs; then exactly the missing blobs under `static/icons` are asked
for, in batches, so that a cut connection costs one batch, and a second run asks only for what is new. Every
state fetched is pinned by a ref in the cache: it can be read when upstream has moved on or was rewritten.

Does not belong here: the GitHub REST API (its rate limit), a working tree (its names would have to suit
the file system), what the icons mean.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioicons_pipeline.library.git import UPLOAD_PACK, Git, GitError, SourceError, in_batches, sentence
from bioicons_pipeline.library.tree import (
    FetchedTree,
    FolderReader,
    GitReader,
    LayoutError,
    Limits,
    Progress,
    RefusedEntry,
    TreeEntry,
    check_counts,
    has_layout,
    name_refusal,
    printable,
    without_credentials,
)

__all__ = ["FetchedTree", "LayoutError", "Limits", "RefusedEntry", "SourceError", "TreeEntry", "fetch"]

ICONS = "static/icons"
BATCH = 400
"""Blobs asked for at once: about 5 MB of icons, a few seconds on a slow line."""
_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{4,39}")
_LINK, _SUBMODULE = "120000", "160000"


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
    source = os.path.expanduser(source.strip())  # noqa: PTH111 - a URL may come, Path would break it
    if not source or source.startswith("-") or not source.isprintable():
        raise SourceError(
            f"{source!r} is no source: give a git URL, a git folder, a bundle or a plain folder."
        )
    if ref is not None and (not ref.strip() or ref.startswith("-") or not ref.isprintable()):
        raise SourceError(f"{ref!r} is no ref: give a commit, a tag or a branch.")
    if _is_url(source):
        return _fetch_git(source, ref, cache_dir, limits, progress, "url")
    path = Path(source)
    if not path.exists():
        raise SourceError(f"There is nothing at {source}: check the path, or give a git URL with https://.")
    path = path.resolve()
    if path.is_file():
        with path.open("rb") as file:
            if not re.match(rb"# v\d git bundle\n", file.read(32)):
                raise SourceError(f"{source} is a file and no git bundle: give a bundle, folder or URL.")
        return _fetch_git(str(path), ref, cache_dir, limits, progress, "bundle")
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()):
        return _fetch_git(str(path), ref, cache_dir, limits, progress, "folder")
    if ref is not None:
        raise SourceError(f"{source} is a plain folder without commits: leave the ref {ref!r} out.")
    return _fetch_folder(path, limits, progress)


def _is_url(source: str) -> bool:
    """A URL, a transport helper's address (`ext::`, which git will refuse), or ssh's `user@host:path`."""
    return bool(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?:://|::)|[\w.-]+@[\w.-]+:", source))


def _fetch_folder(path: Path, limits: Limits, progress: Progress | None) -> FetchedTree:
    inner = path / ICONS
    root, prefix = (inner, ICONS) if inner.is_dir() and not inner.is_symlink() else (path, "")
    entries: dict[str, TreeEntry] = {}
    hashes: dict[str, str] = {}
    refused: list[RefusedEntry] = []
    found = sorted(_walk(root, "", refused), key=lambda item: os.fsencode(item[0]))
    check_counts(len(found), sum(size for _, size in found), limits, str(path))
    for done, (name, size) in enumerate(found, start=1):
        reason = name_refusal(name) or _size_refusal(size, limits)
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
    _require_layout(list(entries), str(path))
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


def _fetch_git(
    source: str, ref: str | None, cache_dir: Path, limits: Limits, progress: Progress | None, kind: str
) -> FetchedTree:
    shown = without_credentials(source)
    try:
        with _repository(source, cache_dir, kind) as git:
            commit = _bring_commit(git, source, ref, kind, shown)
            return _bring_tree(git, commit, shown, limits, progress)
    except GitError as error:
        raise SourceError(sentence(error, shown)) from error
    except OSError as error:
        raise SourceError(
            f"The git cache {cache_dir} cannot be used ({error.strerror}): free space or choose another."
        ) from error


@contextmanager
def _repository(source: str, cache_dir: Path, kind: str) -> Iterator[Git]:
    """Our bare repository for `source`, held by this process alone until the state is complete."""
    home = cache_dir / hashlib.sha256(without_credentials(source).encode()).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        git = Git((home / "repo.git").absolute())
        if not (home / "ready").exists():
            Git().run("init", "--quiet", "--bare", "--template=", str(git.git_dir))
            (home / "ready").touch()
        _remove_leftovers(home / "repo.git")
        git.run("config", "remote.origin.url", source)
        if kind == "folder":
            git.run("config", "remote.origin.uploadpack", UPLOAD_PACK)
        yield git


def _remove_leftovers(repository: Path) -> None:
    """What a killed git left: with our lock held, no other process can own these."""
    for leftover in [*repository.glob("*.lock"), *repository.glob("refs/**/*.lock")]:
        leftover.unlink(missing_ok=True)
    for leftover in [*repository.glob("objects/pack/tmp_*"), *repository.glob("objects/??/tmp_obj_*")]:
        leftover.unlink(missing_ok=True)


def _bring_commit(git: Git, source: str, ref: str | None, kind: str, shown: str) -> str:
    """Full sha of `ref`, its commit and trees (blobs too where the source cannot filter) in the cache."""
    if ref and _FULL_SHA.fullmatch(ref) and git.has_commit(ref) and _pinned(git, ref):
        return ref
    if kind == "bundle":
        git.network("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force", source,
                    "+refs/*:refs/bundle/*")  # fmt: skip
    advertised = _advertised(git)
    if not advertised:
        raise LayoutError(f"{shown} is an empty git repository: it has no commit to read.")
    wanted, name = _wanted(git, advertised, ref, kind, shown)
    if kind != "bundle" and not git.has_commit(wanted):
        asked = [name] if name else [wanted]
        git.network("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force", "--depth=1",
                    "--filter=blob:none", "origin", *asked)  # fmt: skip
    if not git.has_commit(wanted):
        if kind != "bundle" and name and wanted not in _advertised(git).values():
            return _bring_commit(git, source, ref, kind, shown)  # the branch moved between the two calls
        raise SourceError(f"{shown} has no commit {ref or wanted}: check the ref.")
    git.run("update-ref", f"refs/snapshots/{wanted}", wanted)
    return wanted


def _pinned(git: Git, sha: str) -> bool:
    return bool(git.text("for-each-ref", f"refs/snapshots/{sha}"))


def _advertised(git: Git) -> dict[str, str]:
    """Name -> commit of what the remote offers, tags peeled to what they name."""
    listed = git.network("ls-remote", "--quiet", "origin").decode("utf-8", "surrogateescape")
    refs = {}
    for line in listed.splitlines():
        sha, _, name = line.partition("\t")
        refs[name.removesuffix("^{}")] = sha  # the peeled line follows the tag's own
    return refs


def _wanted(
    git: Git, advertised: dict[str, str], ref: str | None, kind: str, shown: str
) -> tuple[str, str | None]:
    """Commit that `ref` means, and the name to ask for where it has one."""
    if ref is None:
        for name in ("HEAD", "refs/heads/main", "refs/heads/master"):
            if name in advertised:
                return advertised[name], name
        heads = [name for name in advertised if name.startswith("refs/heads/")]
        if len(heads) == 1:
            return advertised[heads[0]], heads[0]
        raise SourceError(f"{shown} has no default branch: name a commit, tag or branch.")
    for name in (f"refs/tags/{ref}", f"refs/heads/{ref}", ref):
        if name in advertised:
            return advertised[name], name
    lower = ref.lower()
    if _FULL_SHA.fullmatch(lower):
        return lower, None
    if _SHORT_SHA.fullmatch(lower):
        return _full_sha(git, advertised, lower, kind, shown), None
    raise SourceError(f"{shown} has no commit, tag or branch named {ref!r}: check the ref.")


def _full_sha(git: Git, advertised: dict[str, str], short: str, kind: str, shown: str) -> str:
    """The one commit whose id starts with `short`; without it among the refs, all history is asked for."""
    matches = {sha for sha in advertised.values() if sha.startswith(short)}
    if not matches and kind == "bundle":
        matches = {sha for sha in git.text("rev-list", "--all").split() if sha.startswith(short)}
    elif not matches:
        matches = {sha for sha in _history(git) if sha.startswith(short)}
    if len(matches) != 1:
        problem = "has no commit" if not matches else f"has {len(matches)} commits"
        raise SourceError(f"{shown} {problem} starting with {short}: give the full id.")
    return matches.pop()


def _history(git: Git) -> list[str]:
    """Ids of all commits on the remote's branches: commits alone, a few hundred bytes each.

    They live in a repository of their own, where no shallow boundary of a snapshot cuts them off.
    """
    assert git.git_dir
    aside = Git(git.git_dir.with_name("history.git"))
    Git().run("init", "--quiet", "--bare", "--template=", str(aside.git_dir))
    for name in ("remote.origin.url", "remote.origin.uploadpack"):
        if value := git.text("config", "--default", "", "--get", name):
            aside.run("config", name, value)
    aside.network("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force", "--filter=tree:0",
                  "origin", "+refs/heads/*:refs/heads/*")  # fmt: skip
    return aside.text("rev-list", "--all").split()


def _bring_tree(git: Git, commit: str, shown: str, limits: Limits, progress: Progress | None) -> FetchedTree:
    prefix, tree = _icons_tree(git, commit, shown)
    ids, refused = _listed(git, tree)
    check_counts(len(ids), 0, limits, shown)
    _require_layout(list(ids), shown)
    _bring_blobs(git, list(dict.fromkeys(ids.values())), tree, limits, shown, progress)
    sizes = git.sizes(ids.values())
    entries, kept = [], {}
    for path, oid in ids.items():
        if reason := _size_refusal(sizes[oid], limits):
            refused.append(RefusedEntry(path, reason))
        else:
            entries.append(TreeEntry(path, sizes[oid]))
            kept[path] = oid
    check_counts(len(entries), sum(entry.size for entry in entries), limits, shown)
    return FetchedTree(
        commit=commit,
        committed_at=git.text("show", "--no-patch", "--format=%cI", commit) or None,
        source_url=shown,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        refused=tuple(sorted(refused, key=lambda entry: entry.path)),
        prefix=prefix,
        _reader=GitReader(git, kept),
    )


def _icons_tree(git: Git, commit: str, shown: str) -> tuple[str, str]:
    """Where the icons are in the tree of `commit` (`static/icons`, or the top), and that tree's id."""
    try:
        found = git.text("rev-parse", "--verify", "--quiet", f"{commit}:{ICONS}")
        if git.text("cat-file", "-t", found) == "tree":
            return ICONS, found
        raise LayoutError(f"{shown}: {ICONS} is not a folder at {commit[:12]}.")
    except GitError:
        return "", git.text("rev-parse", "--verify", f"{commit}^{{tree}}")


def _listed(git: Git, tree: str) -> tuple[dict[str, str], list[RefusedEntry]]:
    """Path -> blob id of every regular file that is taken, and what is refused by its name or kind."""
    ids: dict[str, str] = {}
    refused: list[RefusedEntry] = []
    for record in git.run("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
        if not record:
            continue
        facts, _, raw = record.partition(b"\t")
        mode, _, oid = facts.decode("ascii").split(" ")
        path = raw.decode("utf-8", "surrogateescape")
        reason = {_LINK: "symbolic link", _SUBMODULE: "submodule"}.get(mode) or name_refusal(path)
        if reason or path in ids:
            refused.append(RefusedEntry(printable(path), reason or "the same path twice in one tree"))
        else:
            ids[path] = oid
    return ids, refused


def _bring_blobs(
    git: Git, wanted: list[str], tree: str, limits: Limits, shown: str, progress: Progress | None
) -> None:
    """Fetch the blobs of `wanted` that are not here, batch by batch; a failed batch keeps the others."""
    needed = set(wanted)
    missing = [oid for oid in git.missing(tree) if oid in needed]
    here = len(wanted) - len(missing)
    if progress:
        progress(here, len(wanted))
    for batch in in_batches(missing, BATCH):
        git.network(
            "-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "origin", "--no-tags",
            "--no-write-fetch-head", "--filter=blob:none", "--stdin",
            stdin="".join(f"{oid}\n" for oid in batch).encode(),
        )  # fmt: skip
        here += len(batch)
        check_counts(0, _bytes_on_disk(git), limits, shown)
        if progress:
            progress(here, len(wanted))
    if missing and (left := needed.intersection(git.missing(tree))):
        raise SourceError(f"{shown} did not send {len(left)} of the files it lists: try again later.")


def _bytes_on_disk(git: Git) -> int:
    listed = dict(line.split(": ") for line in git.text("count-objects", "-v").splitlines())
    return (int(listed["size"]) + int(listed["size-pack"])) * 1024


def _size_refusal(size: int, limits: Limits) -> str | None:
    return f"larger than {limits.max_file_bytes} bytes" if size > limits.max_file_bytes else None


def _require_layout(paths: list[str], shown: str) -> None:
    if not has_layout(paths):
        what = "no files" if not paths else "no icon at <licence>/<Category>/<Author>/<name>.svg"
        raise LayoutError(
            f"{shown} is no bioicons library: it has {what} under {ICONS}; give the repository or "
            "its icons folder."
        )
