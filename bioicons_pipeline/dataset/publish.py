"""Pushes a dataset folder to the Hugging Face hub, if every icon in it may go.

Belongs here: the licence gate of publishing, the plan, the upload. The `HfApi` is an argument: the command
line gives huggingface_hub's, which reads the user's own token, and tests give one that records. Follows
https://huggingface.co/docs/huggingface_hub/guides/upload.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bioicons_pipeline.dataset.export import shards
from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.library.licences import policy_for

REQUIRED = ("README.md", "ATTRIBUTION.md", "ATTRIBUTION.csv", "LICENSES", "dataset.json")


class PublishRefusedError(BioiconsError):
    """The dataset may not be published as it is; the message says why."""


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
    _check_repo_id(repo_id)
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
    files = sorted(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    )
    return PublishPlan(repo_id, private, mix.total(), tuple(files), tuple(mix.most_common()))


def _check_repo_id(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    problem = "it needs an owner" if repo_id.count("/") != 1 else ""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        problem = problem or str(error).split(":", 1)[0]
    if problem:
        raise PublishRefusedError(f"{repo_id!r} is no name of a repository ({problem}): write owner/name.")


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
    # HTTPError is that of the client library in use: requests, httpx or a later one.
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        LocalTokenNotFoundError,
    )

    try:
        api.create_repo(repo_id=repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=str(folder),
            commit_message=f"{plan.icons} icons under the licence preset {preset}",
            delete_patterns=["data/*.parquet"],  # shards of categories that are gone upstream
        )
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise PublishRefusedError(
            f"The hub refused {repo_id}: log in with `hf auth login` and check that you may write there "
            f"({type(error).__name__})."
        ) from error
    except (HTTPError, OSError) as error:
        raise PublishRefusedError(
            f"The hub cannot be reached for {repo_id}: check the network and run it again; what was uploaded "
            f"is not sent twice ({type(error).__name__})."
        ) from error
    return plan
