"""Sampling on a tiny base: what decides a picture, and what does not; where a model is put."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bioicons_pipeline.generation.sampler import (
    GenerationError,
    SamplingSettings,
    _place,
    assemble,
    load_pipeline,
    precision_of,
    sample,
    suitable_batch,
    unread,
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


def test_two_threads_with_one_pipeline_wait_for_each_other(pipeline):
    """A page whose draw was stopped leaves its thread behind; the next draw must not meet it."""
    alone = [sample(pipeline, ["a cell"], [seed], SETTINGS)[0].tobytes() for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        drawn = list(
            pool.map(lambda seed: sample(pipeline, ["a cell"], [seed], SETTINGS)[0].tobytes(), (1, 2))
        )
    assert drawn == alone


def test_what_progress_raises_ends_the_sampling_and_the_next_one_goes_on(pipeline):
    def stop(done, total):
        raise KeyboardInterrupt

    alone = sample(pipeline, ["a cell"], [1], SETTINGS)[0].tobytes()
    with pytest.raises(KeyboardInterrupt):
        sample(pipeline, ["a cell"], [1], SETTINGS, progress=stop)
    assert sample(pipeline, ["a cell"], [1], SETTINGS)[0].tobytes() == alone


def test_the_end_of_a_prompt_that_is_not_read_is_known(pipeline):
    assert unread(pipeline, "a cell", SETTINGS) == ""
    short = dataclasses.replace(SETTINGS, max_sequence_length=6)
    end = unread(pipeline, "a cell with a nucleus and a membrane", short)
    assert end.endswith("membrane") and len(end) < len("a cell with a nucleus and a membrane")


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
    """A pipeline that notes where it is put."""

    def __init__(self):
        self.where = []

    def to(self, device):
        self.where.append(device)

    def enable_model_cpu_offload(self):
        self.where.append("part after part")

    def enable_sequential_cpu_offload(self):
        self.where.append("layer after layer")


@pytest.mark.parametrize(
    ("offload", "where"), [("none", "cuda"), ("parts", "part after part"), ("layers", "layer after layer")]
)
def test_a_model_is_put_where_it_is_to_be(offload, where):
    model = Placed()
    _place(model, offload)
    assert model.where == [where]


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_base_of_8_bits_draws_nearly_the_same(pipeline, tmp_path, kind):
    base = resolve_base("flux-tiny", tmp_path)
    held = assemble(base, torch.float32, kind)
    plain, coarse = (sample(each, ["a cell"], [5], SETTINGS) for each in (pipeline, held))
    assert precision_of(pipeline) == "fp32" and precision_of(held) == f"fp32, weights {kind}"
    difference = np.abs(pixels(plain)[0] - pixels(coarse)[0])
    assert 0 < difference.mean() < 3  # quantized, and of the same picture
