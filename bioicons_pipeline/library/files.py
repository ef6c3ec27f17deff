"""The files of one commit: which are taken, and their bytes, fetched batch by batch.

Belongs here: reading the tree with NUL-separated names, and asking a remote for exactly the blobs that are
not here, so that a cut connection costs one batch and a second run asks only for what is new. Does not belong
here: which commit (`repository`), which names are refused (`tree`).
"""

from bioicons_pipeline.library.git import Git, GitError, SourceError, in_batches
from bioicons_pipeline.library.tree import (
    ICONS,
    FetchedTree,
    GitReader,
    LayoutError,
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

BATCH = 400
"""Blobs asked for at once: about 5 MB of icons, a few seconds on a slow line."""
_LINK, _SUBMODULE = "120000", "160000"


def bring_tree(git: Git, commit: str, shown: str, limits: Limits, progress: Progress | None) -> FetchedTree:
    """The state of `commit`, which is in `git`, with every blob of it fetched."""
    prefix, tree = icons_tree(git, commit, shown)
    ids, refused = listed(git, tree)
    check_counts(len(ids), 0, limits, shown)
    require_layout(list(ids), shown)
    _bring_blobs(git, list(dict.fromkeys(ids.values())), tree, limits, shown, progress)
    sizes = git.sizes(ids.values())
    entries, kept = [], {}
    for path, oid in ids.items():
        if reason := size_refusal(sizes[oid], limits):
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


def icons_tree(git: Git, commit: str, shown: str) -> tuple[str, str]:
    """Where the icons are in the tree of `commit` (`static/icons`, or the top), and that tree's id."""
    try:
        found = git.text("rev-parse", "--verify", "--quiet", f"{commit}:{ICONS}")
        if git.text("cat-file", "-t", found) == "tree":
            return ICONS, found
        raise LayoutError(f"{shown}: {ICONS} is not a folder at {commit[:12]}.")
    except GitError:
        return "", git.text("rev-parse", "--verify", f"{commit}^{{tree}}")


def listed(git: Git, tree: str) -> tuple[dict[str, str], list[RefusedEntry]]:
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
    for path, reason in twin_refusals(ids).items():
        del ids[path]
        refused.append(RefusedEntry(printable(path), reason))
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
