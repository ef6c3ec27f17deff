"""Fixtures of this room: one thread for tiny models, a tiny base, a small dataset in a store."""

import itertools
import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from bioicons_pipeline.store import Store
from bioicons_pipeline.training.base_models import BaseModel, resolve_base
from bioicons_pipeline.training.config import TrainingConfig
from bioicons_pipeline.training.data import open_dataset
from bioicons_pipeline.training.presets import preset
from bioicons_pipeline.training.request import TrainingRequest
from bioicons_pipeline.training.tiny_base import TinySpec, build_tiny_base, make_tiny_pipeline
from bioicons_pipeline_tests.training.making import commit_dataset, make_rows, write_split

MINI = TinySpec(
    layers=1,
    single_layers=1,
    heads=2,
    head_dim=16,
    axes=(4, 6, 6),
    text_dim=32,
    pooled_dim=32,
    text_layers=1,
    vae_channels=(8, 8, 8, 8),
)
"""The smallest pipeline with all the parts: under a megabyte, a training step takes milliseconds."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini_folder(tmp_path_factory):
    """The mini pipeline as a folder in diffusers layout: a local base like any other."""
    return build_tiny_base(tmp_path_factory.mktemp("bases"), MINI)


@pytest.fixture(scope="session")
def mini_base(mini_folder, tmp_path_factory) -> BaseModel:
    return resolve_base(str(mini_folder), tmp_path_factory.mktemp("unused"))


@pytest.fixture(scope="session")
def mini_pipeline():
    """The mini pipeline in memory; whoever changes it makes a copy."""
    return make_tiny_pipeline(MINI)


@pytest.fixture(scope="session")
def mini_config() -> TrainingConfig:
    """A run of ten steps on 32 px pictures, with everything a run can have switched on."""
    return preset(
        "tiny",
        resolution=32,
        rank=4,
        alpha=6.0,
        steps=10,
        batch_size=2,
        warmup_steps=2,
        t5_length=40,
        eval_every=5,
        eval_icons=3,
        eval_sigmas=(0.3, 0.7),
        checkpoint_every=2,
        caption_dropout=0.2,
        tensorboard=False,
    )


@pytest.fixture
def icon_sets(tmp_path):
    """(train of 12, heldout of 3) on disk."""
    return open_dataset(
        write_split(tmp_path / "dataset", make_rows(12, size=32), make_rows(3, size=32, start=12))
    )


@pytest.fixture(scope="module")
def make_request(tmp_path_factory, mini_folder, mini_config):
    """Function (**overrides of the config) → request on one store with 12 + 3 icons.

    Every request has a work folder of its own, unless `work` names one.
    """
    root = tmp_path_factory.mktemp("requests")
    version = commit_dataset(Store(root / "store"), make_rows(12, size=32), make_rows(3, size=32, start=12))
    numbers = itertools.count()

    def make(work: str | None = None, **config) -> TrainingRequest:
        return TrainingRequest(
            store_root=str(root / "store"),
            dataset_version=version,
            base=str(mini_folder),
            config=TrainingConfig.model_validate({**mini_config.model_dump(), **config}),
            partition="Cell_types",
            work_dir=str(root / (work or f"work-{next(numbers)}")),
            provenance={
                "commit": "f3f18b86",
                "licence_mix": {"CC0-1.0": 15},
                "trigger": "bioicons style",
                "category": "Cell_types",
            },
        )

    return make
