"""What the hub says of a base's repository: the commit to load, and what its files contain.

Belongs here: asking the hub, or its local cache when offline. Does not belong here: which bases there are and
who may ask (base_models). A commit alone does not tell whether the model has changed: most are to a README.
So a model's content is told by the hashes that the hub keeps of its files, SHA-256 for large ones and git's
blob id for small ones; the hub's client names files in its cache by the same
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from bioicons_pipeline.training.errors import TrainingError

_READ = {".safetensors", ".bin", ".json", ".txt", ".model"}
"""Endings of the files that a pipeline is loaded from: weights, configs, tokenizers."""


def hub_content(
    hub_id: str, parts: Collection[str], *, token: str | None, revision: str | None = None
) -> tuple[str, str]:
    """(commit, fingerprint of the content) of a model on the hub; without network, of what is in its cache.

    parts: the folders that a pipeline is loaded from; what else is in the repository does not count.
    revision: the commit to look at; None: the one that `main` points to.

    Raises:
        TrainingError: the hub refuses the token, or it cannot be reached and the cache lacks the model.
    """
    commit, files = _online(hub_id, token, revision) or _cached(hub_id, parts, revision)
    if files is None:
        return commit, f"hub:{hub_id}@{commit}"
    counted = {path: content for path, content in files.items() if is_loaded(path, parts)}
    total = hashlib.sha256(json.dumps(sorted(counted.items())).encode()).hexdigest()
    return commit, f"hub:{hub_id}@sha256:{total}"


def is_loaded(path: str, parts: Collection[str]) -> bool:
    """Whether a pipeline is loaded from `path`, relative to the model's root; its card is not, and nothing
    that an editor or a file system hides beside the files."""
    root, _, rest = path.partition("/")
    of_part = root in parts and bool(rest) and PurePosixPath(path).suffix in _READ
    return path == "model_index.json" or (of_part and "/." not in path)


def _online(
    hub_id: str, token: str | None, revision: str | None
) -> tuple[str, Mapping[str, str] | None] | None:
    """Commit, and path → hash of its files (None: a mirror that does not say them, and then the commit has to
    stand for the content); None altogether where the hub cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    try:
        found = HfApi(token=token).model_info(hub_id, revision=revision, timeout=20, files_metadata=True)
        files = {one.rfilename: one.lfs.sha256 if one.lfs else one.blob_id for one in found.siblings or ()}
        if found.sha:
            known = {path: content for path, content in files.items() if content}
            return found.sha, known if files and len(known) == len(files) else None
    except GatedRepoError as error:
        raise TrainingError(
            f"The Hugging Face token has no access to {hub_id}: accept its licence at "
            f"https://huggingface.co/{hub_id} with the account that the token belongs to."
        ) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise TrainingError(
                f"The hub refused the Hugging Face token for {hub_id}: set HF_TOKEN to a valid one."
            ) from error
    except (OSError, OfflineModeIsEnabled):
        pass  # no network: a base that was downloaded before still works
    except Exception as error:  # the hub client's transport raises types of its own (httpx)
        if not type(error).__module__.startswith(("httpx", "requests")):
            raise
    return None


def _cached(hub_id: str, parts: Collection[str], revision: str | None) -> tuple[str, Mapping[str, str]]:
    """The same from the local hub cache, where every file is a link to one that is named by its hash."""
    from huggingface_hub.constants import HF_HUB_CACHE

    root = Path(HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    main = root / "refs" / "main"
    commit = revision or (main.read_text().strip() if main.is_file() else "")
    folder = root / "snapshots" / commit
    # with a part missing it cannot be loaded, and would pass for another model
    if commit and all((folder / part).exists() for part in ("model_index.json", *parts)):
        links = [path for path in folder.rglob("*") if path.is_symlink()]
        return commit, {path.relative_to(folder).as_posix(): path.readlink().name for path in links}
    raise TrainingError(
        f"{hub_id} is not in the local hub cache and https://huggingface.co cannot be reached: connect "
        "once to download it, or give a local folder with --base."
    )
