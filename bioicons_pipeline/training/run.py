"""One training from request to committed version: read, encode, train, export, commit.

Belongs here: the order of the steps and what each is given. Does not belong here: how a step works, and
setting refs (whoever asked does that after verifying the version).
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.base_models import BaseModel, check_base, resolve_base
from bioicons_pipeline.training.cache import write_json
from bioicons_pipeline.training.config import TRAINER_VERSION, TrainingConfig, digest
from bioicons_pipeline.training.data import IconSet, open_dataset
from bioicons_pipeline.training.device import machine_of, make_accelerator, of_main_process
from bioicons_pipeline.training.extras import check_extras
from bioicons_pipeline.training.files import VALIDATION_FOLDER
from bioicons_pipeline.training.guards import enough_memory, only_one
from bioicons_pipeline.training.lora import Trainer
from bioicons_pipeline.training.memory import pieces_of, settle
from bioicons_pipeline.training.notice import Notice
from bioicons_pipeline.training.prepare import checkout_dataset, prepare
from bioicons_pipeline.training.progress import Display, Send
from bioicons_pipeline.training.publish import publish
from bioicons_pipeline.training.request import TrainingOutcome, TrainingRequest
from bioicons_pipeline.training.sharding import poorest
from bioicons_pipeline.training.stored import StoredCheckpoints
from bioicons_pipeline.training.validation import Validation, prompts_of, schedule
from bioicons_pipeline.training.wandb_log import logs_of


def train(
    request: TrainingRequest, *, send: Send | None = None, quiet: bool = False
) -> TrainingOutcome | None:
    """Train as `request` says and commit the adapter's files; None on all processes but the main one.

    Running the same request again goes on where the last attempt stopped, or, when that one finished,
    commits the same version again without training.

    Raises:
        TrainingError: bad base, dataset or checkpoint, a loss that is not finite, too little memory.
    """
    check_base(request.base)
    accelerator = make_accelerator(request.config)
    check_extras(request.config, accelerator.device.type)
    main = accelerator.is_main_process
    work = Path(request.work_dir).expanduser().absolute()
    with Display(steps=request.config.steps, send=send if main else None, quiet=quiet or not main) as display:
        with accelerator.main_process_first():  # the others find what it made
            folder = checkout_dataset(
                request.store_root, request.dataset_version, work, display.phase_of("dataset files")
            )
            base = resolve_base(
                request.base, request.cache_dir or work / "cache", revision=request.base_revision
            )
        train_set, heldout = open_dataset(folder)
        identity = run_identity(request, base, accelerator.num_processes)
        run_dir = work / "runs" / digest(identity)[:16]
        best = _best_elsewhere(request, run_dir, identity)  # refused before anything is encoded or written
        with only_one(run_dir) if main else nullcontext():
            if main:
                checkpoints.sweep(run_dir / "checkpoints")
                if request.force and request.resume_from is None:
                    _drop_finished(run_dir, request.config.steps, display)
                if best:
                    checkpoints.adopt(best, run_dir / "checkpoints", identity)
                write_json(run_dir / "identity.json", identity)
            stored = _stored(request, run_dir, display) if main else None
            if stored and (found := stored.fetch(identity)):
                display.note(found)
            # the others would look for what is being fetched, and begin anew
            accelerator.wait_for_everyone()
            display.note(_introduction(request, base, train_set, heldout, accelerator))
            machine = machine_of(accelerator)
            if request.config.shard_base:
                machine = poorest(machine, accelerator)
            config, needed = settle(pieces_of(base), request.config, machine)
            if request.config.shard_base and not config.shard_base:
                display.note("shard_base is for several processes: in this one the base is whole")
            display.note(
                f"memory: about {needed.sentence()}, gradient checkpointing "
                f"{'on' if config.gradient_checkpointing else 'off'}"
            )
            settled = request.model_copy(update={"config": config})
            trainer = prepare(settled, base, train_set, heldout, identity, run_dir, accelerator, display)
            resumed = _resume(trainer, request, display)
            validation = _validation(trainer, base, train_set, heldout, run_dir)
            if stored:
                trainer.on_saved = stored.keep
            with Notice(request.instance_metadata) if request.checkpoint_ref else nullcontext() as notice:
                if notice:
                    trainer.stop_asked = notice.given
                _fit(trainer, config, run_dir, display, validation)
            if not main:
                return None
            outcome = publish(trainer, request, base, train_set, heldout, resumed, validation.files())
            if stored:
                stored.finish(outcome.version_id, outcome.model_dump(mode="json"))
            return outcome


def run_identity(request: TrainingRequest, base: BaseModel, processes: int) -> dict[str, Any]:
    """What makes two runs the same run; a checkpoint carries it and is refused where it differs."""
    return {
        "trainer": TRAINER_VERSION,
        "dataset_version": request.dataset_version,
        "base": base.name,
        "base_fingerprint": base.fingerprint,
        "config": request.config.identity(),
        # a step takes batch_size samples per process: with another number of them the data position differs
        "processes": processes,
    }


def _best_elsewhere(request: TrainingRequest, run_dir: Path, identity: dict[str, Any]) -> Path | None:
    """The best checkpoint so far, where the one to go on from is of another folder; see `best_beside`."""
    if request.resume_from is None:
        return None
    path = Path(request.resume_from).expanduser()
    if request.config.export == "last":
        checkpoints.check_checkpoint(path, identity)
        return None
    return checkpoints.best_beside(path, run_dir / "checkpoints", identity)


def _drop_finished(run_dir: Path, steps: int, display: Display) -> None:
    """Remove what a run that came to its last step left here; only under the run's lock.

    Else a forced training would find itself done, and export the adapter that was refused once more. One that
    is not finished stays: it may be the forced training itself, before it was killed.
    """
    root = run_dir / "checkpoints"
    found = checkpoints.checkpoints(root)
    if not found or found[-1] != checkpoints.checkpoint_of(root, steps):
        return
    shutil.rmtree(run_dir / VALIDATION_FOLDER, ignore_errors=True)
    # the last step's at the end: killed here, the next one still knows that the run was finished
    for path in found:
        checkpoints.discard(path)
    display.note(f"training anew, as asked: the finished run in {run_dir} is removed")


def _resume(trainer: Trainer, request: TrainingRequest, display: Display) -> int | None:
    if request.resume_from is not None:
        path = Path(request.resume_from).expanduser()
    else:
        found = checkpoints.checkpoints(trainer.checkpoint_dir)
        if not found:
            return None
        path = found[-1]
    trainer.resume(path)
    step = trainer.state.step
    display.note(f"going on from step {step} of {request.config.steps} ({path})")
    return step


def _stored(request: TrainingRequest, run_dir: Path, display: Display) -> StoredCheckpoints | None:
    if request.checkpoint_ref is None:
        return None
    store = Store(request.store_root)
    return StoredCheckpoints(store, request.checkpoint_ref, run_dir, request.lease, display)


def _validation(
    trainer: Trainer, base: BaseModel, train_set: IconSet, heldout: IconSet, run_dir: Path
) -> Validation:
    return Validation(
        config=trainer.config,
        prompts=prompts_of(trainer.config, train_set, heldout),
        folder=run_dir / VALIDATION_FOLDER,
        base=base,
        transformer=trainer.transformer,
        cache=trainer.cache,
        device=trainer.device,
        autocast=trainer.autocast,
    )


def _fit(
    trainer: Trainer, config: TrainingConfig, run_dir: Path, display: Display, validation: Validation
) -> None:
    log = None
    if trainer.accelerator.is_main_process:
        log = logs_of(config, run_dir, trainer.state.step, trainer.identity)

    def validate(state: checkpoints.RunState) -> None:
        step, main = state.step, trainer.accelerator.is_main_process
        due = main and validation.lacks(step)
        if config.shard_base and step in schedule(config):  # then all draw, or none: one looks what is there
            due = of_main_process(due, trainer.accelerator)
        if not due:
            return
        with trainer.averaged():
            images = validation.draw(step, keep=main)
        if not main:
            return
        display.validation(step, images)
        if log:
            log.validation(step, images)

    def on_step(state: checkpoints.RunState, rate: float) -> None:
        display.step(state, rate)
        if log:
            log.step(state, rate)

    def on_evaluation(state: checkpoints.RunState, evaluation: dict[str, Any]) -> None:
        display.evaluation(state, evaluation)
        if log:
            log.evaluation(evaluation)

    trainer.on_step, trainer.on_settled, trainer.on_evaluation = on_step, validate, on_evaluation
    try:
        with enough_memory(config, "training"):
            trainer.fit()
    finally:
        if log:
            log.close()


def _introduction(
    request: TrainingRequest, base: BaseModel, train_set: IconSet, heldout: IconSet, accelerator: Any
) -> str:
    config = request.config
    return (
        f"training {request.partition} on {base.name}: {len(train_set)} icons, {len(heldout)} held out, "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}, "
        f"precision {accelerator.mixed_precision}\n"
        + "\n".join(f"  {name} = {value}" for name, value in config.model_dump().items())
    )
