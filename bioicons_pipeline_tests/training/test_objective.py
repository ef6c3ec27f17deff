"""The objective against an independent reference, written from the paper and the sampler's source.

The reference shares no line with the room: it packs with loops, builds ids by hand, and computes in fp64
what does not pass through the model.
"""

import math
from dataclasses import replace

import pytest
import torch

from bioicons_pipeline.training import objective
from bioicons_pipeline.training.objective import Conditioning
from bioicons_pipeline.training.tiny_base import make_tiny_pipeline
from bioicons_pipeline_tests.training.conftest import MINI

SHAPES = [(4, 4), (4, 8), (10, 6)]


def random_batch(batch, h, w, seed=0, text=8):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 16, h, w, generator=g) * 0.8 + 0.3
    noise = torch.randn(batch, 16, h, w, generator=g)
    sigma = torch.rand(batch, generator=g) * 0.98 + 0.01
    words = Conditioning(
        torch.randn(batch, text, MINI.text_dim, generator=g), torch.randn(batch, MINI.pooled_dim, generator=g)
    )
    return x, noise, sigma, words


def reference_loss(transformer, x, noise, sigma, text, guidance):
    """Per-sample loss, one sample and one patch at a time."""
    losses = []
    for i in range(x.shape[0]):
        _, h, w = x[i].shape
        s = float(sigma[i])
        mixed = (1 - s) * x[i].double() + s * noise[i].double()
        tokens, positions = [], []
        for row in range(h // 2):
            for column in range(w // 2):
                patch = mixed[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                tokens.append(
                    torch.stack([patch[c, a, b] for c in range(16) for a in (0, 1) for b in (0, 1)])
                )
                positions.append([0.0, row, column])
        arguments = {
            "hidden_states": torch.stack(tokens)[None].float(),
            "timestep": torch.tensor([s]),
            "pooled_projections": text.pooled[i : i + 1],
            "encoder_hidden_states": text.t5[i : i + 1],
            "img_ids": torch.tensor(positions),
            "txt_ids": torch.zeros(text.t5.shape[1], 3),
        }
        if guidance is not None:
            arguments["guidance"] = torch.tensor([guidance])
        predicted = transformer(**arguments).sample[0].double()
        total, index = 0.0, 0
        for row in range(h // 2):
            for column in range(w // 2):
                for k, (c, a, b) in enumerate((c, a, b) for c in range(16) for a in (0, 1) for b in (0, 1)):
                    y, z = 2 * row + a, 2 * column + b
                    velocity = noise[i, c, y, z].double() - x[i, c, y, z].double()
                    total += float((predicted[index, k] - velocity) ** 2)
                index += 1
        losses.append(total / x[i].numel())
    return torch.tensor(losses)


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "undistilled"])
def model(request):
    return make_tiny_pipeline(replace(MINI, guidance_embeds=request.param)).transformer, (
        1.0 if request.param else None
    )


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_equals_the_reference(model, batch, shape):
    transformer, guidance = model
    x, noise, sigma, text = random_batch(batch, *shape, seed=batch + shape[1])
    with torch.no_grad():
        ours = objective.flow_matching_loss(transformer, x, noise, sigma, text, guidance)
        theirs = reference_loss(transformer, x, noise, sigma, text, guidance)
    assert ours.dtype == torch.float32 and ours.shape == (batch,)
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=0), (ours - theirs).abs().max()


def test_the_reference_notices_a_wrong_timestep(model):
    """The comparison has teeth: σ·1000 handed over (and multiplied again by the model) is far off."""
    transformer, guidance = model
    x, noise, sigma, text = random_batch(2, 4, 4)
    with torch.no_grad():
        x_t = (1 - sigma.view(-1, 1, 1, 1)) * x + sigma.view(-1, 1, 1, 1) * noise
        right = objective.predict_velocity(transformer, x_t, sigma, text, guidance)
        wrong = objective.predict_velocity(transformer, x_t, sigma * 1000, text, guidance)
    assert (right - wrong).abs().max() > 1e-3


class TrueVelocity(torch.nn.Module):
    """Stands where the transformer stands and answers with the true velocity of its batch."""

    def __init__(self, x, noise):
        super().__init__()
        self.velocity = objective.pack(noise - x)

    def forward(self, **arguments):
        return (self.velocity,)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_euler_step_with_the_true_velocity_recovers_the_latents(shape):
    x, noise, sigma, text = random_batch(3, *shape)
    weight = sigma.view(-1, 1, 1, 1)
    x_t = (1 - weight) * x + weight * noise
    velocity = objective.predict_velocity(TrueVelocity(x, noise), x_t, sigma, text, None)
    assert torch.allclose(x_t - weight * velocity, x, atol=1e-6)
    loss = objective.flow_matching_loss(TrueVelocity(x, noise), x, noise, sigma, text, None)
    assert float(loss.max()) < 1e-12


def test_the_samplers_own_euler_step_agrees_on_sign_and_scale():
    """diffusers' scheduler, stepping from σ to 0 with our velocity, arrives at the clean latents."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    x, noise, _, _ = random_batch(1, 4, 4)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=[0.6])
    sigma = float(scheduler.sigmas[0])
    x_t = (1 - sigma) * x + sigma * noise
    clean = scheduler.step(noise - x, scheduler.timesteps[0], x_t, return_dict=False)[0]
    assert torch.allclose(clean, x, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_packing_and_ids_are_the_pipelines(shape):
    from diffusers import FluxPipeline

    h, w = shape
    latents = torch.randn(2, 16, h, w)
    packed = objective.pack(latents)
    assert torch.equal(packed, FluxPipeline._pack_latents(latents, 2, 16, h, w))
    assert torch.equal(objective.unpack(packed, h, w), latents)
    ids = objective.image_ids(h, w)
    assert torch.equal(ids, FluxPipeline._prepare_latent_image_ids(2, h // 2, w // 2, "cpu", torch.float32))
    assert ids.dtype == torch.float32 and ids.shape == (h * w // 4, 3)
    assert torch.equal(objective.text_ids(5), torch.zeros(5, 3))


def test_the_model_is_given_what_the_contract_says():
    """σ in [0, 1] in fp32, guidance a (B,) vector, ids unbatched and fp32."""
    seen = {}

    def spy(**arguments):
        seen.update(arguments)
        return (torch.zeros_like(arguments["hidden_states"]),)

    x, noise, sigma, text = random_batch(4, 4, 8)
    objective.flow_matching_loss(spy, x, noise, sigma, text, 1.0)
    assert seen["timestep"].dtype == torch.float32 and torch.equal(seen["timestep"], sigma)
    assert seen["guidance"].tolist() == [1.0] * 4 and seen["guidance"].dtype == torch.float32
    assert seen["img_ids"].ndim == seen["txt_ids"].ndim == 2
    assert seen["img_ids"].dtype == seen["txt_ids"].dtype == torch.float32
    assert seen["hidden_states"].shape == (4, 8, 64)


def test_latents_are_scaled_as_the_sampler_unscales_them():
    raw = torch.randn(1, 16, 4, 4)
    scaled = objective.scale_latents(raw, 0.1159, 0.3611)
    assert torch.allclose(scaled / 0.3611 + 0.1159, raw, atol=1e-6)


def draws(kind, count=6000, **options):
    g = torch.Generator().manual_seed(0)
    return torch.tensor([objective.sample_sigma(g, kind, **options) for _ in range(count)])


def test_uniform_sigmas():
    values = draws("uniform")
    assert float(values.min()) > 0 and float(values.max()) < 1
    assert abs(float(values.mean()) - 0.5) < 0.02 and abs(float(values.std()) - 12**-0.5) < 0.02


def test_logit_normal_sigmas():
    logits = torch.logit(draws("logit_normal", logit_mean=0.4, logit_std=0.7).double())
    assert abs(float(logits.mean()) - 0.4) < 0.04 and abs(float(logits.std()) - 0.7) < 0.04


def test_extreme_draws_stay_inside_the_open_interval():
    values = draws("logit_normal", count=500, logit_std=200.0)
    assert float(values.min()) > 0 and float(values.max()) < 1


def test_shifted_sigmas_are_the_flux_references():
    """sigma' = e^mu / (e^mu + (1/sigma - 1)), applied once to the unshifted draw."""
    mu = 0.83
    plain, shifted = draws("logit_normal", 300), draws("shifted", 300, mu=mu)
    expected = math.exp(mu) / (math.exp(mu) + (1 / plain.double() - 1))
    assert torch.allclose(shifted.double(), expected, atol=1e-6)


def test_resolution_shift_is_the_pipelines():
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    config = {
        "use_dynamic_shifting": True,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "shift": 3.0,
    }
    for tokens in (16, 256, 1024, 4096):
        assert objective.resolution_shift(tokens, config) == pytest.approx(calculate_shift(tokens), abs=1e-12)
    constant = {"use_dynamic_shifting": False, "shift": 3.0}
    assert objective.resolution_shift(1024, constant) == pytest.approx(math.log(3.0))


def test_with_dynamic_shifting_the_stored_sigmas_are_unshifted():
    """Why the shift is computed here: the scheduler's own sigmas must not be used as if they were shifted."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    assert torch.allclose(scheduler.sigmas, torch.linspace(1, 1 / 1000, 1000), atol=1e-6)
