"""Resources: where things are and who does the heavy work. Defaults come from the settings.

Their values can be overridden in a run's config, which is how `bioicons run --source …` does it. No
resource holds a secret: literal values are visible in the code-location snapshot.
"""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.settings import get_settings

if TYPE_CHECKING:
    from bioicons_pipeline.store import Store
    from bioicons_pipeline.training.base_models import BaseModel
    from bioicons_pipeline.training.request import TrainingRequest


class ArtifactStore(dg.ConfigurableResource):
    """The artifact store and the folders beside it."""

    root: str
    cache_dir: str
    work_dir: str

    def open(self) -> "Store":
        """The store at `root`."""
        from bioicons_pipeline.store import Store

        return Store(self.root)

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return Path(self.cache_dir)

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

    def resolve(self, cache: Path) -> "BaseModel":
        """Find, or build, the base."""
        from bioicons_pipeline.training.base_models import resolve_base

        return resolve_base(self.name, cache / "bases")


class TrainingBackend(dg.ConfigurableResource):
    """Runs the one training entry in a process of its own, on this machine, through Dagster Pipes."""

    num_processes: int = 1

    def train(self, context: dg.AssetExecutionContext, request: "TrainingRequest") -> tuple[str, dict]:
        """Train as asked; returns the committed version's id and the trainer's summary.

        Raises:
            BioiconsError: the trainer said what was wrong, or ended without saying what it committed.
        """
        work = Path(request.work_dir)
        work.mkdir(parents=True, exist_ok=True)
        error_file = work / f"error-{context.run_id}-{uuid.uuid4().hex[:8]}.txt"
        command = [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--num_processes", str(self.num_processes), "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no"),
            *("-m", "bioicons_pipeline.training"),
        ]
        client = dg.PipesSubprocessClient()
        try:
            invocation = client.run(
                command=command,
                context=context,
                extras={"request": request.model_dump(mode="json")},
                env={"BIOICONS_TRAINING_ERROR_FILE": str(error_file)},
            )
        except dg.DagsterExecutionInterruptedError:
            raise
        except Exception as error:
            if error_file.is_file():
                raise BioiconsError(error_file.read_text(encoding="utf-8").strip()) from error
            raise
        finally:
            error_file.unlink(missing_ok=True)
        for message in reversed(list(invocation.get_custom_messages())):
            if isinstance(message, dict) and message.get("version_id"):
                return str(message["version_id"]), dict(message.get("summary") or {})
        raise BioiconsError(
            f"The training of {request.partition} ended without saying what it committed: see the step's "
            "log, then run it again; it resumes from its last checkpoint."
        )


def default_resources() -> dict[str, dg.ConfigurableResource]:
    """The resources as the settings of this machine have them."""
    settings = get_settings()
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
        "training_backend": TrainingBackend(num_processes=settings.training_processes),
    }
