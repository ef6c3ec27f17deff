"""Where trainings run: one interface, one file a place. `docs/training_backends.md` shows how to add one.

Belongs here: starting `python -m bioicons_pipeline.training` somewhere and learning how it ended. Does not
belong here: what to train (`stages/weights.py`), and how (`training/`).
"""

from bioicons_pipeline.orchestration.backends.base import Ended, TrainingBackend
from bioicons_pipeline.orchestration.backends.ecs import EcsTraining
from bioicons_pipeline.orchestration.backends.local import LocalTraining
from bioicons_pipeline.orchestration.backends.modal import ModalTraining
from bioicons_pipeline.orchestration.backends.remote import RemoteTraining
from bioicons_pipeline.settings import Settings

__all__ = [
    "EcsTraining",
    "Ended",
    "LocalTraining",
    "ModalTraining",
    "RemoteTraining",
    "TrainingBackend",
    "training_backend",
]


def training_backend(settings: Settings) -> TrainingBackend:
    """The backend that the settings ask for.

    Raises:
        SettingsError: it needs a setting that is not there.
    """
    settings.check_deployment()
    if settings.deployment == "local":
        return LocalTraining(num_processes=settings.training_processes)
    if settings.deployment == "modal":
        return ModalTraining(
            num_processes=settings.training_processes,
            app=settings.modal_app,
            gpu=settings.modal_gpu,
            secrets=settings.modal_secrets,
            image=settings.modal_image,
            messages=settings.resolved_messages,
        )
    return EcsTraining(
        num_processes=settings.training_processes,
        cluster=settings.ecs_cluster,
        task_definition=settings.ecs_task_definition,
        container=settings.ecs_container,
        capacity_provider=settings.ecs_capacity_provider,
        subnets=settings.ecs_subnets,
        security_groups=settings.ecs_security_groups,
        messages=settings.resolved_messages,
        work_dir=settings.ecs_work_dir,
        poll_seconds=settings.ecs_poll_seconds,
        retries=settings.ecs_retries,
        instance_metadata=settings.ecs_instance_metadata,
    )
