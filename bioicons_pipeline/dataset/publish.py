"""Pushes a dataset folder to the Hugging Face hub, if every icon in it may go.

Belongs here: the licence gate of publishing, and the plan. Does not belong here: the upload (hub).
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bioicons_pipeline.dataset.export import shards
from bioicons_pipeline.dataset.hub import PublishRefusedError, check_repo_id, files_of, push
from bioicons_pipeline.library.licences import policy_for

REQUIRED = ("README.md", "ATTRIBUTION.md", "ATTRIBUTION.csv", "LICENSES", "dataset.json")


@dataclass(frozen=True)
class PublishPlan:
    """What goes where: `files` are (path in the repository, bytes), sorted; `licence_mix` (SPDX, icons)."""

    repo_id: str
    private: bool
    icons: int
    files: tuple[tuple[str, int], ...]
    licence_mix: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.files)


def plan_publish(folder: Path, repo_id: str, preset: str, *, private: bool = False) -> PublishPlan:
    """What `publish_dataset` would send; reads licences and names from the shards, no pictures.

    Raises:
        PublishRefusedError: no icons, credits missing, or an icon whose licence `preset` does not allow.
    """
    missing = [name for name in REQUIRED if not (folder / name).exists()]
    if missing:
        raise PublishRefusedError(f"{folder} lacks {', '.join(missing)}: build the dataset again.")
    check_repo_id(repo_id)
    policy, mix = policy_for(preset), Counter[str]()
    for _, shard in shards(folder):
        for row in pq.read_table(shard, columns=["icon_id", "name", "spdx"]).to_pylist():
            mix[row["spdx"]] += 1
            if not policy.allows(row["spdx"]):
                raise PublishRefusedError(
                    f"Icon {row['icon_id']} ({row['name']}, {row['spdx'] or 'no licence'}) is outside the "
                    f"licence preset {preset!r}: build the dataset with this preset before publishing."
                )
    if not mix:
        raise PublishRefusedError(f"{folder} holds no icon: there is nothing to publish.")
    return PublishPlan(repo_id, private, mix.total(), files_of(folder), tuple(mix.most_common()))


def publish_dataset(
    folder: Path, repo_id: str, preset: str, *, api: Any, private: bool = False, dry_run: bool = False
) -> PublishPlan:
    """Create the dataset repository if it is not there and upload `folder` in one commit.

    api: a `huggingface_hub.HfApi`. With `dry_run` the api is not touched. Returns the plan.

    Raises:
        PublishRefusedError: see `plan_publish`, or the hub refuses.
    """
    plan = plan_publish(folder, repo_id, preset, private=private)
    if dry_run:
        return plan
    message = f"{plan.icons} icons under the licence preset {preset}"
    # shards of categories that are gone upstream go away
    push(folder, repo_id, "dataset", message, api=api, private=private, replaces=("data/*.parquet",))
    return plan
