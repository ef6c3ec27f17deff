"""Deployment and paths, read once from the environment (pydantic-settings, prefix `BIOICONS_`).

Belongs here: what differs between machines, and what this deployment makes its results from: which library
in which state (`source`, `ref`), under which licences and decisions (`licence_preset`, `curation`), at which
size (`render_size`), on which base (`base`). These change a result, so what depends on them is made anew
where one changes. (`training_processes` multiplies a training's batch, and alone starts no new one.) Does
not belong here: anything else that changes a result (that is a typed config of its room). No other module of
the package reads `os.environ` for a setting; a variable that a library defines (`HF_TOKEN`, `DAGSTER_HOME`,
`AWS_*`) is left to that library.
"""

import os.path
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bioicons_pipeline.errors import BioiconsError

BASES = "bases"
"""Folder of the cache with the base models that were built here."""
DEFAULT_SOURCE = "https://github.com/duerrsimon/bioicons.git"
"""The public bioicons repository; see https://bioicons.com."""


MAY_BE_EMPTY = frozenset({"ecs_instance_metadata"})
"""Fields whose empty value is a value: docs/training_backends.md."""


def _expanded(path: Path) -> Path:
    """`path` with `~` and `~name` as folders; as it is where there is no such home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises where there is none


class SettingsError(BioiconsError):
    """A setting is missing, has a value that it cannot have, or does not go with another."""


class Settings(BaseSettings):
    """Settings of this machine; each field is the environment variable `BIOICONS_<NAME>`. A variable that is
    empty is as one that is not set, and `~` is the home folder, for no shell may have seen either."""

    model_config = SettingsConfigDict(env_prefix="BIOICONS_", extra="ignore")

    data_dir: Path = Field(
        default=Path("data"),
        description="Folder of everything this project writes here: store, caches, Dagster's history.",
    )
    store_root: str | None = Field(
        default=None,
        description="Root of the artifact store, a folder or an fsspec URL; `<data_dir>/store` when unset.",
    )
    source: str = Field(
        default=DEFAULT_SOURCE,
        description="Upstream library: git URL, git folder, bundle, plain folder, or `starter`.",
    )
    ref: str | None = Field(default=None, description="Commit, tag or branch; the default branch when unset.")
    base: str = Field(
        default="flux-nano", description="Base model: a name of the registry or a diffusers folder."
    )
    licence_preset: str = Field(
        default="attribution",
        description="Licences that may be trained on: public-domain, permissive, attribution, share-alike.",
    )
    curation: Path | None = Field(
        default=None,
        description="A curation.yaml with decisions on single icons; the packaged one when unset.",
    )
    render_size: int = Field(
        default=1024, ge=16, le=4096, description="Side of the square training images, px."
    )
    workers: int | None = Field(
        default=None, ge=1, description="Rendering processes; one per core when unset."
    )

    training_hours: float = Field(
        default=48, gt=0, description="A training run that takes longer, hours, is stopped and fails."
    )
    training_processes: int = Field(
        default=1, ge=1, description="Processes of one training, one a GPU; batch_size is of each."
    )

    deployment: Literal["local", "aws", "modal"] = Field(
        default="local",
        description="Where trainings run: on this machine, as tasks of AWS ECS, or as sandboxes of Modal.",
    )
    automation: bool | None = Field(
        default=None,
        description="Watch upstream, rebuild and retrain unattended; unset: on for `aws`, off for `local`.",
    )
    observe_cron: str = Field(
        default="0 4 * * 1", description="When upstream is looked at: five cron fields, UTC."
    )
    retrain_share: float = Field(
        default=0.05, gt=0, le=1, description="Share of a LoRA's icons that must change for a new training."
    )
    retrain_icons: int = Field(
        default=10, ge=1, description="Or this many changed icons, where that is fewer."
    )

    ecs_cluster: str = Field(default="", description="ECS: name of the cluster.")
    ecs_task_definition: str = Field(
        default="", description="ECS: family, or family:revision, of the trainer's task definition."
    )
    ecs_container: str = Field(default="trainer", description="ECS: the trainer's container in it.")
    ecs_capacity_provider: str = Field(
        default="", description="ECS: a capacity provider with GPU hosts (EC2 or managed instances)."
    )
    ecs_subnets: str = Field(
        default="", description="ECS: subnets, with commas between them; for tasks in awsvpc mode."
    )
    ecs_security_groups: str = Field(default="", description="ECS: security groups, with commas.")
    ecs_messages: str = Field(
        default="",
        description="ECS and Modal: s3://bucket/prefix for what Dagster and a host tell each other; "
        "`<store_root>/pipes` when unset.",
    )
    ecs_work_dir: str = Field(default="work", description="ECS: scratch folder in the container.")
    ecs_poll_seconds: float = Field(default=10, ge=0, description="ECS: pause between two looks at a task.")
    ecs_instance_metadata: str = Field(
        default="http://169.254.169.254",
        description="ECS: root of the hosts' metadata service, which a task asks every 5 s whether its spot "
        "host is about to be taken; empty: not asked.",
    )
    ecs_retries: int = Field(default=5, ge=0, description="ECS: new hosts after the first one was lost.")

    modal_app: str = Field(default="bioicons", description="Modal: name of the app; made if it is not there.")
    modal_gpu: str = Field(default="L40S", description="Modal: kind of GPU.")
    modal_secrets: str = Field(
        default="",
        description="Modal: names of secrets, with commas: AWS_* for the bucket, HF_TOKEN for a gated base.",
    )
    modal_image: str = Field(
        default="", description="Modal: an image with this package; made of this checkout when unset."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Scripts and .env files leave empty what they have no value for, and an empty path would be the
        current folder. (`env_ignore_empty` would do this also to a field of which empty is a value.)"""
        return {name: value for name, value in values.items() if value != "" or name in MAY_BE_EMPTY}

    @field_validator("data_dir", "curation")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return _expanded(path) if path else path

    def check_deployment(self) -> None:
        """Refuse a deployment that lacks something: settings of its own, and a store on S3.

        Raises:
            SettingsError: all that is lacking, by the names of the variables.
        """
        names = {
            "aws": ("ecs_cluster", "ecs_task_definition", "ecs_container", "ecs_capacity_provider"),
            "modal": ("modal_app", "modal_gpu", "modal_secrets"),
        }.get(self.deployment)
        if names is None:
            return
        lacking = [f"BIOICONS_{name.upper()}" for name in names if not getattr(self, name)]
        if lacking:
            raise SettingsError(
                f"BIOICONS_DEPLOYMENT={self.deployment} needs {', '.join(lacking)}: set them."
            )
        places = {"STORE_ROOT": self.resolved_store_root, "ECS_MESSAGES": self.resolved_messages}
        for name, place in places.items():
            if not place.startswith("s3://"):
                raise SettingsError(
                    f"BIOICONS_DEPLOYMENT={self.deployment} shares nothing but S3 with its hosts, and "
                    f"BIOICONS_{name} is not on S3: set it to s3://bucket/prefix."
                )

    @property
    def resolved_messages(self) -> str:
        """Where Dagster and a task leave messages for each other."""
        return self.ecs_messages or f"{self.resolved_store_root.rstrip('/')}/pipes"

    @property
    def automated(self) -> bool:
        """Whether schedule and automation sensors run from the start."""
        return self.deployment == "aws" if self.automation is None else self.automation

    @property
    def root(self) -> Path:
        """`data_dir` as an absolute path (Dagster's child processes may start elsewhere)."""
        return self.data_dir.absolute()

    @property
    def resolved_store_root(self) -> str:
        """Root of the artifact store: an absolute folder or a URL."""
        if self.store_root is None:
            return str(self.root / "store")
        return (
            self.store_root if "://" in self.store_root else str(_expanded(Path(self.store_root)).absolute())
        )

    @property
    def cache_dir(self) -> Path:
        """What can be deleted at any time: git objects, renderings, locally built base models."""
        return self.root / "cache"

    @property
    def bases_dir(self) -> Path:
        """Locally built base models: each is built once, whoever asks for it."""
        return self.cache_dir / BASES

    @property
    def work_dir(self) -> Path:
        """Scratch of running trainings: caches of latents, checkpoints to resume from."""
        return self.root / "work"

    @property
    def dagster_dir(self) -> Path:
        """Dagster's history: runs, events, logs."""
        return self.root / "dagster"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a variable has a value that it cannot have; names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"BIOICONS_{'_'.join(map(str, one['loc'])).upper()}={one['input']!r}: {one['msg']}"
            for one in error.errors()
        )
        raise SettingsError(f"{wrong}. Change or unset it (README, Install).") from error
