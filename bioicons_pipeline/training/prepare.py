"""What a training needs before its first step: the dataset on disk, encodings, the model, the loop.

Belongs here: making each from request and base, and putting them together. Does not belong here: when that
happens, and what follows (run).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from bioicons_pipeline.store import Store
from bioicons_pipeline.store.parallel import Progress
from bioicons_pipeline.training.adapter import equipped
from bioicons_pipeline.training.base_models import BaseModel
from bioicons_pipeline.training.buckets import bucket_sizes
from bioicons_pipeline.training.cache import EncodingCache
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import WEIGHTS_FILE, IconSet
from bioicons_pipeline.training.device import autocast_of
from bioicons_pipeline.training.encoders import (
    fill_cache,
    latent_scaling,
    load_transformer,
    scheduler_config,
)
from bioicons_pipeline.training.evaluate import FixedNoise
from bioicons_pipeline.training.guards import enough_memory
from bioicons_pipeline.training.lora import BatchSource, Trainer, plan_of
from bioicons_pipeline.training.objective import resolution_shift
from bioicons_pipeline.training.progress import Display
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.sharding import sharded
from bioicons_pipeline.training.validation import prompts_of
from bioicons_pipeline.whole import replace_whole


def checkout_dataset(
    store_root: str, dataset_version: str, work: Path, progress: Progress | None = None
) -> Path:
    """Folder with the dataset's Parquet files, complete; another run's copy is reused."""
    target = work / "datasets" / dataset_version
    if not (target / "data").is_dir():
        store = Store(store_root)
        version = store.version(dataset_version)
        if any(entry.path == WEIGHTS_FILE for entry in version.files):
            replace_whole(target / WEIGHTS_FILE, store.read(version, WEIGHTS_FILE))
        store.checkout(version, target / "data", prefix="data/", progress=progress)
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
    cache = EncodingCache(
        request_cache(request), f"{base.fingerprint}/{dtype}", config.resolution, config.t5_length
    )
    if config.aspect_buckets:
        with accelerator.main_process_first():
            measured = display.phase_of("shapes")
            train_set, heldout = (cache.in_buckets(each, measured) for each in (train_set, heldout))
    plan = plan_of(train_set.icons, config, accelerator.num_processes)
    fixed = {
        "train": FixedNoise.choose(train_set, config.eval_icons, config.eval_sigmas, config.seed),
        "heldout": FixedNoise.choose(heldout, config.eval_icons, config.eval_sigmas, config.seed),
    }
    captions = {
        *plan.captions(),
        *(icon.captions[0] for split in fixed.values() for icon in split.icons),
        *prompts_of(config, train_set, heldout),
    }
    pictures = (train_set, replace(heldout, icons=fixed["heldout"].icons))
    with accelerator.main_process_first(), enough_memory(config, "encoding images and captions"):
        _encode(cache, base, pictures, captions, device, dtype, display)
    with enough_memory(config, "loading the transformer"):
        transformer, model = _models(base, dtype, config, accelerator)
    shift = scheduler_config(base)
    source = BatchSource(
        plan,
        cache,
        config,
        scaling=latent_scaling(base),
        mu=resolution_shift((config.resolution // 16) ** 2, shift),
        bucket_mu={
            (height, width): resolution_shift(height * width // 256, shift)
            for height, width in bucket_sizes(config.resolution)
        },
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    return Trainer(
        config=config,
        model=model,
        transformer=transformer,
        accelerator=accelerator,
        autocast=autocast_of(accelerator),
        source=source,
        cache=cache,
        fixed=fixed,
        guidance=config.guidance if transformer.config.guidance_embeds else None,
        checkpoint_dir=run_dir / "checkpoints",
        identity=identity,
    )


def _encode(
    cache: EncodingCache,
    base: BaseModel,
    pictures: tuple[IconSet, ...],
    captions: Collection[str],
    device: torch.device,
    dtype: torch.dtype,
    display: Display,
) -> None:
    """Encode what the cache lacks, and say what does not fit."""
    cut = fill_cache(
        cache, base, pictures, sorted(captions), device=device, dtype=dtype, progress=display.phase
    )
    if cut:
        display.note(
            f"{cut} captions are longer than t5_length = {cache.t5_length} tokens: their end is cut off"
        )


def _models(base: BaseModel, dtype: torch.dtype, config: TrainingConfig, accelerator: Any) -> tuple[Any, Any]:
    """The transformer with its adapter, and the same as it is called in training."""

    def adapted(device: torch.device) -> Any:
        transformer = load_transformer(base, dtype, config.quantize)
        if config.quantize != "nf4":  # bitsandbytes has put it there, while it read
            transformer = transformer.to(device)
        return equipped(transformer, config)

    if config.shard_base:
        transformer = sharded(lambda: adapted(torch.device("cpu")), accelerator)
        return transformer, transformer
    transformer = adapted(accelerator.device)
    if accelerator.num_processes == 1:
        return transformer, transformer
    # Each process has read the same base. DDP would send it round again, which torchao's weights do not bear.
    frozen = [name for name, value in transformer.named_parameters() if not value.requires_grad]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(transformer, frozen)
    return transformer, accelerator.prepare(transformer)


def request_cache(request: TrainingRequest) -> Path:
    """Folder of the encodings; runs on other datasets and configs share it."""
    return Path(request.work_dir).expanduser().absolute() / "encodings"
