"""Deployment and paths, read once from the environment (pydantic-settings, prefix `BIOICONS_`).

Belongs here: what differs between machines. Does not belong here: anything that changes a result (that
is a typed config of its room). No other module of the package reads `os.environ` for a setting; a
variable that a library defines (`HF_TOKEN`, `DAGSTER_HOME`, `AWS_*`) is left to that library.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_SOURCE = "https://github.com/duerrsimon/bioicons.git"
"""The public bioicons repository; see https://bioicons.com."""


class Settings(BaseSettings):
    """Settings of this machine; each field is the environment variable `BIOICONS_<NAME>`."""

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

    training_processes: int = Field(
        default=1, ge=1, description="Processes of one training, one a GPU; batch_size is of each."
    )

    @property
    def root(self) -> Path:
        """`data_dir` as an absolute path (Dagster's child processes may start elsewhere)."""
        return self.data_dir.expanduser().absolute()

    @property
    def resolved_store_root(self) -> str:
        """Root of the artifact store: an absolute folder or a URL."""
        if self.store_root is None:
            return str(self.root / "store")
        return self.store_root if "://" in self.store_root else str(Path(self.store_root).absolute())

    @property
    def cache_dir(self) -> Path:
        """What can be deleted at any time: git objects, renderings, locally built base models."""
        return self.root / "cache"

    @property
    def bases_dir(self) -> Path:
        """Locally built base models: each is built once, whoever asks for it."""
        return self.cache_dir / "bases"

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
    """The settings of this process."""
    return Settings()
