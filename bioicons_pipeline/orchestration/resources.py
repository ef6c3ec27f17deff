"""Resources: where things are and who does the heavy work. Defaults come from the settings.

Their values can be overridden in a run's config, which is how `bioicons run --source …` does it. No
resource holds a secret: literal values are visible in the code-location snapshot.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from bioicons_pipeline.orchestration.backends import TrainingBackend, training_backend
from bioicons_pipeline.processes import end_with_run
from bioicons_pipeline.settings import BASES, get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.library.drift import Thresholds
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import BaseModel

__all__ = [
    "ArtifactStore",
    "Base",
    "RetrainingPolicy",
    "TrainingBackend",
    "UpstreamLibrary",
    "default_resources",
]


class ArtifactStore(dg.ConfigurableResource):
    """The artifact store and the folders beside it."""

    root: str
    cache_dir: str
    work_dir: str

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Every asset and check has this resource, so every step's process comes by here before it works."""
        end_with_run()

    def open(self) -> "Store":
        """The store at `root`."""
        from bioicons_pipeline.store import Store

        return Store(self.root)

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return Path(self.cache_dir)

    @property
    def bases(self) -> Path:
        """Locally built base models."""
        return self.cache / BASES

    @property
    def work(self) -> Path:
        """Scratch of trainings, kept for resume."""
        return Path(self.work_dir)


class UpstreamLibrary(dg.ConfigurableResource):
    """The upstream icon library and how it is read."""

    source: str
    ref: str = ""
    licence_preset: str
    curation: str = ""
    render_size: int
    workers: int = 0


class Base(dg.ConfigurableResource):
    """The base model that adapters are trained on: a name of the registry or a diffusers folder."""

    name: str

    def resolve(self, bases: Path, *, elsewhere: bool = False) -> "BaseModel":
        """Find the base, or build it in the folder `bases`; elsewhere: another machine loads its weights."""
        from bioicons_pipeline.training.base_models import resolve_base

        return resolve_base(self.name, bases, elsewhere=elsewhere)

    def stored_as(self, bases: Path) -> str:
        """How refs name the base. It asks for neither hub nor token: what a training on another machine has
        left is found where there is no way to the base's weights."""
        from bioicons_pipeline.orchestration.stages.training_plan import planned_base

        return planned_base(self.name, bases).stored_as


class RetrainingPolicy(dg.ConfigurableResource):
    """How much must change before a LoRA is trained again."""

    share: float = 0.05
    icons: int = 10

    def thresholds(self) -> "Thresholds":
        """The same, as the library room knows it."""
        from bioicons_pipeline.library.drift import Thresholds

        return Thresholds(share=self.share, icons=self.icons)


def default_resources() -> dict[str, dg.ConfigurableResource]:
    """The resources as the settings of this machine have them.

    Raises:
        BioiconsError: a setting lacks something, or carries a secret that would be shown and stored.
    """
    from bioicons_pipeline.library.source import refuse_credentials

    settings = get_settings()
    refuse_credentials(settings.source)
    return {
        "artifacts": ArtifactStore(
            root=settings.resolved_store_root,
            cache_dir=str(settings.cache_dir),
            work_dir=str(settings.work_dir),
        ),
        "upstream": UpstreamLibrary(
            source=settings.source,
            ref=settings.ref or "",
            licence_preset=settings.licence_preset,
            curation=str(settings.curation) if settings.curation else "",
            render_size=settings.render_size,
            workers=settings.workers or 0,
        ),
        "base": Base(name=settings.base),
        "retraining": RetrainingPolicy(share=settings.retrain_share, icons=settings.retrain_icons),
        "training_backend": training_backend(settings),
    }
