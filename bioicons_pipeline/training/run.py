"""One training from request to committed version: read, encode, train, export, commit.

Belongs here: the order of the steps and what each is given. Does not belong here: how a step works, and
setting refs (whoever asked does that after verifying the version).
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.training import checkpoint as checkpoints
from bioicons_pipeline.training import export, report
from bioicons_pipeline.training.adapter import adapter_config, add_adapter, trainable
from bioicons_pipeline.training.base_models import BaseModel, check_base, resolve_base
from bioicons_pipeline.training.cache import EncodingCache, write_json
from bioicons_pipeline.training.config import TrainingConfig, TrainingOutcome, TrainingRequest, digest
from bioicons_pipeline.training.data import IconSet, SamplePlan, open_dataset
from bioicons_pipeline.training.encoders import (
    fill_cache,
    latent_scaling,
    load_transformer,
    scheduler_config,
)
from bioicons_pipeline.training.errors import TrainingError
from bioicons_pipeline.training.evaluate import FixedNoise
from bioicons_pipeline.training.loop import BatchSource, Trainer
from bioicons_pipeline.training.objective import resolution_shift
from bioicons_pipeline.training.progress import Display, Send, TensorBoardLog

TRAINER_VERSION = 1
"""Part of a run's identity: raised when the same config would train another adapter."""


def train(request: TrainingRequest, *, send: Send | None = None, quiet: bool = False) -> TrainingOutcome | None:
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
            folder = checkout_dataset(request, work)
            base = resolve_base(request.base, request.cache_dir or work / "cache")
        train_set, heldout = open_dataset(folder)
        identity = run_identity(request, base)
        if request.resume_from is not None:  # refused before anything is encoded or written
            checkpoints.check_checkpoint(Path(request.resume_from).expanduser(), identity)
        run_dir = work / "runs" / digest(identity)[:16]
        with _only_one(run_dir) if main else nullcontext():
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


def run_identity(request: TrainingRequest, base: BaseModel) -> dict[str, Any]:
    """What makes two runs the same run; a checkpoint carries it and is refused where it differs."""
    return {
        "trainer": TRAINER_VERSION,
        "dataset_version": request.dataset_version,
        "base": base.name,
        "base_fingerprint": base.fingerprint,
        "config": request.config.identity(),
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


def checkout_dataset(request: TrainingRequest, work: Path) -> Path:
    """Folder with the dataset's Parquet files, complete; another run's copy is reused."""
    target = work / "datasets" / request.dataset_version
    if not (target / "data").is_dir():
        store = Store(request.store_root)
        store.checkout(store.version(request.dataset_version), target / "data", prefix="data/")
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
    with _turn(accelerator), _enough_memory(config, "encoding images and captions"):
        fill_cache(
            cache,
            base,
            (train_set, IconSet(fixed["heldout"].icons, heldout.files)),
            sorted(captions),
            device=device,
            dtype=dtype,
            progress=display.phase,
        )
    with _enough_memory(config, "loading the transformer"):
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
        with _enough_memory(config, "training"):
            trainer.fit()
    finally:
        if log:
            log.close()


def publish(
    trainer: Trainer,
    request: TrainingRequest,
    base: BaseModel,
    train_set: IconSet,
    heldout: IconSet,
    resumed: int | None,
) -> TrainingOutcome:
    """Write the adapter's files and commit them as one version."""
    state, config = trainer.state, request.config
    step, tensors = trainer.exported()
    about = {
        "name": base.name,
        "fingerprint": base.fingerprint,
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
            "modules": len(tensors) // 2,
            "dtype": "float32",
        },
        provenance=request.provenance,
        partition=request.partition,
    )
    title = f"{request.partition} on {base.name}: {len(train_set)} icons, {state.step} steps, rank {config.rank}"
    files: dict[str, Any] = {
        export.WEIGHTS_NAME: export.diffusers_file(tensors, lora, header),
        export.COMFYUI_NAME: export.comfyui_file(
            tensors, alpha=config.alpha, width=trainer.transformer.inner_dim, metadata=header
        ),
        report.CURVE_NAME: report.loss_curve(state, title=title, exported_step=step),
    }
    with tempfile.TemporaryDirectory(prefix="report-", dir=trainer.checkpoint_dir.parent) as folder:
        write_json(Path(folder) / report.REPORT_NAME, facts)
        files[report.REPORT_NAME] = (Path(folder) / report.REPORT_NAME).read_bytes()
    version = Store(request.store_root).commit(files)
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


@contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    """Hold this run's lock; the system frees it when the process ends, however it ends.

    A POSIX record lock and no flock: processes that read the cache ahead would inherit a flock, and
    outlive a killed trainer by some seconds.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(
                f"Another process is training this very run (lock {run_dir / 'lock'}): wait for it or stop it."
            ) from error
        yield


@contextmanager
def _enough_memory(config: TrainingConfig, phase: str) -> Iterator[None]:
    """Turn an out-of-memory error into one sentence with the setting to change."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        text = str(error).lower()
        ours = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not ours and "out of memory" not in text and "can't allocate memory" not in text:
            raise
        raise TrainingError(f"Out of memory while {phase}: {memory_advice(config)}.") from error


def memory_advice(config: TrainingConfig) -> str:
    """Which setting to change, the one that helps most first."""
    ways = []
    if config.batch_size > 1:
        half = config.batch_size // 2
        ways.append(
            f"set batch_size to {half} and accumulation to {config.accumulation * config.batch_size // half}"
        )
    if not config.gradient_checkpointing:
        ways.append("set gradient_checkpointing to true")
    if config.resolution > 512:
        ways.append(f"set resolution to 512 (now {config.resolution})")
    if config.t5_length > 128:
        ways.append(f"set t5_length to 128 (now {config.t5_length}; sample with the same)")
    if config.rank > 8:
        ways.append(f"set rank to {config.rank // 2} (now {config.rank})")
    return ", or ".join(ways) or "use a machine with more memory"


