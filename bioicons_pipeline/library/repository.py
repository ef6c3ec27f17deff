"""Our bare copy of a git source, and finding in it the commit that a ref means.

Belongs here: one repository for each source in the cache, held by one process at a time; what a remote
advertises; full and short ids, tags, branches; shallow fetches without blobs. Every state fetched is pinned
by a ref of ours: it can be read when upstream has moved on or was rewritten. Does not belong here: the files
of a commit (`files`), how git is run (`git`).
"""

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioicons_pipeline.library.git import UPLOAD_PACK, Git, SourceError
from bioicons_pipeline.library.tree import LayoutError, without_credentials

_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{4,39}")


@contextmanager
def repository(source: str, cache_dir: Path, kind: str) -> Iterator[Git]:
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


def bring_commit(git: Git, source: str, ref: str | None, kind: str, shown: str) -> str:
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
            return bring_commit(git, source, ref, kind, shown)  # the branch moved between the two calls
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
