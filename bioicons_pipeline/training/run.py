"""One training from request to committed version: read, encode, train, export, commit.

Belongs here: the order of the steps and what each is given. Does not belong here: how a step works, and
setting refs (whoever asked does that after verifying the version).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training.adapter import add_adapter
from bioicons_pipeline.training.base_models import BaseModel, check_base, resolve_base
from bioicons_pipeline.training.cache import EncodingCache, write_atomically, write_json
from bioicons_pipeline.training.config import TrainingConfig, TrainingOutcome, TrainingRequest, digest
from bioicons_pipeline.training.data import WEIGHTS_FILE, IconSet, SamplePlan, open_dataset
from bioicons_pipeline.training.encoders import (
    fill_cache,
    latent_scaling,
    load_transformer,
    scheduler_config,
)
from bioicons_pipeline.training.evaluate import FixedNoise
from bioicons_pipeline.training.guards import enough_memory, only_one
from bioicons_pipeline.training.lora import BatchSource, Trainer
from bioicons_pipeline.training.objective import resolution_shift
from bioicons_pipeline.training.progress import Display, Send, TensorBoardLog
from bioicons_pipeline.training.publish import publish

TRAINER_VERSION = 1
"""Part of a run's identity: raised when the same config would train another adapter."""


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
    main = accelerator.is_main_process
    work = Path(request.work_dir).expanduser().absolute()
    with Display(steps=request.config.steps, send=send if main else None, quiet=quiet or not main) as display:
        with _turn(accelerator):
            folder = checkout_dataset(request.store_root, request.dataset_version, work)
            base = resolve_base(request.base, request.cache_dir or work / "cache")
        train_set, heldout = open_dataset(folder)
        identity = run_identity(request, base, accelerator.num_processes)
        if request.resume_from is not None:  # refused before anything is encoded or written
            checkpoints.check_checkpoint(Path(request.resume_from).expanduser(), identity)
        run_dir = work / "runs" / digest(identity)[:16]
        with only_one(run_dir) if main else nullcontext():
            if main:
                checkpoints.sweep(run_dir / "checkpoints")
                write_json(run_dir / "identity.json", identity)
            display.note(_introduction(request, base, train_set, heldout, accelerator))
            trainer = prepare(request, base, train_set, heldout, identity, run_dir, accelerator, display)
            resumed = _resume(trainer, request, display)
            _fit(trainer, request.config, run_dir, display)
            if not main:
                return None
            return publish(trainer, request, base, train_set, heldout, resumed)


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


def make_accelerator(config: TrainingConfig) -> Any:
    """accelerate's view of this process: device, processes; threads are limited on a CPU."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    bf16 = config.mixed_precision == "bf16" or (
        config.mixed_precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    )
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no")
    if accelerator.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // accelerator.num_processes))
    set_seed(config.seed)
    return accelerator


def checkout_dataset(store_root: str, dataset_version: str, work: Path) -> Path:
    """Folder with the dataset's Parquet files, complete; another run's copy is reused."""
    target = work / "datasets" / dataset_version
    if not (target / "data").is_dir():
        store = Store(store_root)
        version = store.version(dataset_version)
        if any(entry.path == WEIGHTS_FILE for entry in version.files):
            write_atomically(target / WEIGHTS_FILE, store.read(version, WEIGHTS_FILE))
        store.checkout(version, target / "data", prefix="data/")
    return target


def prepare(
    request: TrainingRequest,
    base: BaseModel,
    train_set: IconSet,
    heldout: IconSet,
    identity: dict[str, Any],
    run_dir: Path,
    accelerator: Any,
    display: Display,
) -> Trainer:
    """Fill the cache, load the transformer with its adapter, and put the loop together."""
    config, device = request.config, accelerator.device
    half = device.type == "cuda" and accelerator.mixed_precision == "bf16"
    dtype = torch.bfloat16 if half else torch.float32
    plan = SamplePlan(
        train_set.icons,
        seed=config.seed,
        caption_dropout=config.caption_dropout,
        variants=config.caption_variants,
    )
    fixed = {
        "train": FixedNoise.choose(train_set, config.eval_icons, config.eval_sigmas, config.seed),
        "heldout": FixedNoise.choose(heldout, config.eval_icons, config.eval_sigmas, config.seed),
    }
    cache = EncodingCache(
        request_cache(request), f"{base.fingerprint}/{dtype}", config.resolution, config.t5_length
    )
    captions = {*plan.captions(), *(icon.captions[0] for split in fixed.values() for icon in split.icons)}
    with _turn(accelerator), enough_memory(config, "encoding images and captions"):
        cut = fill_cache(
            cache,
            base,
            (train_set, IconSet(fixed["heldout"].icons, heldout.files)),
            sorted(captions),
            device=device,
            dtype=dtype,
            progress=display.phase,
        )
    if cut:
        display.note(
            f"{cut} captions are longer than t5_length = {config.t5_length} tokens: their end is cut off"
        )
    with enough_memory(config, "loading the transformer"):
        transformer = load_transformer(base, dtype).to(device)
        add_adapter(transformer, config)
        if config.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        model = accelerator.prepare(transformer) if accelerator.num_processes > 1 else transformer
    tokens = (config.resolution // 16) ** 2
    source = BatchSource(
        plan,
        cache,
        config,
        scaling=latent_scaling(base),
        mu=resolution_shift(tokens, scheduler_config(base)),
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    return Trainer(
        config=config,
        model=model,
        transformer=transformer,
        accelerator=accelerator,
        autocast=_autocast(accelerator),
        source=source,
        cache=cache,
        fixed=fixed,
        guidance=config.guidance if transformer.config.guidance_embeds else None,
        checkpoint_dir=run_dir / "checkpoints",
        identity=identity,
    )


def request_cache(request: TrainingRequest) -> Path:
    """Folder of the encodings; runs on other datasets and configs share it."""
    return Path(request.work_dir).expanduser().absolute() / "encodings"


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


def _fit(trainer: Trainer, config: TrainingConfig, run_dir: Path, display: Display) -> None:
    log = None
    if config.tensorboard and trainer.accelerator.is_main_process:
        log = TensorBoardLog(run_dir / "tensorboard", purge_step=trainer.state.step + 1)

    def on_step(state: checkpoints.RunState, rate: float) -> None:
        display.step(state, rate)
        if log:
            log.step(state, rate)

    def on_evaluation(state: checkpoints.RunState, evaluation: dict[str, Any]) -> None:
        display.evaluation(state, evaluation)
        if log:
            log.evaluation(evaluation)

    trainer.on_step, trainer.on_evaluation = on_step, on_evaluation
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


def _autocast(accelerator: Any) -> Callable[[], AbstractContextManager[Any]]:
    if accelerator.mixed_precision != "bf16":
        return nullcontext
    return lambda: torch.autocast(accelerator.device.type, dtype=torch.bfloat16)


@contextmanager
def _turn(accelerator: Any) -> Iterator[None]:
    """The main process goes first, so that the others find what it made."""
    with accelerator.main_process_first():
        yield
