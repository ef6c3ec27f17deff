"""Training on this machine: a subprocess under `accelerate launch`, with the disk in common."""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from bioicons_pipeline.orchestration.backends.base import (
    ENTRY,
    Ended,
    TrainingBackend,
    TrainingDiedError,
    told_error,
)
from bioicons_pipeline.processes import command

if TYPE_CHECKING:
    from bioicons_pipeline.training.request import TrainingRequest


LAUNCHER = "accelerate.commands.launch"


def launch_arguments(processes: int) -> list[str]:
    """Arguments of `accelerate launch` for the training entry, `processes` of it."""
    return [
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *ENTRY,
    ]


class LocalTraining(TrainingBackend):
    """Runs trainings on this machine."""

    def run_entry(self, context: dg.AssetExecutionContext, request: "TrainingRequest") -> Ended:
        work = Path(request.work_dir)
        work.mkdir(parents=True, exist_ok=True)
        error_file = work / f"error-{context.run.run_id}-{uuid.uuid4().hex[:8]}.txt"
        try:
            invocation = dg.PipesSubprocessClient().run(
                command=command(LAUNCHER, *launch_arguments(self.num_processes)),
                context=context,
                extras={"request": request.model_dump(mode="json")},
                env={"BIOICONS_TRAINING_ERROR_FILE": str(error_file)},
            )
        except dg.DagsterExecutionInterruptedError:
            raise
        except Exception as error:
            if error_file.is_file():
                raise told_error(json.loads(error_file.read_text(encoding="utf-8"))) from error
            raise TrainingDiedError(
                f"The training of {request.partition} was killed, or failed unexpectedly: see the step's log."
            ) from error
        finally:
            error_file.unlink(missing_ok=True)
        return Ended(list(invocation.get_custom_messages()))
