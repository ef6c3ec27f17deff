"""Guidance distillation: what the model is taught to answer, and how much each guidance counts."""

import numpy as np
import pytest
import torch

from bioicons_pipeline.training.objective import predict_velocity
from bioicons_pipeline.training.pretrain import flow_stages, stages
from bioicons_pipeline_tests.training.pretrain.conftest import TINY


@pytest.fixture
def loop(work, monkeypatch):
    """The guidance stage's loop before its first step."""
    found = []
    original = flow_stages.GuidanceLoop.fit
    monkeypatch.setattr(flow_stages.GuidanceLoop, "fit", lambda self: (found.append(self), original(self))[1])
    stages.train_all(TINY, work, quiet=True)
    return found[0]


def test_the_target_is_classifier_free_guidance_in_units_of_the_guidance(loop):
    batch = loop.source[0]
    x_t = (1 - batch.sigma.view(-1, 1, 1, 1)) * batch.x + batch.sigma.view(-1, 1, 1, 1) * batch.noise
    text = loop.model.text(batch.clip_ids, batch.t5_ids)
    count, length = batch.t5_ids.shape
    empty = loop.model.text(loop.empty_clip.expand(count, -1), loop.empty_t5[:, :length].expand(count, -1))
    said = predict_velocity(loop.teacher, x_t, batch.sigma, text, 1.0)
    unsaid = predict_velocity(loop.teacher, x_t, batch.sigma, empty, 1.0)
    scale = batch.guidance.view(-1, 1, 1, 1)
    answer = predict_velocity(loop.model.transformer, x_t, batch.sigma, text, batch.guidance)
    wanted = ((answer - (unsaid + scale * (said - unsaid))) / scale).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(loop.losses(batch), wanted)
    assert float(wanted.sum()) > 0


def test_only_the_embedding_of_the_guidance_is_trained(loop):
    """All else stays what it was: a LoRA trains at a guidance of 1, where the teacher needs no student."""
    before, after = loop.teacher.state_dict(), loop.model.transformer.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("time_text_embed.guidance_embedder.") for name in changed)


def test_a_share_of_the_samples_has_no_guidance(loop):
    """At a guidance of 1 a LoRA trains: those samples keep the model where it was."""
    low, high = TINY.guidance.scales
    drawn = np.concatenate([loop.source[number].guidance.numpy() for number in range(100)])
    assert (drawn == 1.0).mean() == pytest.approx(TINY.guidance.plain_share, abs=0.08)
    assert low <= drawn.min() and drawn.max() <= high and drawn[drawn != 1.0].std() > 0.5
