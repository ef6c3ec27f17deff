"""The registry of base models: names, licences, where their files are, what identifies their content.

Belongs here: everything one needs to know of a base before loading it. Does not belong here: loading
(loop, generation) and building the tiny base (tiny_base). Imports neither torch nor the hub client at
module level, and validates before it imports them. A folder is in diffusers layout when it has a
`model_index.json` (https://huggingface.co/docs/diffusers/using-diffusers/loading#local-pipeline).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.hub_base import hub_content, is_loaded

COMPONENTS = ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae")


@dataclass(frozen=True)
class BaseLicence:
    """Terms of a base model. `notice` is printed on every card of an adapter trained on it."""

    name: str
    url: str | None
    commercial_use: bool | None
    notice: str


@dataclass(frozen=True)
class RegisteredBase:
    """A row of the registry: either a repository on the hub or a function that builds the files."""

    name: str
    description: str
    licence: BaseLicence
    hub_id: str | None = None
    gated: bool = False
    build: Callable[[Path], Path] | None = None
    preset: str = "gpu-80gb"
    """Training preset that suits it."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a TrainingConfig that it needs otherwise than any preset has them."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Steps and guidance that it is sampled with, where they are not those of FLUX.1-dev."""


@dataclass(frozen=True)
class BaseModel:
    """A base that can be loaded: `from_pretrained(base.path, revision=base.revision)`.

    path: absolute folder, or hub id; revision: commit on the hub, None for folders; fingerprint: equal
    for equal content, whatever the commit.
    """

    name: str
    path: str
    licence: BaseLicence
    fingerprint: str
    revision: str | None = None


def _build_tiny(cache_dir: Path) -> Path:
    from bioicons_pipeline.training.tiny_base import build_tiny_base

    return build_tiny_base(cache_dir)


PACKAGED_NANO = Path(__file__).parent / "flux_nano"
"""The folder that `python -m bioicons_pipeline.training.pretrain --out` wrote, shipped in the package."""


def _packaged_nano(_: Path) -> Path:
    if not (PACKAGED_NANO / "model_index.json").is_file():
        raise TrainingError(
            "flux-nano is not trained in this checkout: use flux-tiny, or train it (about 100 minutes on "
            f"two cores) with `python -m bioicons_pipeline.training.pretrain --out {PACKAGED_NANO}`."
        )
    return PACKAGED_NANO


REGISTRY: dict[str, RegisteredBase] = {
    row.name: row
    for row in (
        RegisteredBase(
            name="flux1-dev",
            description="FLUX.1-dev by Black Forest Labs: 12 B parameters, guidance-distilled.",
            hub_id="black-forest-labs/FLUX.1-dev",
            gated=True,
            licence=BaseLicence(
                name="FLUX.1 [dev] Non-Commercial License",
                url="https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
                commercial_use=False,
                notice="This adapter is a derivative of FLUX.1 [dev] and falls under the FLUX.1 [dev] "
                "Non-Commercial License: non-commercial use only.",
            ),
        ),
        RegisteredBase(
            name="flux1-schnell",
            description="FLUX.1-schnell by Black Forest Labs: 12 B parameters, distilled to four steps.",
            hub_id="black-forest-labs/FLUX.1-schnell",
            gated=True,  # the licence is free, and yet the hub has come to ask for an account
            licence=BaseLicence(
                name="Apache-2.0",
                url="https://www.apache.org/licenses/LICENSE-2.0",
                commercial_use=True,
                notice="The base model is FLUX.1 [schnell] by Black Forest Labs, under Apache License 2.0. "
                "It is distilled to four steps, and training an adapter undoes part of that: where four "
                "steps draw badly, take more.",
            ),
            # https://huggingface.co/docs/diffusers/api/pipelines/flux: at most 256 tokens, guidance 0
            training={"t5_length": 256, "validation_steps": 4, "validation_guidance": 0.0},
            sampling={"steps": 4, "guidance": 0.0},
        ),
        RegisteredBase(
            name="flux-nano",
            description="The classes of FLUX.1 scaled down, trained on open icon sets: to try the pipeline.",
            build=_packaged_nano,
            preset="cpu-nano",
            licence=BaseLicence(
                name="MIT",
                url="https://opensource.org/license/mit",
                commercial_use=True,
                notice="The base model is flux-nano, a small one made by this project to try the pipeline "
                "(its card names the icon sets it learnt from): its icons are not for figures.",
            ),
        ),
        RegisteredBase(
            name="flux-tiny",
            description="The classes of FLUX.1 scaled down, random weights: shows that everything works.",
            build=_build_tiny,
            preset="tiny",
            licence=BaseLicence(
                name="MIT",
                url="https://opensource.org/license/mit",
                commercial_use=True,
                notice="The base model has random weights, made by this project: the images show that the "
                "pipeline works, not what FLUX.1 can draw.",
            ),
        ),
    )
}
"""Every base that has a name. A further one is one more row."""

_FOLDER_LICENCE = BaseLicence(
    name="unknown (local folder)",
    url=None,
    commercial_use=None,
    notice="The base model is a local folder; its licence is that of whoever made it.",
)


def check_base(name_or_folder: str) -> None:
    """Cheap validation: a known name with a token where one is needed, or a folder in diffusers layout.

    Raises:
        TrainingError: one sentence that says what to do. Nothing is imported, built or downloaded before.
    """
    row = REGISTRY.get(name_or_folder)
    if row is not None:
        if row.gated and hub_token() is None:
            raise TrainingError(
                f"{row.name} is gated and no Hugging Face token was found: accept its licence at "
                f"https://huggingface.co/{row.hub_id}, then set HF_TOKEN (or run `hf auth login`)."
            )
        return
    folder = Path(name_or_folder).expanduser()
    names = ", ".join(sorted(REGISTRY))
    if not folder.is_dir():
        raise TrainingError(
            f"Base model {name_or_folder!r} is neither a known name ({names}) nor an existing folder: "
            "give one of these names or the path of a model in diffusers layout."
        )
    if not (folder / "model_index.json").is_file():
        raise TrainingError(
            f"The folder {name_or_folder} is no model in diffusers layout (no model_index.json): give the "
            f"folder that contains it, or one of {names}."
        )
    missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
    if missing:
        raise TrainingError(
            f"The base model in {name_or_folder} lacks {', '.join(missing)}: give a complete Flux pipeline."
        )


def resolve_base(
    name_or_folder: str,
    cache_dir: str | os.PathLike[str],
    *,
    elsewhere: bool = False,
    revision: str | None = None,
) -> BaseModel:
    """The base behind a name or folder; a base that is built locally is built under `cache_dir`, once.

    elsewhere: its weights are loaded on another machine, and so is the token that a gated one needs: which
    commit the hub has is said to anyone. revision: of one on the hub the commit to take, None: the newest.

    Raises:
        TrainingError: see `check_base`; also when the hub refuses the token or cannot be reached.
    """
    row = REGISTRY.get(name_or_folder)
    if row is None or not elsewhere:
        check_base(name_or_folder)
    if row is None:
        folder = Path(name_or_folder).expanduser().resolve()
        return BaseModel(folder.name, str(folder), _FOLDER_LICENCE, folder_fingerprint(folder))
    if row.build is not None:
        folder = row.build(Path(cache_dir)).resolve()
        return BaseModel(row.name, str(folder), row.licence, folder_fingerprint(folder))
    assert row.hub_id is not None
    commit, fingerprint = hub_content(row.hub_id, COMPONENTS, token=hub_token(), revision=revision)
    return BaseModel(row.name, row.hub_id, row.licence, fingerprint, commit)


def is_of(fingerprint: str, base: BaseModel) -> bool:
    """Whether something made on a base with `fingerprint` fits `base`.

    Before the content of a repository on the hub was looked at, its commit stood for it: an adapter of that
    time fits whatever the repository has now, as far as anyone can tell.
    """
    commit = rf"hub:{re.escape(base.path)}@[0-9a-f]{{40}}"
    return fingerprint == base.fingerprint or bool(base.revision and re.fullmatch(commit, fingerprint))


def hub_token() -> str | None:
    """The user's Hugging Face token: `HF_TOKEN`, else the file that `hf auth login` writes.

    Follows huggingface_hub's own order without importing it
    (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
    """
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable, "").strip():
            return os.environ[variable].strip()
    home = Path(
        os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    )
    file = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        return file.read_text().strip() or None
    except OSError:
        return None


_WHOLE_FILE = 64 * 2**20
_SAMPLES = 16
_SAMPLE_SIZE = 2**20


def folder_fingerprint(folder: Path) -> str:
    """Content fingerprint of a model folder, `sha256:<hex>`: paths, sizes and bytes of what is loaded of it.
    Its card may say more tomorrow: what was trained on it is no older for that.

    Of a file over 64 MiB the first MiB (which has the safetensors header) and 16 evenly spread MiB are
    hashed, so that 34 GB of FLUX.1 take seconds; two trainings of one architecture differ in any of them.
    """
    total = hashlib.sha256()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        relative = path.relative_to(folder).as_posix()
        if not is_loaded(relative, COMPONENTS):
            continue
        total.update(json.dumps([relative, path.stat().st_size, _file_digest(path)]).encode())
    return f"sha256:{total.hexdigest()}"


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= _WHOLE_FILE:
            while chunk := file.read(_SAMPLE_SIZE):
                digest.update(chunk)
        else:
            for index in range(_SAMPLES + 1):
                file.seek(index * (size - _SAMPLE_SIZE) // _SAMPLES)
                digest.update(file.read(_SAMPLE_SIZE))
    return digest.hexdigest()
