"""The Hugging Face hub: names of repositories, and the upload of a folder as one commit.

Belongs here: what datasets and adapters share. Does not belong here: what may be published (publish, and
generation/release). The `HfApi` is an argument: the command line gives huggingface_hub's, which reads the
user's own token, and tests give one that records. Follows
https://huggingface.co/docs/huggingface_hub/guides/upload.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioicons_pipeline.errors import BioiconsError


class PublishRefusedError(BioiconsError):
    """It may not, or cannot, be published as it is; the message says why."""


def check_repo_id(repo_id: str) -> None:
    """Refuse a name that the hub would refuse.

    Raises:
        PublishRefusedError: it is no `owner/name`.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    problem = "it needs an owner" if repo_id.count("/") != 1 else ""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        problem = problem or str(error).split(":", 1)[0]
    if problem:
        raise PublishRefusedError(f"{repo_id!r} is no name of a repository ({problem}): write owner/name.")


def files_of(folder: Path) -> tuple[tuple[str, int], ...]:
    """(path in the repository, bytes) of all files below `folder`, sorted."""
    return tuple(
        sorted(
            (path.relative_to(folder).as_posix(), path.stat().st_size)
            for path in folder.rglob("*")
            if path.is_file()
        )
    )


def push(
    folder: Path,
    repo_id: str,
    repo_type: str,
    message: str,
    *,
    api: Any,
    private: bool = False,
    replaces: Sequence[str] = (),
) -> None:
    """Create the repository if it is not there and upload `folder` in one commit.

    repo_type: `dataset` or `model`; replaces: patterns of files that go away where `folder` lacks them.

    Raises:
        PublishRefusedError: the hub refuses, or cannot be reached.
    """
    # HTTPError is that of the client library in use: requests, httpx or a later one.
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage]
        LocalTokenNotFoundError,
    )

    try:
        api.create_repo(repo_id=repo_id, repo_type=repo_type, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type=repo_type,
            folder_path=str(folder),
            commit_message=message,
            delete_patterns=list(replaces),
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
