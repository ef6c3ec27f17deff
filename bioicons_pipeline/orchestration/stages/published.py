"""What has left for the hub: a ref for every publication, so that nothing of it is ever pruned.

A ref for each adapter and repository, under the asset `published_adapter`; its info names the dataset and the
grid that went with it. Nothing reads these to decide anything.
"""

from dataclasses import dataclass

from bioicons_pipeline.store import Store

PUBLISHED = "published_adapter"


@dataclass(frozen=True)
class Publication:
    """An adapter's version, the base as refs name it, its dataset's version, its grid's if there is one."""

    adapter: str
    base: str
    dataset: str
    grid: str | None = None


def remember(store: Store, publication: Publication, repo: str) -> None:
    """Note that `publication` is in the repository `repo` on the hub."""
    info = {"repo": repo, "dataset_version": publication.dataset, "grid_version": publication.grid}
    store.set_ref(
        PUBLISHED,
        publication.adapter,
        partition=f"{repo} {publication.adapter[:12]}",
        base=publication.base,
        info=info,
    )
