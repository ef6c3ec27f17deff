"""Training on a rented GPU without an account at AWS: a sandbox of Modal (https://modal.com/docs/guide/sandbox).

Belongs here: what is asked of Modal, and what its answer means. As on ECS only S3 is shared (any bucket that
speaks S3 with conditional writes), and no secret passes through Dagster: the names of Modal secrets do, which
hold `AWS_*` for the bucket and `HF_TOKEN` for a gated base. Modal's own token is the client's business
(`modal token new`, `MODAL_TOKEN_*`). `modal` is imported when a training starts.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from bioicons_pipeline.errors import BioiconsError
from bioicons_pipeline.orchestration.backends.base import Ended, was_interrupted
from bioicons_pipeline.orchestration.backends.remote import RemoteTraining, name_of, names_in

if TYPE_CHECKING:
    from bioicons_pipeline.training.request import TrainingRequest

PACKAGE = Path(__file__).parents[2]
LOCK = PACKAGE.parent / "deploy" / "aws" / "requirements.lock"
"""`constraints.txt` with hashes, in a checkout."""
LONGEST_HOURS = 24
"""What Modal lets a sandbox live at most; a longer training goes on in a next one."""
_TAG = "bioicons-training"


class ModalTraining(RemoteTraining):
    """Runs trainings as sandboxes of Modal, one GPU a process. Holds no secret."""

    app: str = "bioicons"
    gpu: str = "L40S"
    secrets: str
    """Names of Modal secrets, with commas between them."""
    image: str = ""
    """An image with this package; unset: made of this checkout and its lock."""

    def run_entry(self, context: dg.AssetExecutionContext, request: "TrainingRequest") -> Ended:
        modal, talk = self._modal(), self.conversation(context.run.run_id)
        problem, lost = None, False
        try:
            with dg.open_pipes_session(
                context=context,
                context_injector=talk.injector(),
                message_reader=talk.reader(),
                extras={"request": request.model_dump(mode="json")},
            ) as session:
                environment = {**session.get_bootstrap_env_vars(), **talk.environment()}
                sandbox = self._start(modal, request, environment)
                problem, lost = self._followed(modal, sandbox)
        finally:
            messages = talk.close()
        if problem and not lost and was_interrupted(messages):
            return Ended(messages, "was told to stop by its host", lost=True)
        return Ended(messages, problem, lost)

    def _start(self, modal: Any, request: "TrainingRequest", environment: dict[str, str]) -> Any:
        """A new sandbox; those of the same training whose orchestrator died are ended first."""
        tags = {_TAG: name_of(request)}
        names = names_in(self.secrets)
        try:
            app = modal.App.lookup(self.app, create_if_missing=True)
            for orphan in modal.Sandbox.list(app_id=app.app_id, tags=tags):
                orphan.terminate(wait=True)
            return modal.Sandbox.create(
                *self.command(),
                app=app,
                tags=tags,
                image=self._image(modal),
                gpu=f"{self.gpu}:{self.num_processes}",
                secrets=[modal.Secret.from_name(name) for name in names],
                env=environment,
                timeout=LONGEST_HOURS * 3600,
            )
        except modal.exception.Error as error:
            raise BioiconsError(
                f"Modal does not start the training ({error}): check `modal token info`, that the secrets "
                f"{', '.join(names)} exist, and that {self.gpu} is a GPU of Modal's; then run it again."
            ) from error

    def _followed(self, modal: Any, sandbox: Any) -> tuple[str | None, bool]:
        """What went wrong with a sandbox, which is followed to its end, and whether Modal is to blame."""
        try:
            while (code := sandbox.poll()) is None:
                time.sleep(self.poll_seconds or 0.05)
            # an exit code of 137 is a process that was killed, or a sandbox that was: this tells which
            sandbox.wait(raise_on_termination=True)
        except modal.exception.SandboxTerminatedError:
            return "lost its host: Modal ended the sandbox", True
        except modal.exception.SandboxTimeoutError:
            return f"was ended by Modal after {LONGEST_HOURS} hours", True
        except modal.exception.Error as error:
            return f"went out of sight ({error})", False
        except BaseException:  # this run was stopped, and so is the training
            with suppress(modal.exception.Error):
                sandbox.terminate()
            raise
        return (None if code == 0 else f"ended with exit code {code}"), False

    def _image(self, modal: Any) -> Any:
        if self.image:
            return modal.Image.from_registry(self.image)
        if not LOCK.is_file():
            raise BioiconsError(
                "Modal's image is made of a checkout, and this is an installed package: "
                "set BIOICONS_MODAL_IMAGE."
            )
        libraries = modal.Image.debian_slim(python_version="3.11").pip_install_from_requirements(
            str(LOCK), extra_options="--require-hashes --only-binary :all:"
        )
        # the package itself comes last and when the sandbox starts: its edits make no new image
        return libraries.env({"PYTHONPATH": "/opt/bioicons", "PYTHONUNBUFFERED": "1"}).add_local_dir(
            str(PACKAGE), f"/opt/bioicons/{PACKAGE.name}", ignore=["**/__pycache__"]
        )

    def _modal(self) -> Any:
        """The client; its token is its own business."""
        try:
            import modal
        except ImportError as error:
            raise BioiconsError(
                "BIOICONS_DEPLOYMENT=modal needs Modal's client: pip install 'bioicons-pipeline[modal]'."
            ) from error
        return modal
