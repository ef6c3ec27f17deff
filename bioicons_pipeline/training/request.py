"""What a training is asked for and what it answers, as they travel between processes. No torch here.

Belongs here: the request and the outcome. Does not belong here: how to train (config).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bioicons_pipeline.store.leases import Claim
from bioicons_pipeline.training.config import TrainingConfig, validation_sentence
from bioicons_pipeline.training.errors import TrainingError


class TrainingRequest(BaseModel):
    """One training, as it is handed to the training process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store_root: str = Field(description="Root of the artifact store: a folder or an fsspec URL.")
    dataset_version: str = Field(description="Version id of the dataset in that store.")
    base: str = Field(description="Base model: a name of the registry or a folder in diffusers layout.")
    base_revision: str | None = Field(
        default=None,
        description="Commit of a base on the hub; unset: the newest when the training starts.",
    )
    config: TrainingConfig = Field(default=TrainingConfig(), description="How to train.")
    partition: str = Field(description="Scientific category, or a name for the library-wide adapter.")
    work_dir: str = Field(description="Scratch folder: cache and checkpoints; kept, so a rerun resumes.")
    cache_dir: str | None = Field(
        default=None, description="Folder of locally built bases; `<work_dir>/cache` when unset."
    )
    resume_from: str | None = Field(
        default=None,
        description="A checkpoint folder to go on from; unset: the newest of the same run, if any.",
    )
    checkpoint_ref: str | None = Field(
        default=None,
        description="Name under which every checkpoint goes to the store too, so that another host can go on "
        "from it; unset: checkpoints stay in work_dir.",
    )
    input_key: str = Field(
        default="",
        description="Hash of all that the adapter depends on, as whoever asks knows it; what differs in it "
        "shares no checkpoint in the store.",
    )
    force: bool = Field(
        default=False,
        description="Train even if the result is there already, in the store or as a finished run in "
        "work_dir; a run that is not finished is gone on with.",
    )
    instance_metadata: str = Field(
        default="",
        description="Root of the host's metadata service, asked whether the host is about to be taken back; "
        "empty: not asked.",
    )
    lease: Claim | None = Field(
        default=None, description="The lease it works under; nothing is committed once another has taken it."
    )
    provenance: dict[str, Any] = Field(
        default_factory=dict,
        description="Said in the adapter's header: upstream commit, licence mix, trigger, category.",
    )

    def to_json(self) -> str:
        """The request as JSON, read back by `parse_request`."""
        return self.model_dump_json(indent=1)


def parse_request(text: str | bytes | dict[str, Any]) -> TrainingRequest:
    """A request from JSON or from a plain dict.

    Raises:
        TrainingError: one sentence that names each wrong field.
    """
    try:
        if isinstance(text, dict):
            return TrainingRequest.model_validate(text)
        return TrainingRequest.model_validate_json(text)
    except ValidationError as error:
        raise TrainingError(f"The training request is not valid: {validation_sentence(error)}.") from error


class TrainingOutcome(BaseModel):
    """What a finished training reports. Losses are means of squared error at fixed noise and sigmas."""

    model_config = ConfigDict(frozen=True)

    version_id: str = Field(description="Version of the adapter's files in the store.")
    base: str = Field(description="Name of the base model.")
    base_fingerprint: str = Field(description="Content fingerprint of the base model.")
    dataset_version: str = Field(description="Version of the dataset.")
    partition: str = Field(description="Category, or the library-wide name.")
    icons: int = Field(description="Icons trained on.")
    heldout_icons: int = Field(description="Icons held out.")
    steps: int = Field(description="Optimizer steps done.")
    exported_step: int = Field(description="Step whose adapter was exported.")
    train_loss_before: float = Field(description="Fixed-noise loss on training icons before training.")
    train_loss_after: float = Field(description="The same, with the exported adapter.")
    heldout_loss_before: float | None = Field(description="On held-out icons; null where there are none.")
    heldout_loss_after: float | None = Field(description="The same, with the exported adapter.")
    trainable_parameters: int = Field(description="Parameters of the adapter.")
    seconds: float = Field(description="Wall time of the training steps, resumed parts included.")
    resumed_from: int | None = Field(
        description="Step that this process went on from; null for a fresh start."
    )
    files: dict[str, int] = Field(description="Files of the version and their sizes in bytes.")
