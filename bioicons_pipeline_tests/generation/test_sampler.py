"""Sampling on a tiny base: what decides a picture, and what does not; where a model is put."""

import numpy as np
import pytest
import torch

from bioicons_pipeline.generation.sampler import (
    GenerationError,
    SamplingSettings,
    _place,
    load_pipeline,
    sample,
    suitable_batch,
)
from bioicons_pipeline.training.base_models import resolve_base

SETTINGS = SamplingSettings(size=32, steps=2, max_sequence_length=16)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return load_pipeline(resolve_base("flux-tiny", tmp_path_factory.mktemp("cache")))


def pixels(images):
    return [np.asarray(image, dtype=int) for image in images]


def test_the_seed_decides_and_the_company_does_not(pipeline):
    alone = pixels(sample(pipeline, ["a cell"], [5], SETTINGS))[0]
    again, other = pixels(sample(pipeline, ["a cell"] * 2, [5, 6], SETTINGS))
    together = pixels(sample(pipeline, ["a cell"] * 3, [4, 5, 6], SamplingSettings(32, 2, 3.5, 16, batch=2)))
    assert np.array_equal(alone, again) and not np.array_equal(alone, other)
    assert np.abs(together[1] - alone).max() <= 2  # rounding of another batch size


def test_progress_counts_denoising_steps(pipeline):
    seen = []
    sample(
        pipeline, ["a cell"] * 3, [1, 2, 3], SamplingSettings(32, 2, 3.5, 16, batch=2),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(2, 6), (4, 6), (5, 6), (6, 6)]


@pytest.mark.parametrize(
    ("prompts", "seeds", "scales", "said"),
    [(["a"], [1, 2], (), "one seed per prompt"), (["a"], [1], (1.0,), "1 scales for 0 loaded adapters")],
)
def test_numbers_must_fit(pipeline, prompts, seeds, scales, said):
    with pytest.raises(GenerationError, match=said):
        sample(pipeline, prompts, seeds, SETTINGS, scales=scales)


@pytest.mark.parametrize(("size", "together"), [(16, 16), (64, 16), (128, 4), (256, 1), (1024, 1)])
def test_small_icons_are_sampled_together(size, together):
    assert suitable_batch(size) == together


class Placed:
    """A pipeline of parts of these sizes in GiB, which notes where it is put."""

    def __init__(self, *sizes):
        parts = [torch.nn.Linear(1, 1, bias=False) for _ in sizes]
        for part, size in zip(parts, sizes, strict=True):
            part.weight = torch.nn.Parameter(
                torch.empty(int(size * 2**29), dtype=torch.bfloat16, device="meta")
            )
        self.components = {str(number): part for number, part in enumerate(parts)} | {"scheduler": object()}
        self.where = []

    def to(self, device):
        self.where.append(device)

    def enable_model_cpu_offload(self):
        self.where.append("part after part")

    def enable_sequential_cpu_offload(self):
        self.where.append("layer after layer")


@pytest.mark.parametrize(
    ("memory", "where"), [(80, "cuda"), (38, "cuda"), (37, "part after part"), (28, "part after part"),
                          (24, "layer after layer"), (12, "layer after layer")],
)  # fmt: skip
def test_a_model_is_put_where_the_memory_allows(memory, where):
    model = Placed(24, 9, 0.25, 0.5)
    _place(model, memory * 2**30)
    assert model.where == [where]
