"""A finished run's files, committed to the store as one version.

Belongs here: which files, from which step, with which provenance. Does not belong here: their formats
(export, report), and refs: whoever asked for the training sets those after verifying the version.
"""

from __future__ import annotations

from collections.abc import Mapping

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import export, files, report
from bioicons_pipeline.training.adapter import adapter_config, kind, plain_alpha, trainable
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.cache import json_bytes
from bioicons_pipeline.training.data import IconSet
from bioicons_pipeline.training.lora import Trainer
from bioicons_pipeline.training.request import TrainingOutcome, TrainingRequest


def publish(
    trainer: Trainer,
    request: TrainingRequest,
    base: BaseModel,
    train_set: IconSet,
    heldout: IconSet,
    resumed: int | None,
    images: Mapping[str, bytes],
) -> TrainingOutcome:
    """Write the adapter's files and commit them, with the validation `images`, as one version."""
    state, config = trainer.state, request.config
    step, tensors = trainer.exported()
    about = {
        "name": base.name,
        "fingerprint": base.fingerprint,
        **({"revision": base.revision} if base.revision else {}),
        "licence": base.licence.name,
        "licence_url": base.licence.url,
        "notice": base.licence.notice,
    }
    header = export.header(
        base=about,
        dataset_version=request.dataset_version,
        config=config.identity(),
        step=step,
        provenance=request.provenance,
        partition=request.partition,
        alpha=plain_alpha(config),
        kind=kind(config),
    )
    lora = adapter_config(trainer.transformer)
    facts = report.make_report(
        state,
        config,
        exported_step=step,
        base=about,
        dataset={
            "version": request.dataset_version,
            "train_icons": len(train_set),
            "heldout_icons": len(heldout),
            "captions": len({text for icon in train_set.icons for text in icon.captions}),
        },
        adapter={
            "parameters": sum(value.numel() for value in tensors.values()),
            "modules": sum(name.endswith(".lora_A.weight") for name in tensors),
            "dtype": "float32",
        },
        provenance=request.provenance,
        partition=request.partition,
    )
    name = request.partition.replace("_", " ")
    title = f"{name} on {base.name}: {len(train_set)} icons, {state.step} steps, rank {config.rank}"
    written = {
        files.WEIGHTS_NAME: export.diffusers_file(tensors, lora, header),
        files.REPORT_NAME: json_bytes(facts),
        files.CURVE_NAME: report.loss_curve(state, title=title, exported_step=step),
        **images,
    }
    # without a LoRA on all parts of a fused matrix, DoRA's row lengths are not known for all its rows
    if not config.dora:
        written[files.COMFYUI_NAME] = export.comfyui_file(
            tensors, alpha=plain_alpha(config), width=trainer.transformer.inner_dim, metadata=header
        )
    store = Store(request.store_root)
    if request.lease:
        request.lease.check(store.backend)
    version = store.commit(written)
    return TrainingOutcome(
        version_id=version.id,
        base=base.name,
        base_fingerprint=base.fingerprint,
        dataset_version=request.dataset_version,
        partition=request.partition,
        icons=len(train_set),
        heldout_icons=len(heldout),
        steps=state.step,
        exported_step=step,
        train_loss_before=facts["train_loss_before"],
        train_loss_after=facts["train_loss_after"],
        heldout_loss_before=facts["heldout_loss_before"],
        heldout_loss_after=facts["heldout_loss_after"],
        trainable_parameters=sum(value.numel() for value in trainable(trainer.transformer).values()),
        seconds=state.seconds,
        resumed_from=resumed,
        files={entry.path: entry.size for entry in version.files},
    )
